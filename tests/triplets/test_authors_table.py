"""The authors' training tables become items without editing."""

import csv
from pathlib import Path

import pytest

from synvita.cli import main
from synvita.core.records import Item
from synvita.core.store import read_records
from synvita.train.examples import group
from synvita.triplets.authors_table import is_authors_table, read_items

DATA = Path(__file__).parent.parent / "data" / "mplug_owl_tiny"
VIDEOS = ["real/A.mp4", "real/B.mp4", "real/C.mp4", "syn/A_001.mp4", "syn/B_001.mp4"]


@pytest.fixture
def folder(tmp_path):
    for name in VIDEOS:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    for table in DATA.glob("objective_*.csv"):
        (tmp_path / table.name).write_bytes(table.read_bytes())
    return tmp_path


def edited(folder, change):
    rows = list(csv.DictReader((folder / "objective_main.csv").open()))
    change(rows)
    path = folder / "edited.csv"
    with path.open("w", newline="") as out:
        writer = csv.DictWriter(out, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_the_authors_rows_are_paired_as_their_dataset_pairs_them(folder):
    found = read_items(folder / "objective_main.csv")
    assert found.set_aside == []
    a, b, c = found.items
    assert (a.caption, a.answer, a.other) == (
        "a man is juggling three red balls", "Yes", "a man is juggling three red knives",
    )  # fmt: skip
    assert [(Path(v).name, w) for v, w in a.clips] == [("A_001.mp4", 0.37)]
    assert (b.answer, b.other) == ("No", "two dogs run on the beach then sit") and b.clips[0][1] == 0.21
    assert (c.answer, c.clips) == ("Yes", [])


def test_an_example_of_an_item_is_the_authors_four_sequences(folder):
    yes, no, alone = group(read_items(folder / "objective_main.csv").items, "item")
    assert [(line.answer, line.synthetic, line.weight) for line in yes.lines] == [("Yes", False, 1), ("No", True, 0.37)]
    assert (yes.pairs[0].aligned, yes.pairs[0].counterpart) == (0, 1)  # V+ is the real video
    assert [(line.answer, line.synthetic) for line in no.lines] == [("No", False), ("Yes", True)]
    assert (no.pairs[0].aligned, no.pairs[0].counterpart) == (1, 0)  # V+ is the synthetic one
    assert len(alone.lines) == 1 and not alone.pairs


def test_explanations_and_negative_weights_are_read(folder):
    nle = read_items(folder / "objective_nle_order.csv").items
    why = next(item for item in nle if item.answer not in ("Yes", "No"))
    assert (why.caption, why.answer) == ("a woman slices an apple", "the woman slices an onion not an apple")
    zero = read_items(folder / "objective_zero_neg_weights.csv").items
    assert sorted(w for item in zero for _, w in item.clips) == [0.0, 0.0]


def test_a_missing_weight_never_becomes_one(folder):
    found = read_items(edited(folder, lambda rows: [r.update(alignment_diff="") for r in rows[3:5]]))
    assert found.items[0].clips == []
    assert "alignment_diff: none for 'A_001'" in found.set_aside[0].reason
    assert found.set_aside[0].where.endswith("edited.csv:2")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda rows: rows[0].update(label="0"), "label: '0' does not agree with the answer 'Yes'"),
        (lambda rows: rows[0].update(domain="fake"), "domain: unknown 'fake'"),
        (lambda rows: rows[0].update(caption="hello"), "caption: not a prompt of the authors'"),
        (lambda rows: rows[0].update(videopath="nope.mp4"), "cannot be found"),
        (lambda rows: rows[4].update(alignment_diff="much"), "alignment_diff: 'much' is not a number"),
        (lambda rows: rows[0].update(syn_video="Z_001"), "'Z_001' has no synthetic rows"),
    ],
)
def test_a_bad_row_is_named_and_the_others_go_on(folder, change, reason):
    found = read_items(edited(folder, change))
    assert any(reason in bad.reason for bad in found.set_aside) and found.items


def test_the_import_command_takes_the_table_as_it_is(folder, capsys):
    assert is_authors_table(folder / "objective_main.csv")
    assert main(["triplets", "import", str(folder / "objective_main.csv"), "--run", str(folder / "run")]) == 0
    assert "items: 3, 2 with a clip; 0 rows" in capsys.readouterr().out
    assert len(read_records(folder / "run" / "items.jsonl", Item)) == 3
