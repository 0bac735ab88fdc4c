"""LaVie's pipeline samples as its formulas say, whatever shares a batch, and comes back from a folder."""

import numpy as np
import pytest
import torch
from official_files import write_lavie

from synvita.generate.lavie import LaviePipeline, lavie_scheduler
from synvita.generate.official_pipelines import lavie_pipeline

CAPTIONS = ["a red ring moving left", "two blue rings growing", "a cyan square"]
SMALL = {"num_frames": 3, "height": 8, "width": 12, "num_inference_steps": 2, "output_type": "latent"}


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lavie")
    made = lavie_pipeline(write_lavie(folder), folder / "base")
    made.set_progress_bar_config(disable=True)
    return made


def own(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


@pytest.mark.parametrize("method", ["ddpm", "ddim"])
def test_a_clip_is_decided_by_its_caption_and_seed_whatever_shares_its_batch(pipeline, method):
    pipeline.scheduler = lavie_scheduler(method)
    together = pipeline(CAPTIONS, generator=own(5, 6, 7), **SMALL).frames
    for i, caption in enumerate(CAPTIONS):
        alone = pipeline(caption, generator=own(5 + i), **SMALL).frames[0]
        torch.testing.assert_close(alone, together[i], rtol=1e-4, atol=1e-4 * float(alone.abs().max()))


@torch.no_grad()
def test_guidance_is_two_passes_and_each_step_the_posterior_of_ddpm(pipeline):
    pipeline.scheduler = lavie_scheduler()
    rng, alphas = own(3)[0], torch.linspace(1e-4, 0.02, 1000).double().neg().add(1).cumprod(0)
    x = torch.randn(1, 4, 3, 4, 6, generator=rng)
    ids = pipeline.tokenizer([CAPTIONS[0], ""], padding="max_length", max_length=77)["input_ids"]
    text, null = pipeline.text_encoder(torch.tensor(ids)).last_hidden_state.split(1)
    for time, before in ((500, 0), (0, None)):
        t = torch.tensor([time])
        with_text, without = pipeline.unet(x, t, text), pipeline.unet(x, t, null)
        epsilon = without + 5 * (with_text - without)
        a, a_before = alphas[time], alphas[before] if before is not None else torch.tensor(1.0)
        original = (x - (1 - a).sqrt() * epsilon) / a.sqrt()
        beta = 1 - a / a_before
        x = a_before.sqrt() * beta / (1 - a) * original + (a / a_before).sqrt() * (1 - a_before) / (1 - a) * x
        if before is not None:
            noise = torch.randn(1, 4, 3, 4, 6, generator=rng)
            x = x + ((1 - a_before) / (1 - a) * beta).sqrt() * noise
        x = x.float()
    made = pipeline(CAPTIONS[0], guidance_scale=5, generator=own(3), **SMALL).frames
    torch.testing.assert_close(made, x, rtol=1e-4, atol=1e-4 * float(x.abs().max()))


def test_without_guidance_the_network_is_asked_once_per_step(pipeline, monkeypatch):
    asked, real = [], type(pipeline.unet).forward
    monkeypatch.setattr(type(pipeline.unet), "forward", lambda s, x, *a: asked.append(len(x)) or real(s, x, *a))
    pipeline(CAPTIONS, guidance_scale=1, **SMALL)
    pipeline(CAPTIONS, **SMALL)
    assert asked == [3, 3, 6, 6]


def test_frames_are_rounded_to_bytes_as_upstream_does(pipeline, monkeypatch):
    values = torch.tensor([-2.0, -1.0, 0.0, 0.0 + 0.9 / 127.5, 1.0, 2.0])
    pixels = values.view(1, 1, 1, 6, 1).expand(1, 1, 1, 6, 3)
    monkeypatch.setattr("synvita.generate.lavie_pipeline.decoded", lambda *_: pixels)
    made = pipeline.decode(torch.zeros(1))
    assert made.dtype == np.uint8 and made[0, 0, 0, :, 0].tolist() == [0, 0, 128, 128, 255, 255]


def test_the_vae_sees_latents_divided_by_their_scale_frame_by_frame(pipeline):
    latents = torch.randn(2, 4, 9, 4, 6, generator=own(1)[0])
    made = pipeline.decode(latents)
    assert made.shape == (2, 9, 8, 12, 3)
    for clip, frame in ((0, 0), (0, 8), (1, 4)):
        with torch.no_grad():
            pixels = pipeline.vae.decode(latents[clip, :, frame][None] / 0.18215).sample[0].permute(1, 2, 0)
        expected = ((pixels / 2 + 0.5) * 255).round().clamp(0, 255)
        assert np.abs(made[clip, frame] - expected.numpy()).max() <= 1


def test_the_pipeline_comes_back_from_its_folder(pipeline, tmp_path):
    pipeline.scheduler = lavie_scheduler()
    pipeline.save_pretrained(tmp_path)
    again = LaviePipeline.from_pretrained(tmp_path)
    again.set_progress_bar_config(disable=True)
    assert (again.config.num_frames, again.config.height, again.config.guidance_scale) == (16, 320, 7.5)
    a, b = (p(CAPTIONS[0], generator=own(1), **SMALL).frames for p in (pipeline, again))
    assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"height": 9}, "height: 9; this model makes multiples of 4; the nearest is 8"),
        ({"width": 1}, "width: 1; this model makes multiples of 4; the nearest is 4"),
        ({"num_frames": 0}, "num_frames: 0; at least 1 is needed"),
    ],
)
def test_a_size_that_the_model_cannot_do_is_refused_with_the_nearest_that_it_can(pipeline, change, message):
    with pytest.raises(ValueError, match=message):
        pipeline(CAPTIONS[0], **SMALL | change)
    with pytest.raises(ValueError, match="scheduler: 'euler'; known: ddpm, ddim"):
        lavie_scheduler("euler")
