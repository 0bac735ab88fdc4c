"""Several scorers in one process: each clip is decoded once, each frame seen once by a tower that two of them have;
the records are those of one scorer after the other."""

import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from run_files import write_clip_run
from safetensors.torch import load_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration
from transformers import PreTrainedTokenizerFast as Fast

from synvita.core import decoder
from synvita.core.frame_rules import FramePolicy
from synvita.core.shared_decoder import SharedDecoder
from synvita.core.stage import Resources
from synvita.core.video import Sampled, sample_video, sample_videos
from synvita.core.video_file import VideoError
from synvita.core.write_video import write_video
from synvita.executors import local
from synvita.executors.part import Shard
from synvita.how import How, in_memory_at_once
from synvita.weigh.clip_flant5 import ClipFlanT5, ClipFlanT5Scorer
from synvita.weigh.llava import Llava
from synvita.weigh.stage import ScoreClips, scorer_part

GOLDEN = Path(__file__).parent.parent / "data" / "clip_flant5_tiny"
CLIPS = 11


def wide(seed, frames=9):
    return np.random.default_rng(seed).integers(0, 256, (frames, 5, 9, 3), dtype=np.uint8).repeat(8, 1).repeat(8, 2)


# ---- one tower


def words(folder, vocabulary):
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(vocabulary)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    if "</s>" in vocabulary and vocabulary.index("</s>") == 1:
        tokenizer.post_processor = processors.TemplateProcessing("$A </s>", special_tokens=[("</s>", 1)])
    fast = Fast(tokenizer_object=tokenizer, eos_token="</s>", pad_token="<pad>", unk_token="<unk>", bos_token="<s>")
    fast.save_pretrained(folder)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """CLIP-FlanT5 (the recorded one) and a LLaVA-1.5 with the very same tower."""
    root = tmp_path_factory.mktemp("towers")
    t5 = root / "clip_flant5"
    t5.mkdir()
    shutil.copy(GOLDEN / "config.json", t5)
    shutil.copy(GOLDEN / "state_dict.safetensors", t5 / "model.safetensors")
    text = ["Yes", "No", "x", "1", "a", "red", "dog", "two", "rings", "Does", "this", "figure", "show"]
    words(t5, ["<pad>", "</s>", "<unk>", "<s>", *text])
    vision = CLIPVisionConfig(**json.loads((GOLDEN / "config.json").read_text())["clip_vision"])
    text_config = LlamaConfig(
        vocab_size=84, hidden_size=48, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4
    )
    torch.manual_seed(0)
    llava = LlavaForConditionalGeneration(
        LlavaConfig(vision_config=vision, text_config=text_config, image_token_id=20)
    ).eval()
    for name, p in llava.named_parameters():
        p.data.mul_(6 if p.ndim > 1 and "vision" not in name else 1)
    stored, tower = load_file(GOLDEN / "state_dict.safetensors"), llava.model.vision_tower
    start = "vision_tower.vision_tower.vision_model."
    tower.load_state_dict({k.removeprefix(start): v for k, v in stored.items() if k.startswith(start)})
    llava.save_pretrained(root / "llava")
    words(root / "llava", ["<unk>", "<s>", "</s>", "<pad>", *text])
    return {"llava": root / "llava", "clip_flant5": t5}


def test_two_scorers_with_the_same_tower_hold_it_once_and_show_it_each_frame_once(folders):
    videos = [Sampled(wide(i, 4), [0, 1, 2, 3], 4, 8.0) for i in range(3)]
    captions = [["a red dog", "two rings"]] * 3
    alone = [make(str(folders[make.known_as])) for make in (Llava, ClipFlanT5Scorer)]
    for scorer in alone:
        scorer.load()
    llava, t5 = alone
    assert llava.parts.see.tower is t5.model.tower
    passes = []
    hook = t5.model.tower.register_forward_hook(lambda _, inputs, __: passes.append(len(inputs[0])))
    both = [scorer.score_many(videos, captions) for scorer in alone]
    assert sum(passes) == 12
    fresh = [[Sampled(v.frames, v.indices, v.total, v.rate) for v in videos] for _ in alone]
    apart = [scorer.score_many(some, captions) for scorer, some in zip(alone, fresh, strict=True)]
    assert sum(passes) == 36
    hook.remove()
    assert all(np.array_equal(a, b) for x, y in zip(both, apart, strict=True) for a, b in zip(x, y, strict=True))
    assert np.ptp([np.log(a) for a in both[0]]) > 1e-3  # else equality would say nothing
    strip = Llava(str(folders["llava"]), rule="strip")  # another picture of the same frames
    strip.load()
    hook = t5.model.tower.register_forward_hook(lambda _, inputs, __: passes.append(len(inputs[0])))
    strip.score_many(videos, captions)
    hook.remove()
    assert sum(passes) == 39


