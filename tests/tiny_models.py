"""Fixtures: tiny checkpoints of the video LLMs in their official layouts, with a sentencepiece model trained here."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from synvita.core.write_video import write_video

DATA = Path(__file__).parent / "data"
SENTENCES = [
    'Does this video entail the description: "a man walks his dog"?',
    'What is the misalignment between this video and the description: "two dogs run"?',
    "The assistant gives helpful, detailed, and polite answers to the user's questions.",
    "a red circle moves left then grows AI: Human: USER: ASSISTANT: Yes No Yes No Yes No",
]


@pytest.fixture(scope="session")
def pieces(tmp_path_factory) -> Path:
    """A `tokenizer.model` as LLaMA's: BPE with byte fallback, a leading blank, no normalisation."""
    import sentencepiece

    stem = tmp_path_factory.mktemp("pieces") / "tokenizer"
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES * 20), model_prefix=str(stem), vocab_size=400, model_type="bpe",
        byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False,
        hard_vocab_limit=False, unk_id=0, bos_id=1, eos_id=2, pad_id=-1, minloglevel=2,
    )  # fmt: skip
    return stem.with_suffix(".model")


@pytest.fixture(scope="session")
def mplug_owl_folder(tmp_path_factory, pieces) -> Path:
    """The golden mPLUG-Owl with a tokenizer of its own."""
    folder = tmp_path_factory.mktemp("mplug") / "mplug-owl"
    shutil.copytree(DATA / "mplug_owl_tiny", folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "mplug-owl"}))
    shutil.copy(pieces, folder)
    return folder


@pytest.fixture(scope="session")
def languagebind_folder(tmp_path_factory) -> Path:
    """LanguageBind's own folder: `vision_model.*` beside parts that nothing here uses."""
    folder = tmp_path_factory.mktemp("tower") / "LanguageBind_Video_merge"
    folder.mkdir()
    golden = DATA / "languagebind_video_tiny"
    vision = json.loads((golden / "config.json").read_text())["vision_config"]
    config = {"vision_config": vision | {"add_time_attn": True, "num_frames": 8}, "model_type": "LanguageBindVideo"}
    (folder / "config.json").write_text(json.dumps(config))
    prefix = "model.video_tower.video_tower."
    tower = load_file(golden / "time_attn_state_dict.safetensors")
    tensors = {"vision_model." + k.removeprefix(prefix): v for k, v in tower.items() if k.startswith(prefix)}
    torch.save(tensors | {"logit_scale": torch.tensor(2.6592)}, folder / "pytorch_model.bin")
    return folder


def random_llama(hidden: int = 64, vocab: int = 512) -> tuple[dict, dict]:
    """(config, weights by official names), answers far enough apart to tell captions from one another."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=vocab, hidden_size=hidden, intermediate_size=2 * hidden, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=512, tie_word_embeddings=False,
    )  # fmt: skip
    torch.manual_seed(1)
    tensors = LlamaForCausalLM(config).state_dict()
    return config.to_dict(), {k: v * (4 if v.ndim > 1 else 1) for k, v in tensors.items()}


@pytest.fixture(scope="session")
def official_folder(tmp_path_factory, pieces, languagebind_folder) -> Path:
    """Video-LLaVA as released: pickled LLaMA + projector, with a copy of other tower weights that must not be used."""
    folder = tmp_path_factory.mktemp("official") / "Video-LLaVA-7B"
    folder.mkdir()
    config, tensors = random_llama()
    own = {"mm_video_tower": str(languagebind_folder), "mm_projector_type": "mlp2x_gelu", "mm_hidden_size": 32}
    own |= {"mm_vision_select_layer": -2, "model_type": "llava", "architectures": ["LlavaLlamaForCausalLM"]}
    (folder / "config.json").write_text(json.dumps(config | own))
    generator = torch.Generator().manual_seed(2)
    for name, shape in (("0", (64, 32)), ("2", (64, 64))):
        tensors[f"model.mm_projector.{name}.weight"] = torch.randn(shape, generator=generator) * 0.1
        tensors[f"model.mm_projector.{name}.bias"] = torch.randn(shape[0], generator=generator) * 0.1
    tensors["model.video_tower.video_tower.pre_layrnorm.weight"] = torch.full((32,), 7.0)
    torch.save(tensors, folder / "pytorch_model.bin")
    shutil.copy(pieces, folder)
    return folder


@pytest.fixture(scope="session")
def hf_folder(tmp_path_factory) -> Path:
    """Video-LLaVA in transformers' layout, with random weights."""
    from synvita.pretrain.models import save, tiny_video_llava

    torch.manual_seed(0)
    model, tokenizer = tiny_video_llava()
    for p in model.parameters():  # the fresh model's answers hardly differ: make them differ
        p.data.mul_(3 if p.ndim > 1 else 1)
    folder = tmp_path_factory.mktemp("hf") / "Video-LLaVA-7B-hf"
    save(model, tokenizer, folder)
    return folder


@pytest.fixture(scope="session", params=["mplug_owl", "video_llava", "video_llava_hf"])
def model(request):
    """Each of the paper's models through the one loader that users have."""
    from synvita.videollm.models import load_model

    folders = {"mplug_owl": "mplug_owl_folder", "video_llava": "official_folder", "video_llava_hf": "hf_folder"}
    return load_model(request.getfixturevalue(folders[request.param]))


@pytest.fixture(scope="session")
def videos(tmp_path_factory) -> list[Path]:
    """Three short videos that differ in size, length and content."""
    folder = tmp_path_factory.mktemp("videos")
    found = []
    for i, (frames, height, width) in enumerate([(12, 48, 64), (40, 64, 48), (3, 32, 32)]):
        noise = np.random.default_rng(i).integers(0, 255, (frames, height // 8, width // 8, 3), dtype=np.uint8)
        path = folder / f"{i}.mp4"
        write_video(path, noise.repeat(8, 1).repeat(8, 2), 8)
        found.append(path)
    return found


@pytest.fixture(scope="session")
def media(model, videos):
    from synvita.core.video import sample_video

    return model.media([model.look(sample_video(path, model.policy)) for path in videos])
