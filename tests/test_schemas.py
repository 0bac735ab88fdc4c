"""docs/architecture.md names the fields of every record file; the records and the files have exactly these."""

import dataclasses
import re
from pathlib import Path

import pytest

from synvita.core.chosen import ChosenClip
from synvita.core.records import Clip, ClipWeight, ScoredClip, Triplet
from synvita.core.store import parse_lines
from synvita.triplets.negatives.captions import Caption
from synvita.triplets.negatives.stage import Negative

TEXT = (Path(__file__).parent.parent / "docs" / "architecture.md").read_text()
DOCUMENTED = {
    name: [field.strip() for field in fields.split("(")[0].split(",") if field.strip()]
    for name, fields in re.findall(r"^\| `([^`]+\.jsonl)` \| ([^|]+) \|", TEXT, re.M)
}


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        ("triplets.jsonl", Triplet),
        ("captions.jsonl", Caption),
        ("negatives/negatives.jsonl", Negative),
        ("clips/<generator>/clips.jsonl", Clip),
        ("scores/<scorer>/scores.jsonl", ScoredClip),
        ("chosen_clips.jsonl", ChosenClip),
        ("weights/<scorers>-<criterion>.jsonl", ClipWeight),
    ],
)
def test_the_documented_fields_are_those_of_the_record(file, kind):
    assert DOCUMENTED[file] == [f.name for f in dataclasses.fields(kind)]


def test_every_file_of_a_run_has_the_documented_fields(small_run):
    seen = 0
    for pattern, fields in DOCUMENTED.items():
        for path in small_run.glob(re.sub(r"<\w+>", "*", pattern)):
            for _, row in parse_lines(path):
                extra = set(row) - set(fields) - {"misalignment", "unseen", "reason"}
                assert set(fields) <= set(row) and not extra, path
                seen += 1
    assert seen > 500