def test_a_model_that_is_loaded_for_itself_shares_nothing(folders):
    scorer = ClipFlanT5Scorer(str(folders["clip_flant5"]))
    scorer.load()
    one, other = (ClipFlanT5.from_pretrained(folders["clip_flant5"]) for _ in range(2))
    assert len({id(model.tower) for model in (one, other, scorer.model)}) == 3
    other.double()
    assert next(one.tower.parameters()).dtype == torch.float32 == next(scorer.model.tower.parameters()).dtype


def test_a_tower_with_another_weight_or_dtype_is_another(folders, tmp_path):
    scorer = ClipFlanT5Scorer(str(folders["clip_flant5"]))
    scorer.load()
    half = Llava(str(folders["llava"]), dtype="bfloat16")
    half.load()
    assert half.parts.see.tower is not scorer.model.tower
    shutil.copytree(folders["llava"], tmp_path / "tuned")
    from safetensors.torch import save_file

    tensors = load_file(tmp_path / "tuned" / "model.safetensors")
    name = next(name for name in tensors if name.endswith("fc1.bias"))
    tensors[name][0] += 1e-3
    save_file(tensors, tmp_path / "tuned" / "model.safetensors", {"format": "pt"})
    tuned = Llava(str(tmp_path / "tuned"))
    tuned.load()
    assert tuned.parts.see.tower is not scorer.model.tower


# ---- one decoding


POLICIES = [FramePolicy(4, "whole_steps"), FramePolicy(8), FramePolicy(3, "segment_middles", (10, 12))]


def test_frames_for_several_models_come_from_one_pass(tmp_path, monkeypatch):
    write_video(tmp_path / "a.mp4", wide(0), 8)
    apart = [sample_video(tmp_path / "a.mp4", policy) for policy in POLICIES]
    for found, want in zip(sample_videos(tmp_path / "a.mp4", POLICIES[:2]), apart, strict=False):
        assert found.indices == want.indices and np.array_equal(found.frames, want.frames)
    asked = []
    real = decoder.Decoder.videos
    monkeypatch.setattr(
        decoder.Decoder, "videos", lambda self, path, some: asked.append(some) or real(self, path, some)
    )
    shared = SharedDecoder(decoder.Decoder(), POLICIES, keep=1)
    for policy, want in zip(POLICIES, apart, strict=True):
        found = shared.video(tmp_path / "a.mp4", policy)
        assert found.indices == want.indices and np.array_equal(found.frames, want.frames)
        assert shared.video(tmp_path / "a.mp4", policy) is found
    assert asked == [POLICIES[:2], POLICIES[2:]]  # frames of one size at once
    write_video(tmp_path / "b.mp4", wide(1), 8)
    shared.video(tmp_path / "b.mp4", POLICIES[0])
    shared.video(tmp_path / "a.mp4", POLICIES[0])  # was not kept
    assert len(asked) == 6
    shared.close()
    assert not shared.files


def test_what_one_model_cannot_have_does_not_take_the_others_frames(tmp_path):
    write_video(tmp_path / "a.mp4", np.zeros((2, 720, 1280, 3), np.uint8), 8, upscale=2)
    policies = [FramePolicy(2), FramePolicy(190, "segment_middles")]
    shared = SharedDecoder(decoder.Decoder(), policies, keep=1)
    assert shared.video(tmp_path / "a.mp4", policies[0]).frames.shape == (2, 1440, 2560, 3)
    for _ in range(2):
        with pytest.raises(VideoError, match=r"190 frames of 2560x1440 are 2\.1 GB"):
            shared.video(tmp_path / "a.mp4", policies[1])
    shared.close()


# ---- one run

MINI = {"llava": {"checkpoint": "mini-llava"}, "video_llm": {"checkpoint": "mini-video-llava"}}


def stages(names=("llava", "video_llm", "world_truth")):
    return [ScoreClips(scorer_part(name, MINI)) for name in names]


@pytest.fixture
def run(tmp_path):
    return write_clip_run(tmp_path / "run", [wide(i)[:, :32, :32] for i in range(CLIPS)])


def made(run):
    found = {str(p.relative_to(run)): p.read_bytes() for p in sorted((run / "scores").rglob("*.jsonl"))}
    return found | {"aside": (run / "set_aside.jsonl").read_text().replace(str(run), "RUN")}


