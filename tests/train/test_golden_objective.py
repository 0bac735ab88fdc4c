"""Eq. 7 on packed batches equals what the authors' trainer computed on one padded sequence per question."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from synvita.core.question import Answers
from synvita.train.examples import Pair
from synvita.train.objective import objective
from synvita.train.prepare import Prepared, Question
from synvita.videollm.families.mplug_owl import MplugOwlVideo
from synvita.videollm.families.video_llava import VideoLlava
from synvita.videollm.protocol import Media

DATA = Path(__file__).parent.parent / "data"


class Asks:
    def __init__(self, yes, no):
        self.answers = Answers(yes, no, 2)


def recorded_batch(tensors, facts, labels, placeholder, prefix):
    """The authors' order: a paired item is real full, real shared, synthetic full, synthetic shared; else one row."""
    ids, masks = tensors[f"{prefix}.input_ids"], tensors[f"{prefix}.shared_semantic_mask"]
    shared = set(facts["shared_semantic_indices"])
    examples, prompts, i = [], {}, 0
    while i < len(ids):
        rows = [i] if i + 1 not in shared else [i, i + 2]
        questions = []
        for row in rows:
            tokens, answer = ids[row].tolist(), labels[row]
            start = max(j for j, token in enumerate(tokens) if token == placeholder) + 1
            hidden = None
            if row + 1 in shared:
                hidden = [j - start for j in range(start, answer[0]) if masks[row + 1, j] == 0]
            video, synthetic = facts["videos"][row], facts["domains"][row] == "synthetic"
            weight = max(0.0, facts["alignment_diffs"][row]) if synthetic else 1.0
            said = [tokens[j] for j in answer]
            questions.append(Question(video, tokens[start : answer[0]], said, hidden, synthetic, weight))
            prompts[video] = tokens[:start]
        pairs = ()
        if len(rows) == 2:
            yes_first = "AI: Yes" in facts["captions"][rows[0]]
            pairs = (Pair(0, 1, questions[1].weight) if yes_first else Pair(1, 0, questions[1].weight),)
        examples.append(Prepared(str(i), tuple(questions), pairs))
        i += 1 if len(rows) == 1 else 4
    return examples, prompts


def assert_recorded(got, run):
    assert got["real"].item() == pytest.approx(run["log"]["loss_real"], rel=1e-5)
    assert got["synthetic"].item() == pytest.approx(run["log"].get("loss_synthetic", 0.0), rel=1e-5, abs=1e-7)
    assert got["consistency"].item() == pytest.approx(run["log"]["loss_sem_cons"], rel=1e-5, abs=1e-7)
    assert got["loss"].item() == pytest.approx(run["loss"], rel=1e-5)


@pytest.fixture(scope="module")
def mplug_owl():
    model = MplugOwlVideo.from_pretrained(DATA / "mplug_owl_tiny")
    model.questioner = Asks(7, 9)
    return model


def mplug_owl_case(model, name):
    tensors = load_file(DATA / "mplug_owl_tiny" / "tensors.safetensors")
    facts = json.loads((DATA / "mplug_owl_tiny" / "values.json").read_text())[f"objective_{name}"]
    batch, prompts = recorded_batch(tensors, facts, facts["label_positions"], -2, f"objective_{name}")
    videos = {v: model.eyes(tensors[f"objective.video.{v}"].float())[0] for v in prompts}
    return tensors, facts, batch, {v: Media(prompts[v], videos[v]) for v in prompts}


@pytest.mark.parametrize("name", ["main", "nle_order", "zero_neg_weights", "unpaired_only"])
@pytest.mark.parametrize("number", [0, 1])
def test_mplug_owls_losses_are_the_recorded_ones(mplug_owl, name, number):
    _, facts, batch, media = mplug_owl_case(mplug_owl, name)
    run = facts["runs"][number]
    got = objective(mplug_owl, batch, media, run["sem_cons_weight"], run["sem_cons_margin"])
    assert_recorded(got, run)


def test_mplug_owls_gradients_are_the_recorded_ones(mplug_owl):
    official = {name.removeprefix("eyes."): p for name, p in mplug_owl.named_parameters()}
    for p in official.values():
        p.requires_grad_(True)
    tensors, facts, batch, media = mplug_owl_case(mplug_owl, "main")
    run = facts["runs"][0]
    objective(mplug_owl, batch, media, run["sem_cons_weight"], run["sem_cons_margin"])["loss"].backward()
    recorded = {k.removeprefix("objective_main.grad."): v for k, v in tensors.items() if ".grad." in k}
    assert len(recorded) == 4
    for name, want in recorded.items():
        got = official[name].grad
        assert (got - want).abs().max() <= 1e-4 * want.abs().max(), name
    for name, want in run["grad_l2_norms"].items():
        assert official[name].grad.norm().item() == pytest.approx(want, rel=1e-4, abs=1e-6), name
    for p in official.values():
        p.requires_grad_(False).grad = None


@pytest.mark.parametrize("name", ["main", "nle_order"])
@pytest.mark.parametrize("number", [0, 1])
def test_video_llavas_losses_are_the_recorded_ones(tmp_path, languagebind_folder, name, number):
    golden = DATA / "video_llava_tiny"
    stored = json.loads((golden / "config.json").read_text())
    config = stored["llama_config"] | stored["llava_extra"] | {"mm_video_tower": str(languagebind_folder)}
    (tmp_path / "config.json").write_text(json.dumps(config | {"model_type": "llava"}))
    (tmp_path / "model.safetensors").write_bytes((golden / "model.safetensors").read_bytes())
    model = VideoLlava.from_pretrained(tmp_path)
    tensors, values = load_file(golden / "tensors.safetensors"), json.loads((golden / "values.json").read_text())
    model.questioner = Asks(values["compact_Yes"], values["compact_No"])
    facts = values[name]
    labels = [[j for j, v in enumerate(row) if v != -100] for row in tensors[f"{name}.labels"].tolist()]
    facts["shared_semantic_indices"] = tensors[f"{name}.shared_semantic_indices"].tolist()
    batch, prompts = recorded_batch(tensors, facts, labels, -200, name)
    media = {}
    for video, ids in prompts.items():
        visual = model.project(tensors[f"video_features.{video}"]).flatten(0, 1)
        media[video] = Media([i for token in ids for i in ([token] * 5 if token == -200 else [token])], visual)
    run = facts["runs"][number]
    with torch.no_grad():
        got = objective(model, batch, media, run["sem_cons_weight"], run["sem_cons_margin"])
    assert_recorded(got, run)
