"""Which clips an arm uses: all of them, those of some misalignment types, those of some generators, or none."""

from pathlib import Path

import pytest

from synvita.core.records import Clip, ClipWeight, Triplet
from synvita.core.store import write_records
from synvita.train.config import Arm
from synvita.train.examples import join

KINDS = {"t1": "action", "t2": "flip", "t3": "object"}
CLIPS = {"t1": ("lavie", "cogvideox"), "t2": ("lavie",), "t3": ("cogvideox",)}


@pytest.fixture
def run(tmp_path) -> Path:
    """Three triplets of three types; four clips of two generators."""
    triplets = [Triplet(t, f"{t}.mp4", f"{t} true", f"{t} false", kind, "train") for t, kind in KINDS.items()]
    names = [(t, g) for t, generators in CLIPS.items() for g in generators]
    clips = [Clip(f"{t}-{g}", f"{t} false", g, "1", {}, 0, f"{t}-{g}.mp4") for t, g in names]
    weights = [ClipWeight(t, f"{t}-{g}", "difference", ["llava"], 0.5) for t, g in names]
    for name, records in (("triplets", triplets), ("clips", clips), ("weights", weights)):
        write_records(tmp_path / f"{name}.jsonl", records)
    return tmp_path


def used(joined):
    """Triplet -> the clips beside its real video."""
    return {e.id: sorted({line.video for line in e.lines if line.synthetic}) for e in joined.examples}


ALL = {"t1": ["t1-cogvideox.mp4", "t1-lavie.mp4"], "t2": ["t2-lavie.mp4"], "t3": ["t3-cogvideox.mp4"]}


@pytest.mark.parametrize(
    ("arm", "want", "missing"),
    [
        (Arm("learned"), ALL, []),
        (Arm("learned", synthetic_types=("flip", "object")), ALL | {"t1": []}, []),
        (Arm("uniform", synthetic_types=("action",)), {"t1": ALL["t1"], "t2": [], "t3": []}, []),
        (Arm("learned", generators=("lavie",)), {"t1": ["t1-lavie.mp4"], "t2": ["t2-lavie.mp4"], "t3": []}, ["t3"]),
        (
            Arm("learned", synthetic_types=("action", "object"), generators=("lavie",)),
            {"t1": ["t1-lavie.mp4"], "t2": [], "t3": []},
            ["t3"],
        ),
        (Arm(), {"t1": [], "t2": [], "t3": []}, []),
    ],
)
def test_types_and_generators_restrict_the_clips_and_leave_every_real_video(run, arm, want, missing):
    joined = join(run, arm)
    assert used(joined) == want
    assert joined.missing_ids == missing and joined.clips == sum(map(len, want.values()))
    for example in joined.examples:
        assert [line.answer for line in example.lines if not line.synthetic] == ["Yes", "No"]
        weight = 1.0 if arm.weights == "uniform" else 0.5
        assert {line.weight for line in example.lines if line.synthetic} <= {weight}