def test_scorers_side_by_side_leave_the_bytes_of_one_after_the_other(run, tmp_path, monkeypatch):
    other = tmp_path / "other"
    shutil.copytree(run, other)
    apart = [local.run(stage, other) for stage in stages(("llava", "video_llm"))]
    opened = Counter()
    real = decoder.Decoder.videos
    monkeypatch.setattr(
        decoder.Decoder, "videos", lambda self, path, some: opened.update([path.name]) or real(self, path, some)
    )
    beside = local.side_by_side(stages(("llava", "video_llm")), run)
    assert beside == apart and [outcome.set_aside for outcome in beside] == [1, 1]
    assert made(run) == made(other)
    assert opened.pop("c03.mp4") == 3  # together, then for each alone
    assert len(opened) == CLIPS - 1 and set(opened.values()) == {1}


def test_a_run_that_ends_in_the_middle_goes_on_to_the_same_bytes(run, tmp_path, monkeypatch):
    other = tmp_path / "other"
    shutil.copytree(run, other)
    local.side_by_side(stages(("llava", "video_llm")), other)
    real, calls = ScoreClips.work, []

    def work(self, folder, batch):
        calls.append(self.part.name)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return real(self, folder, batch)

    monkeypatch.setattr(ScoreClips, "work", work)
    with pytest.raises(KeyboardInterrupt):
        local.side_by_side(stages(("llava", "video_llm")), run)
    assert calls == ["llava", "video_llm"] * 2  # batch by batch
    monkeypatch.setattr(ScoreClips, "work", real)
    done = local.side_by_side(stages(("llava", "video_llm")), run)
    assert [(outcome.kept, outcome.made) for outcome in done] == [(10, 0), (7, 3)]
    assert made(run) == made(other)


def test_shards_side_by_side_are_merged_to_the_same_bytes(run, tmp_path):
    from synvita.executors.job import merge

    other = tmp_path / "other"
    shutil.copytree(run, other)
    local.side_by_side(stages(("llava", "video_llm")), other)
    for number in (1, 2):
        local.side_by_side(stages(("llava", "video_llm")), run, 1, Shard(number, 2))
    for stage in stages(("llava", "video_llm")):
        merge(stage, run)
    assert made(run) == made(other)


@pytest.mark.parametrize(
    ("sizes", "workers", "room", "want"),
    [
        ([("cpu", 3), ("cpu", 3), ("cpu", 3)], 1, 9 / 0.7, [[0, 1, 2]]),
        ([("cpu", 3), ("cpu", 3), ("cpu", 3)], 1, 8 / 0.7, [[0, 1], [2]]),
        ([("cpu", 9), ("cpu", 3), ("cpu", 3)], 1, 8 / 0.7, [[0], [1, 2]]),
        ([("cpu", 3), None, ("cpu", 3)], 1, 100, [[0], [1], [2]]),
        ([("cuda", 3), ("cpu", 3)], 1, 100, [[0], [1]]),
        ([("cuda", 3), ("cuda", 3)], 1, 100, [[0, 1]]),
        ([("cpu", 3), ("cpu", 3), ("cpu", 3)], 2, 18 / 0.7, [[0, 1, 2]]),
        ([("cpu", 3), ("cpu", 3), ("cpu", 3)], 2, 17 / 0.7, [[0, 1], [2]]),
        ([("cuda", 3), ("cuda", 3), ("cpu", 0), ("cpu", 0)], 2, 100, [[0], [1], [2, 3]]),
    ],
)
def test_scorers_share_a_process_as_far_as_their_weights_fit(sizes, workers, room, want, monkeypatch):
    """Every worker has a copy in memory; with a GPU each, they take one scorer after the other."""
    from synvita.videollm import memory

    class Some:
        def __init__(self, needs):
            self.needs, self.resources = lambda: needs, Resources(float(needs is not None and needs[0] == "cuda"))

    monkeypatch.setattr(memory, "free", lambda device: room)
    some = [Some(size) for size in sizes]
    assert in_memory_at_once(some, How(workers=workers)) == [[some[i] for i in group] for group in want]
    assert in_memory_at_once(some, How("ray", workers)) == [[each] for each in some]


def test_scorers_say_where_their_weights_go_and_how_much_they_are(monkeypatch):
    from synvita.videollm.checkpoints import find_checkpoint
    from synvita.videollm.memory import needed

    llava, video, truth = stages()
    assert llava.needs() == ("cpu", needed(find_checkpoint("mini-llava"), llava.scorer.how))
    assert video.needs()[1] > 1_000_000 and truth.needs() == ("cpu", 0)
    assert (
        ScoreClips(scorer_part("llava", {"llava": {"checkpoint": "mini-llava", "device_map": "auto"}})).needs() is None
    )
    assert ScoreClips(scorer_part("llava", {"llava": {"checkpoint": "/nowhere/x"}})).needs() is None
    asked = []
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda name, **how: asked.append(how) or 1 / 0)
    assert ScoreClips(scorer_part("clip_flant5", {})).needs() is None
    assert asked == [{"local_files_only": True}]  # nothing is fetched to be weighed
