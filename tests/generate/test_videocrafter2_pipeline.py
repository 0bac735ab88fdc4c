"""The pipeline samples as its formulas say, whatever shares a batch, and comes back from a folder."""

import numpy as np
import pytest
import torch

from synvita.generate.pixel_codec import PixelCodec
from synvita.generate.videocrafter2_pipeline import VideoCrafter2Pipeline
from synvita.generate.videocrafter2_unet import VideoCrafter2UNet
from synvita.pretrain.generator_models import mini_videocrafter2

CAPTIONS = ["a small red cross moving left", "two blue rings growing", "a large cyan square blinking"]


@pytest.fixture(scope="module")
def pipeline():
    torch.manual_seed(0)
    made = mini_videocrafter2()
    for p in made.unet.parameters():
        torch.nn.init.normal_(p, std=0.05) if p.ndim > 1 else None
    made.set_progress_bar_config(disable=True)
    return made


def own(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_a_clip_is_decided_by_its_caption_and_seed_whatever_shares_its_batch(pipeline, eta):
    settings = {"num_inference_steps": 3, "eta": eta, "output_type": "latent"}
    together = pipeline(CAPTIONS, generator=own(5, 6, 7), **settings).frames
    for i, caption in enumerate(CAPTIONS):
        alone = pipeline(caption, generator=own(5 + i), **settings).frames[0]
        torch.testing.assert_close(alone, together[i], rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_guidance_is_two_passes_of_the_network(pipeline):
    x = torch.randn(1, 12, 8, 16, 16, generator=own(3)[0])
    text, null = pipeline.encode_prompt([CAPTIONS[0]]), pipeline.encode_prompt([""])
    scheduler = pipeline.scheduler
    scheduler.set_timesteps(2)
    for time in scheduler.timesteps:
        with_text, without = pipeline.unet(x, time[None], text, 8), pipeline.unet(x, time[None], null, 8)
        x, _ = scheduler.step(without + 5 * (with_text - without), time, x)
    made = pipeline(CAPTIONS[0], num_inference_steps=2, guidance_scale=5, generator=own(3), output_type="latent")
    torch.testing.assert_close(made.frames, x, rtol=1e-4, atol=1e-4)


def test_without_guidance_the_network_is_asked_once_per_step(pipeline, monkeypatch):
    asked, real = [], VideoCrafter2UNet.forward
    monkeypatch.setattr(VideoCrafter2UNet, "forward", lambda s, x, *a, **k: asked.append(len(x)) or real(s, x, *a, **k))
    pipeline(CAPTIONS, num_inference_steps=2, guidance_scale=1)
    pipeline(CAPTIONS, num_inference_steps=2)
    assert asked == [3, 3, 6, 6]


def test_frames_are_truncated_to_bytes_as_upstream_writes_them(pipeline):
    latents = torch.full((1, 12, 2, 16, 16), 0.0)
    latents[0, 4] = 5.0  # green of the upper left pixel of every square
    frames = pipeline.decode(latents)
    assert frames.shape == (1, 2, 32, 32, 3) and frames.dtype == np.uint8
    assert frames[0, 0, 0, 0].tolist() == [127, 255, 127] and frames[0, 0, 0, 1].tolist() == [127, 127, 127]


def test_the_pipeline_comes_back_from_its_folder_with_what_it_was_made_for(pipeline, tmp_path):
    pipeline.save_pretrained(tmp_path)
    again = VideoCrafter2Pipeline.from_pretrained(tmp_path)
    again.set_progress_bar_config(disable=True)
    assert (again.config.num_frames, again.config.fps, again.config.height) == (8, 8, 32)
    settings = {"num_inference_steps": 1, "output_type": "latent"}
    a, b = (p(CAPTIONS[0], generator=own(1), **settings).frames for p in (pipeline, again))
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_the_codec_turns_squares_into_channels_and_back_without_loss():
    codec, pixels = PixelCodec(), torch.rand(2, 3, 6, 4) * 2 - 1
    latents = codec.encode(pixels).latent_dist.sample()
    assert latents.shape == (2, 12, 3, 2)
    assert torch.equal(latents, torch.nn.functional.pixel_unshuffle(pixels, 2))
    assert torch.equal(codec.decode(latents).sample, pixels)
    with pytest.raises(ValueError, match="block_out_channels: 16 is last; squares have 12"):
        PixelCodec(block_out_channels=(3, 16))
