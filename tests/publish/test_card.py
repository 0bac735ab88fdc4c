"""The model card that training leaves beside an adapter, and the adapter itself as peft reads it."""

import json
import re
import shutil

import pytest
import torch
import yaml
from small import HOME, MODEL

from synvita.core.settings import build, merge
from synvita.publish.card import write_card
from synvita.recipes import RunConfig, recipe
from synvita.videollm.models import load_model


@pytest.fixture
def arm(small_run, tmp_path):
    """A copy of what a card is made from."""
    run = tmp_path / "run"
    for part in (f"{HOME}/adapters/synvita", f"{HOME}/pairs/synvita"):
        shutil.copytree(small_run / part, run / part)
    for file in ("config.yaml", "results.json", f"{HOME}/stamp.json"):
        shutil.copy(small_run / file, run / file)
    return run / HOME / "adapters" / "synvita" / "0"


def test_a_trained_and_asked_arm_has_a_card_with_its_figures_and_no_path_of_the_machine(small_run):
    folder = small_run / HOME / "adapters" / "synvita" / "0"
    text, facts = (folder / "README.md").read_text(), json.loads((folder / "arm.json").read_text())
    figures = json.loads((small_run / "results.json").read_text())["arms"]["synvita"]
    revision = json.loads((folder / "base.json").read_text())["base_revision"]
    of_open = figures["open"]
    for line in (
        f"- Base: {MODEL}, revision {revision}",
        f"- Trained on {facts['triplets']} triplets",
        'entail the description: "..."?',
        "- Frames: 8 of each video, rule `both_ends`",
        f"`triplets.jsonl` {facts['made_from']['triplets.jsonl']}",
        f"| Open | AUC | {100 * of_open['auc']:.1f} | [{100 * of_open['low']:.1f}, {100 * of_open['high']:.1f}] | 56 |",
        "the figures say nothing of real videos",
        "`LlamaModel`, the language model inside the base",
    ):
        assert line in text, line
    assert str(small_run) not in text and "More Information Needed" not in text


def test_the_recipe_of_a_card_is_a_configuration_with_the_settings_of_the_run(small_run):
    text = (small_run / HOME / "adapters" / "synvita" / "0" / "README.md").read_text()
    given = yaml.safe_load(re.search(r"```yaml\n(.*?)```", text, re.DOTALL)[1])
    config = build(RunConfig, merge(recipe("mini").as_dict(), given))
    assert json.loads(json.dumps(config.train.stamp)) == json.loads((small_run / HOME / "stamp.json").read_text())
    assert (config.train.epochs, config.train.batch) == (1, 14)  # as small.py sets them


def test_before_it_is_asked_and_after_another_adapter_was_asked_the_card_says_not_measured(arm):
    run = arm.parents[4]
    write_card(arm)
    assert "| Open | AUC |" in (arm / "README.md").read_text()
    stamp = run / HOME / "pairs" / "synvita" / "0" / "stamp.json"
    stamp.write_text(json.dumps(json.loads(stamp.read_text()) | {"adapter": "another"}))
    write_card(arm)
    assert "Not measured yet." in (arm / "README.md").read_text()
    (run / "results.json").unlink()
    write_card(arm)
    assert "Not measured yet." in (arm / "README.md").read_text()


@pytest.mark.parametrize("field", ["made_from", "frames"])
def test_a_damaged_record_of_an_arm_is_named_with_its_field(arm, field):
    record = json.loads((arm / "arm.json").read_text())
    (arm / "arm.json").write_text(json.dumps(record | {field: 7}))
    with pytest.raises(ValueError, match=rf"arm\.json: {field}: 7 .*train the arm again"):
        write_card(arm)


def test_peft_loads_the_folder_as_it_is_and_gives_the_logits_of_our_own_loading(small_run, checkpoints):
    from peft import PeftModel
    from transformers import VideoLlavaForConditionalGeneration

    folder = small_run / HOME / "adapters" / "synvita" / "0"
    plain = VideoLlavaForConditionalGeneration.from_pretrained(checkpoints / MODEL, dtype=torch.float32).eval()
    ours = load_model(MODEL, adapter=folder)
    ids = torch.arange(5, 45)[None]
    with torch.no_grad():
        without = plain.lm_head(plain.model.language_model(input_ids=ids).last_hidden_state)
        want = ours.logits(ours.language(input_ids=ids).last_hidden_state)
        wrapped = PeftModel.from_pretrained(plain.model.language_model, folder).eval()
        got = plain.lm_head(wrapped(input_ids=ids).last_hidden_state)
    assert (got - want).abs().max() <= 1e-5 * want.abs().max()
    assert (without - want).abs().max() > 1e-3 * want.abs().max()
