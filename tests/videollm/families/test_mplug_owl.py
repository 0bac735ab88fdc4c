"""mPLUG-Owl-video gives the numbers recorded from the authors' code (fp32, to 1e-5 of the largest value)."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from synvita.videollm.families.mplug_owl import MplugOwlVideo

GOLDEN = Path(__file__).parents[2] / "data" / "mplug_owl_tiny"


@pytest.fixture(scope="module")
def recorded():
    return load_file(GOLDEN / "tensors.safetensors")


@pytest.fixture(scope="module")
def model():
    return MplugOwlVideo.from_pretrained(GOLDEN)


def assert_equal(got, want):
    assert got.shape == want.shape
    assert ((got - want).abs().max() / want.abs().max()).item() <= 1e-5


@pytest.mark.parametrize("case", ["T4", "T32", "T1"])
def test_vision_and_abstractor_outputs_are_the_recorded_ones(model, recorded, case):
    pixels = recorded[f"{case}.video_pixel_values"].float()
    states = model.eyes.vision_model.hidden_states(pixels)
    for i, state in enumerate(states):
        want = recorded[f"{case}.vision_hidden_states.{i}"]
        assert_equal(state.reshape(want.shape), want)
    want = recorded[f"{case}.vision_last_hidden_state"]
    assert_equal(model.eyes.vision_model(pixels).reshape(want.shape), want)
    assert_equal(model.features(pixels), recorded[f"{case}.abstractor_last_hidden_state"])


@pytest.mark.parametrize("case", ["full_T4", "shared_T4", "full_T32", "shared_T32"])
def test_logits_are_the_recorded_ones_with_and_without_hidden_tokens(model, recorded, case):
    pixels = recorded[f"{case.split('_')[1]}.video_pixel_values"].float()
    with torch.no_grad():
        logits = model(pixels, recorded[f"{case}.input_ids"], recorded.get(f"{case}.attention_mask"))
    want = recorded[f"{case}.logits"]  # up to the longest real length; the rest is padding
    assert_equal(logits[:, : want.shape[1]], want)


def test_hiding_tokens_changes_the_answer(model, recorded):
    full, shared = recorded["full_T4.logits"], recorded["shared_T4.logits"]
    assert (recorded["full_T4.input_ids"] == recorded["shared_T4.input_ids"]).all()
    assert (full - shared).abs().max() > 1e-3


def test_logits_at_the_last_token_of_an_inference_prompt_are_the_recorded_ones(model, recorded):
    ids = recorded["inference_T4.input_ids"]
    last = (ids != 0).int().cumsum(1).argmax(1)
    with torch.no_grad():
        logits = model(recorded["T4.video_pixel_values"].float(), ids)
    assert_equal(logits[torch.arange(len(ids)), last], recorded["inference_T4.logits_at_last_non_pad"])


def sharded(folder: Path, pickled: bool) -> Path:
    """The golden weights as an official sharded checkpoint."""
    folder.mkdir()
    shutil.copy(GOLDEN / "config.json", folder)
    tensors = load_file(GOLDEN / "model.safetensors")
    names = sorted(tensors)
    stem, end = ("pytorch_model", "bin") if pickled else ("model", "safetensors")
    where = {}
    for k in range(3):
        part, file = {n: tensors[n] for n in names[k::3]}, f"{stem}-{k + 1:05d}-of-00003.{end}"
        if pickled:
            torch.save(part, folder / file)
        else:
            from safetensors.torch import save_file

            save_file(part, folder / file)
        where |= dict.fromkeys(part, file)
    index = {"metadata": {}, "weight_map": where}
    (folder / f"{stem}{'.bin' if pickled else '.safetensors'}.index.json").write_text(json.dumps(index))
    return folder


@pytest.mark.parametrize("pickled", [True, False])
def test_an_official_sharded_checkpoint_gives_the_recorded_logits(tmp_path, recorded, pickled):
    model = MplugOwlVideo.from_pretrained(sharded(tmp_path / "checkpoint", pickled))
    with torch.no_grad():
        logits = model(recorded["T4.video_pixel_values"].float(), recorded["full_T4.input_ids"])
    want = recorded["full_T4.logits"]
    assert_equal(logits[:, : want.shape[1]], want)


def test_a_missing_shard_tensor_or_a_foreign_one_is_named(tmp_path):
    folder = sharded(tmp_path / "checkpoint", pickled=True)
    (folder / "pytorch_model-00002-of-00003.bin").unlink()
    with pytest.raises(ValueError, match=r"pytorch_model-00002-of-00003\.bin, which is not there"):
        MplugOwlVideo.from_pretrained(folder)
    from safetensors.torch import save_file

    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(GOLDEN / "config.json", other)
    tensors = load_file(GOLDEN / "model.safetensors")
    gone = tensors.pop("abstractor.vit_eos")
    save_file(tensors, other / "model.safetensors")
    with pytest.raises(ValueError, match=r"lacks the tensor abstractor\.vit_eos"):
        MplugOwlVideo.from_pretrained(other)
    save_file(tensors | {"abstractor.vit_eos": gone, "abstractor.vit_bos": gone.clone()}, other / "model.safetensors")
    with pytest.raises(ValueError, match=r"holds abstractor\.vit_bos"):
        MplugOwlVideo.from_pretrained(other)


def test_a_video_of_one_frame_is_refused(model):
    with pytest.raises(ValueError, match="at least 2 frames"):
        model.features(torch.zeros(1, 3, 1, 28, 28))
