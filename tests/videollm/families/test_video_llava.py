"""Video-LLaVA gives the numbers recorded from the authors' code, and loads from each of its layouts."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from synvita.core.pixels import Preprocess
from synvita.videollm.families.video_llava import VideoLlava
from synvita.videollm.protocol import Loading

DATA = Path(__file__).parents[2] / "data"
GOLDEN = DATA / "video_llava_tiny"


@pytest.fixture(scope="module")
def recorded():
    return load_file(GOLDEN / "tensors.safetensors")


@pytest.fixture(scope="module")
def values():
    return json.loads((GOLDEN / "values.json").read_text())


def golden_folder(folder: Path, tower: Path) -> Path:
    """The golden weights as an official checkpoint; the recording had no tower, any of the right width will do."""
    folder.mkdir()
    stored = json.loads((GOLDEN / "config.json").read_text())
    config = stored["llama_config"] | stored["llava_extra"] | {"mm_video_tower": str(tower), "model_type": "llava"}
    (folder / "config.json").write_text(json.dumps(config))
    shutil.copy(GOLDEN / "model.safetensors", folder)
    return folder


@pytest.fixture(scope="module")
def golden(tmp_path_factory, languagebind_folder):
    return VideoLlava.from_pretrained(golden_folder(tmp_path_factory.mktemp("golden") / "model", languagebind_folder))


def assert_equal(got, want):
    assert got.shape == want.shape
    assert ((got - want).abs().max() / want.abs().max()).item() <= 1e-5


@pytest.mark.parametrize("case", ["main", "nle_order"])
def test_logits_of_full_and_masked_sequences_are_the_recorded_ones(golden, recorded, values, case):
    facts = values[case]
    features = torch.stack([recorded[f"video_features.{name}"] for name in facts["videos"]])
    keys = recorded[f"{case}.attention_mask"].bool()
    shared = recorded[f"{case}.shared_semantic_indices"]
    mask = recorded[f"{case}.shared_semantic_mask"].bool()
    assert (~mask[shared]).any()  # there are masked sequences
    with torch.no_grad():
        logits = golden.forward_features(features, recorded[f"{case}.input_ids"], keys & mask)
    first = [positions[0] - 1 for positions in facts["label_positions_in_prepared_sequence"]]
    assert_equal(logits[torch.arange(len(first)), first], recorded[f"{case}.logits_before_first_label"])


def test_the_expanded_mask_is_the_recorded_one(golden, recorded, monkeypatch):
    from synvita.videollm.families import video_llava

    seen = {}
    monkeypatch.setattr(video_llava, "plain_logits", lambda model, ids, keys, visual: seen.update(ids=ids, keys=keys))
    features = torch.stack([recorded["video_features.A.mp4"]] * 9)
    keys = recorded["main.attention_mask"].bool() & recorded["main.shared_semantic_mask"].bool()
    golden.forward_features(features, recorded["main.input_ids"], keys)
    assert torch.equal(seen["keys"].bool(), recorded["main.prepared.attention_mask"].bool())


def test_from_pixels_the_logits_are_those_from_the_towers_features(golden, recorded):
    pixels = load_file(DATA / "languagebind_video_tiny" / "time_attn_tensors.safetensors")["input.video_T8"]
    ids = recorded["main.input_ids"][:2]
    with torch.no_grad():
        got, want = golden(pixels, ids), golden.forward_features(golden.tower(pixels), ids)
    assert torch.equal(got, want) and got.shape == (2, 104, 256)


def test_the_projector_gives_the_recorded_tokens(tmp_path, languagebind_folder):
    tensors = load_file(DATA / "languagebind_video_tiny" / "time_attn_state_dict.safetensors")
    folder = golden_folder(tmp_path / "model", languagebind_folder)
    config = json.loads((folder / "config.json").read_text()) | {"hidden_size": 48}
    (folder / "config.json").write_text(json.dumps(config))
    from transformers import LlamaConfig, LlamaForCausalLM

    language = LlamaForCausalLM(LlamaConfig(**config)).state_dict()
    projector = {k: v for k, v in tensors.items() if "mm_projector" in k}
    save_file(language | projector, folder / "model.safetensors")
    recorded = load_file(DATA / "languagebind_video_tiny" / "time_attn_tensors.safetensors")
    model = VideoLlava.from_pretrained(folder)
    assert_equal(model.project(model.features(recorded["input.video_T8"])), recorded["T8.after_projector"])


# ---- layouts


@pytest.mark.parametrize("pickled", [True, False])
def test_an_official_sharded_checkpoint_gives_the_recorded_logits(
    tmp_path, recorded, values, languagebind_folder, pickled
):
    folder = golden_folder(tmp_path / "model", languagebind_folder)
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names, where = sorted(tensors), {}
    stem, end = ("pytorch_model", "bin") if pickled else ("model", "safetensors")
    for k in range(2):
        file = f"{stem}-{k + 1:05d}-of-00002.{end}"
        some = {n: tensors[n] for n in names[k::2]}
        where |= dict.fromkeys(some, file)
        torch.save(some, folder / file) if pickled else save_file(some, folder / file)
    index = "pytorch_model.bin.index.json" if pickled else "model.safetensors.index.json"
    (folder / index).write_text(json.dumps({"metadata": {}, "weight_map": where}))
    model = VideoLlava.from_pretrained(folder)
    features = torch.stack([recorded[f"video_features.{name}"] for name in values["main"]["videos"]])[:1]
    with torch.no_grad():
        logits = model.forward_features(features, recorded["main.input_ids"][:1], recorded["main.attention_mask"][:1])
    at = values["main"]["label_positions_in_prepared_sequence"][0][0] - 1
    assert_equal(logits[:, at], recorded["main.logits_before_first_label"][:1])


def test_the_folders_tower_wins_over_a_copy_in_the_checkpoint(official_folder, languagebind_folder):
    model = VideoLlava.from_pretrained(official_folder)
    tower = torch.load(languagebind_folder / "pytorch_model.bin", weights_only=True)
    assert torch.equal(model.tower.pre_layrnorm.weight, tower["vision_model.pre_layrnorm.weight"])
    assert model.temporal_attention is True and model.layer == -2 and model.frames == 8


def test_vicuna_with_a_pretraining_projector_gives_the_numbers_of_the_official_layout(
    tmp_path, official_folder, languagebind_folder
):
    tensors = torch.load(official_folder / "pytorch_model.bin", weights_only=True)
    projector, vicuna = tmp_path / "Video-LLaVA-Pretrain-7B", tmp_path / "vicuna-7b-v1.5"
    for folder in (projector, vicuna):
        folder.mkdir()
    config = json.loads((official_folder / "config.json").read_text())
    plain = {k: v for k, v in config.items() if not k.startswith("mm_")} | {"model_type": "llama"}
    (vicuna / "config.json").write_text(json.dumps(plain))
    own = {k: v for k, v in config.items() if k.startswith("mm_")} | {"model_type": "llava"}
    (projector / "config.json").write_text(json.dumps(own))
    torch.save({k: v for k, v in tensors.items() if "mm_projector" in k}, projector / "mm_projector.bin")
    torch.save({k: v for k, v in tensors.items() if "mm_" not in k and "tower" not in k}, vicuna / "pytorch_model.bin")
    shutil.copy(official_folder / "tokenizer.model", vicuna)
    with pytest.raises(ValueError, match=r"--base: .* holds a projector only; give the vicuna"):
        VideoLlava.from_pretrained(projector)
    model = VideoLlava.from_pretrained(projector, Loading(base=str(vicuna)))
    official = VideoLlava.from_pretrained(official_folder)
    features = [{"features": torch.randn(8, 5, 32, generator=torch.Generator().manual_seed(0))}]
    asked = official.questioner.ask("a ring")
    assert model.questioner.ask("a ring") == asked
    from synvita.videollm.scoring import score_captions

    got, want = (score_captions(m, m.media(features), [["a ring"]])[0] for m in (model, official))
    assert torch.equal(got, want)


def test_the_hf_layout_is_loaded_only_when_somebody_says_that_it_has_no_temporal_attention(tmp_path, hf_folder):
    folder = tmp_path / "hf"
    shutil.copytree(hf_folder, folder)
    config = json.loads((folder / "config.json").read_text())
    assert config.pop("temporal_attention") is False  # the miniature's says so itself
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"--temporal-attention: .* has no temporal"):
        VideoLlava.from_pretrained(folder)
    model = VideoLlava.from_pretrained(folder, Loading(temporal_attention=False))
    assert model.temporal_attention is False


def test_the_hf_layout_gives_the_numbers_of_transformers_own_class(hf_folder):
    from transformers import VideoLlavaForConditionalGeneration

    theirs = VideoLlavaForConditionalGeneration.from_pretrained(hf_folder, dtype=torch.float32).eval()
    ours = VideoLlava.from_pretrained(hf_folder)
    pixels = torch.randn(2, 8, 3, 30, 30, generator=torch.Generator().manual_seed(1))
    features = ours.features(pixels.transpose(1, 2))
    with torch.no_grad():
        want = theirs.model.get_video_features(pixels).pooler_output
    assert_equal(ours.project(features).flatten(0, 1), want.reshape(-1, *want.shape[-2:]))
    media = ours.media([{"features": f} for f in features])
    ids = torch.tensor([[*m.ids, *ours.questioner.ask("a red ring").ids] for m in media])
    with torch.no_grad():
        logits = theirs(input_ids=ids, pixel_values_videos=pixels).logits[:, -1]
    from synvita.videollm.scoring import score_captions

    got = torch.cat(score_captions(ours, media, [["a red ring"]] * 2))
    answers = ours.questioner.answers
    torch.testing.assert_close(got, logits[:, answers.yes] - logits[:, answers.no], atol=1e-4, rtol=0)


def test_old_names_of_the_hf_layout_load_to_the_same_model(tmp_path, hf_folder):
    """transformers 4.31 to 4.51 wrote `video_tower.vision_model.*` and `language_model.model.*`."""
    folder = tmp_path / "old"
    shutil.copytree(hf_folder, folder)
    tensors = load_file(folder / "model.safetensors")
    renamed = {}
    for name, value in tensors.items():
        new = name.replace("video_tower.", "video_tower.vision_model.").replace(
            "image_tower.", "image_tower.vision_model."
        )
        new = new.replace("model.language_model.", "language_model.model.") if new.startswith("model.") else new
        renamed[new] = value
    renamed["video_tower.vision_model.embeddings.position_ids"] = torch.arange(10)
    save_file(renamed, folder / "model.safetensors")
    a, b = VideoLlava.from_pretrained(folder), VideoLlava.from_pretrained(hf_folder)
    for (name, p), q in zip(a.named_parameters(), b.parameters(), strict=True):
        assert torch.equal(p, q), name


@pytest.mark.parametrize("name", ["add_time_attn", "num_frames", "hidden_act"])
def test_a_tower_whose_config_leaves_out_what_decides_is_refused(tmp_path, official_folder, languagebind_folder, name):
    tower = tmp_path / "tower"
    shutil.copytree(languagebind_folder, tower)
    config = json.loads((tower / "config.json").read_text())
    del config["vision_config"][name]
    (tower / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=f"--tower: .*config.json: vision_config has no {name}"):
        VideoLlava.from_pretrained(official_folder, Loading(tower=str(tower)))


def test_a_missing_or_foreign_tensor_is_named(tmp_path, official_folder):
    folder = tmp_path / "model"
    shutil.copytree(official_folder, folder)
    tensors = torch.load(folder / "pytorch_model.bin", weights_only=True)
    gone = tensors.pop("model.layers.1.mlp.up_proj.weight")
    torch.save(tensors, folder / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"lacks the tensor model\.layers\.1\.mlp\.up_proj\.weight"):
        VideoLlava.from_pretrained(folder)
    tensors |= {"model.layers.1.mlp.up_proj.weight": gone, "model.layers.1.mlp.gate.weight": gone}
    torch.save(tensors, folder / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"holds model\.layers\.1\.mlp\.gate\.weight, which the model has no place"):
        VideoLlava.from_pretrained(folder)
    del tensors["model.layers.1.mlp.gate.weight"]
    torch.save(tensors | {"model.mm_projector.2.bias": torch.zeros(7)}, folder / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"2\.bias has the shape \(7,\), the config says \(64,\)"):
        VideoLlava.from_pretrained(folder)


def test_another_architecture_is_refused_by_name(tmp_path):
    from synvita.videollm.models import load_model

    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llava"}))
    with pytest.raises(ValueError, match="is a 'llava' checkpoint without a video tower"):
        load_model(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "video_llama_3"}))
    with pytest.raises(ValueError, match=r"model_type 'video_llama_3' is not done; known: .*mplug-owl.*qwen3_vl"):
        load_model(tmp_path)


# ---- frames


@pytest.mark.parametrize("case", ["landscape_up", "portrait_down"])
def test_preprocessing_gives_the_recorded_pixels(case):
    recorded = load_file(DATA / "languagebind_video_preprocess" / "tensors.safetensors")
    facts = json.loads((DATA / "languagebind_video_preprocess" / "values.json").read_text())["cases"][case]
    frames = recorded[f"{case}.frames_uint8_CTHW"].permute(1, 2, 3, 0).numpy()
    got = Preprocess(224)(frames).transpose(0, 1)  # (3, T, H, W)
    assert_equal(got[:, :, 3::7, 3::7], recorded[f"{case}.output_strided_3_7"])
    assert_equal(got[:, 0, 100:102], recorded[f"{case}.output_rows_100_101_frame0"])
    assert got.abs().sum().item() == pytest.approx(facts["sum_abs"], rel=1e-5)
