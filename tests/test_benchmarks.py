"""The benchmarks run, and what they compare is equal."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "benchmarks"


def measured(script, *arguments):
    command = [sys.executable, FOLDER / script, *arguments]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.parametrize("shape", ["video_llava", "mplug_owl"])
def test_the_scoring_benchmark_compares_equal_work(shape):
    found = measured("scoring.py", "--tiny", "--shape", shape, "--captions", "3", "--videos", "1")
    assert 100 * found["largest_difference"] < found["spread_of_scores"] > 1e-5
    assert {"naive_s", "ratio", "least_gflop", "share_of_floor"} <= found.keys()


@pytest.mark.parametrize(
    ("shape", "tokens", "low", "high"), [("video_llava", 2056 + 70, 0.05, 0.10), ("mplug_owl", 257, 0.55, 0.65)]
)
def test_the_vision_part_has_the_share_of_a_naive_pair_that_it_has_in_the_released_model(
    shape, tokens, low, high, monkeypatch
):
    monkeypatch.syspath_prepend(str(FOLDER))
    import shapes

    for sizes in (shapes.SMALL, shapes.FULL):
        vision = shapes.vision_flops(shape, sizes[shape])
        assert low <= vision / (vision + shapes.language_flops(sizes[shape], tokens)) <= high


def test_the_training_benchmark_compares_equal_work():
    found = measured("training.py", "--tiny", "--no-memory", "--repeat", "1")
    assert found["largest_gradient_difference"] < 1e-4
    assert found["loss"] == pytest.approx(found["naive_loss"], rel=1e-4)
    assert {"naive_s", "ratio", "least_gflop", "share_of_floor"} <= found.keys()


def test_the_warm_cache_benchmark_gives_the_same_scores_cold_and_warm():
    found = measured("warm_cache.py", "--videos", "2")
    assert found["largest_difference"] == 0 and found["ratio"] > 1


def test_the_scale_benchmark_does_every_step_at_two_sizes():
    command = [sys.executable, FOLDER / "scale.py", "--triplets", "40", "--steps", "plan,weigh,examples"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    found = {}
    for line in lines:
        number, step, figures = line.split(maxsplit=2)
        found[int(number), step] = json.loads(figures)
    assert {number for number, _ in found} == {10, 40}
    for number in (10, 40):
        for step in ("plan", "weigh", "examples"):  # every triplet, its weight and its example
            assert found[number, step]["items"] == number and found[number, step]["peak_mb"] > 0
