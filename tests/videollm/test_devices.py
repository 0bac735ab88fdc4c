"""Where and in what precision a model runs."""

import importlib.util
import math

import pytest
import torch
from tiny_chat_models import SAVE

from synvita.core.video import sample_video
from synvita.videollm.models import load_model
from synvita.videollm.protocol import Loading, check_device, dtype_of
from synvita.videollm.scoring import score_captions

CAPTIONS = ["a red ring", "two dogs run fast", "a man walks his dog then sits"]


def scores(folder, how, adapter=None):
    model = load_model(folder, how, adapter)
    features = [{"features": torch.randn(8, 5, 32, generator=torch.Generator().manual_seed(0))}]
    return score_captions(model, model.media(features), [CAPTIONS])[0]


def test_a_device_map_gives_the_same_numbers(official_folder):
    torch.testing.assert_close(scores(official_folder, Loading(device_map="auto")), scores(official_folder, Loading()))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_in_16_bits_scores_are_still_fp32_and_near(official_folder, dtype):
    got, want = scores(official_folder, Loading(dtype=dtype)), scores(official_folder, Loading())
    assert got.dtype == torch.float32 and (got - want).abs().max() < 0.05
    assert len(set(got.tolist())) == len(CAPTIONS)


def test_an_unknown_dtype_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="--dtype: unknown 'fp4'; known: float32, bfloat16, float16"):
        dtype_of("fp4")


@pytest.mark.skipif(importlib.util.find_spec("bitsandbytes") is not None, reason="bitsandbytes is there")
def test_4_bits_without_bitsandbytes_say_how_to_get_it(official_folder):
    with pytest.raises(ValueError, match=r"--load-4bit: needs bitsandbytes; pip install 'synvita\[4bit\]'"):
        scores(official_folder, Loading(load_4bit=True))


@pytest.mark.skipif(importlib.util.find_spec("bitsandbytes") is None, reason="needs bitsandbytes")
def test_in_4_bits_the_scores_are_near(official_folder):
    got, want = scores(official_folder, Loading(load_4bit=True)), scores(official_folder, Loading())
    assert (got - want).abs().max() < 0.3 and not torch.equal(got, want)


@pytest.mark.gpu
def test_on_a_gpu_the_scores_are_those_of_the_cpu(official_folder):
    got, want = scores(official_folder, Loading(device="cuda")), scores(official_folder, Loading())
    assert (got - want).abs().max() < 1e-3 and all(map(math.isfinite, got.tolist()))


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["mplug_owl", "official", "hf", *SAVE])
def test_on_a_gpu_every_family_scores_videos_as_on_the_cpu(name, dtype, videos, tmp_path, request):
    if name in SAVE:
        torch.manual_seed(1)
        bare = SAVE[name](tmp_path)
        for p in bare.parameters():
            if p.ndim > 1:
                p.data.normal_(0, 0.25)
        bare.save_pretrained(tmp_path)
    folder = tmp_path if name in SAVE else request.getfixturevalue(f"{name}_folder")

    def scored(how):
        model = load_model(folder, how)
        looked = [model.look(sample_video(path, model.policy)) for path in videos]
        return torch.stack([*score_captions(model, model.media(looked), [CAPTIONS] * len(videos))])

    got, want = scored(Loading(device="cuda", dtype=dtype)), scored(Loading())
    assert got.dtype == torch.float32 and torch.isfinite(got).all()
    spread = float(want.max() - want.min())
    assert (got.cpu() - want).abs().max() < (1e-3 if dtype == torch.float32 else 0.1) * max(spread, 1.0)


@pytest.mark.gpu
def test_a_device_map_on_a_gpu_gives_the_numbers_of_the_cpu(official_folder):
    torch.testing.assert_close(
        scores(official_folder, Loading(device_map="auto")), scores(official_folder, Loading()), atol=1e-3, rtol=0
    )


# ---- settings that cannot be


def test_cuda_without_a_cuda_device_is_refused_with_the_knob_and_the_way_out(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    text = "--train.device: cuda asked for, but this machine's torch sees no CUDA device; give --train.device cpu"
    with pytest.raises(ValueError, match=text):
        check_device("cuda", "--train.device")
    with pytest.raises(ValueError, match="--device: cuda:1 asked for"):
        Loading(device="cuda:1")


def test_a_device_beyond_the_last_one_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    check_device("cuda:1", "--device")
    with pytest.raises(ValueError, match="--device: cuda:2 asked for, but the last one here is cuda:1"):
        check_device("cuda:2", "--device")


@pytest.mark.parametrize("device", ["gpu", "meta", "", "cuda:x", 0, None])
def test_an_unknown_device_is_refused_with_the_known_ones(device):
    with pytest.raises(ValueError, match=r"--device: unknown .*known: cpu, cuda, mps"):
        Loading(device=device)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"frames": -3}, "--frames: -3 is not a whole number"),
        ({"frames": math.nan}, "--frames: nan"),
        ({"frames": True}, "--frames: True"),
        ({"frames": 1.5}, "--frames: 1.5"),
        ({"device_map": "everywhere"}, "--device-map: unknown 'everywhere'; known: auto"),
        ({"dtype": "float32"}, "--dtype: 'float32' is not a torch.dtype"),
    ],
)
def test_a_setting_of_loading_that_cannot_be_is_refused_by_name(how, message):
    with pytest.raises(ValueError, match=message):
        Loading(**how)


def test_a_device_beside_a_device_map_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ValueError, match="--device-map: auto chooses the devices itself; leave --device cuda:1 out"):
        Loading(device="cuda:1", device_map="auto")
