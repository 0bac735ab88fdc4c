"""What a checkpoint needs is counted from its shapes, and said before anything is loaded."""

import pytest
import torch
from safetensors.torch import save_file

from synvita.videollm import memory
from synvita.videollm.protocol import Loading
from synvita.weigh.llava import Llava
from synvita.weigh.video_llm import VideoLLMScorer


@pytest.fixture
def folder(tmp_path):
    tensors = {"embed_tokens.weight": torch.zeros(100, 10), "q.weight": torch.zeros(30, 10), "norm": torch.zeros(10)}
    save_file(tensors, tmp_path / "model.safetensors")
    return tmp_path


def test_bytes_are_those_of_the_numbers_with_five_percent_on_top(folder):
    assert memory.needed(folder, Loading()) == int(1310 * 4 * 1.05)
    assert memory.needed(folder, Loading(dtype=torch.bfloat16)) == int(1310 * 2 * 1.05)


def test_four_bits_are_for_matrices_and_not_for_tables_and_norms(folder):
    how = Loading(dtype=torch.bfloat16, load_4bit=True)
    assert memory.needed(folder, how) == int((1010 * 2 + 300 * 0.5625) * 1.05)


@pytest.mark.parametrize("part", ["model.vision_tower.q.weight", "qformer.q.weight", "language_projection.weight"])
def test_four_bits_leave_what_stands_before_the_language_model_as_it_is(part, tmp_path, monkeypatch):
    save_file({"q.weight": torch.zeros(30, 10), part: torch.zeros(30, 10)}, tmp_path / "model.safetensors")
    how = Loading(dtype=torch.bfloat16, load_4bit=True)
    assert memory.needed(tmp_path, how) == int((300 * 2 + 300 * 0.5625) * 1.05)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    config = how.placement()["quantization_config"]
    assert config.load_in_4bit and {"vision_tower", "qformer", "lm_head"} <= set(config.llm_int8_skip_modules)


def test_a_scorer_that_does_not_fit_says_need_room_and_ways_out_before_loading(folder, monkeypatch):
    monkeypatch.setattr(memory, "free", lambda device: 1_000_000)
    scorer = Llava("mini-llava")
    scorer.build = lambda folder: pytest.fail("was loaded")
    with pytest.raises(MemoryError) as caught:
        scorer.load()
    text = str(caught.value)
    assert text.startswith("--scorers.llava.device: ") and "\n" not in text
    assert "GB in float32, cpu has 0.0 GB free; give load_4bit true, dtype bfloat16, device_map auto or a" in text
    monkeypatch.setattr(memory, "free", lambda device: 0)
    memory.check_memory(folder, Loading(device_map="auto"), "--x")  # spread over all that is there


def test_a_video_llm_that_does_not_fit_is_refused_in_the_same_way(monkeypatch):
    from synvita.videollm.models import load_model

    monkeypatch.setattr(memory, "free", lambda device: 1_000_000)
    with pytest.raises(MemoryError, match=r"^--model: .*mini-video-llava needs 0\.0 GB in float32, cpu has 0\.0 GB"):
        load_model("mini-video-llava")
    with pytest.raises(MemoryError, match=r"^--scorers\.video_llm\.checkpoint: "):
        VideoLLMScorer("mini-video-llava").load()
