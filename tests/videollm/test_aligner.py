"""The Python API: what counts as captions, and what an unusable setting says."""

import math

import pytest

from synvita import Aligner
from synvita.videollm.visual import VisualStore


@pytest.fixture(scope="module")
def aligner():
    found = Aligner.from_pretrained("mini-video-llava")
    yield found
    found.close()


def test_one_string_is_one_caption(aligner, videos):
    one, listed = aligner.score(videos[0], "ducks"), aligner.score(videos[0], ["ducks"])
    assert one.log_odds.tolist() == listed.log_odds.tolist() and one.alignment.shape == (1,)


@pytest.mark.parametrize("captions", [[None], ["a ring", 3], [b"a ring"], [["a ring"]]])
def test_a_caption_that_is_no_text_is_named_by_its_place(aligner, videos, captions):
    with pytest.raises(ValueError, match=rf"captions\[{len(captions) - 1}\]: .* is not text"):
        aligner.score(videos[0], captions)


@pytest.mark.parametrize("captions", [[], (), ""])
def test_no_caption_is_refused(aligner, videos, captions):
    with pytest.raises(ValueError, match="caption"):
        aligner.score(videos[0], captions)


def test_a_pair_whose_caption_is_no_text_has_a_reason_and_the_others_their_scores(aligner, videos):
    found = list(aligner.score_pairs([(videos[0], "a ring"), (videos[0], None), (videos[0], "two crosses")]))
    assert math.isnan(found[1].log_odds) and "not text" in found[1].reason
    want = aligner.score(videos[0], ["a ring", "two crosses"]).log_odds.tolist()
    assert [found[0].log_odds, found[2].log_odds] == pytest.approx(want, abs=1e-4)


@pytest.mark.parametrize("limit", [0, -1, math.nan, math.inf])
def test_a_cache_limit_that_cannot_be_is_refused(aligner, limit):
    for limits in ({"disk_gb": limit}, {"memory_gb": limit}):
        with pytest.raises(ValueError, match="--cache-gb: must be a finite number, more than 0"):
            VisualStore(aligner.model, None, **limits)


def test_a_timeout_and_frames_that_cannot_be_are_refused_before_the_model_is_loaded(monkeypatch):
    monkeypatch.setattr("synvita.videollm.aligner.load_model", lambda *_: pytest.fail("loaded"))
    with pytest.raises(ValueError, match="--decode-timeout"):
        Aligner.from_pretrained(decode_timeout=math.nan)
    with pytest.raises(ValueError, match="--cache-gb"):
        Aligner.from_pretrained(cache_gb=-1.0)
    with pytest.raises(ValueError, match="--frames: -3"):
        Aligner.from_pretrained(frames=-3)


def test_an_explanation_ends_where_the_model_ends_it_or_at_its_limit(videos):
    aligner = Aligner.from_pretrained("mini-video-llava-shape-blind")  # it explains in sentences
    whole = aligner.explain(videos[0], "a small red cross moving left")
    assert whole == aligner.explain(videos[0], "a small red cross moving left", limit=60) != ""  # it ended by itself
    short = aligner.explain(videos[0], "a small red cross moving left", limit=2)
    assert whole.startswith(short) and len(short) < len(whole)
    aligner.close()
