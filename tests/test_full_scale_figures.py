"""The hours, gigabytes and dollars of docs/reproducing.md, from what the page says they are computed of."""

import re
from pathlib import Path

import pytest

from synvita.generate.plan import BITS_PER_PIXEL, PAPER_SECONDS

DOCS = Path(__file__).parent.parent / "docs"
PAGE = (DOCS / "reproducing.md").read_text()
MEASURED = (DOCS / "performance.md").read_text()
COLUMNS = ("items", "gb", "published", "a100", "four_a100", "measured", "h100", "a100_cost", "h100_cost")
CLIPS = 173_337  # of the paper, by three generators
TRIPLETS = CLIPS // 3
PIXELS = {"CogVideoX": 720 * 480 * 49, "LaVie": 512 * 320 * 32, "VideoCrafter2": 512 * 320 * 32}  # Table 10


def number(cell: str) -> float | None:
    digits = re.match(r"[\d,.]+", cell)
    return float(digits[0].replace(",", "")) if digits else None


def table() -> dict[str, dict[str, float | None]]:
    lines = PAGE.split("### Hours, gigabytes, cost")[1].split("\n- **")[0].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")][1:]
    return {stage: dict(zip(COLUMNS, map(number, cells), strict=True)) for stage, *cells in rows}


def measured(pattern: str) -> float:
    """The one figure of docs/performance.md at the pattern's group."""
    (figure,) = re.findall(pattern, MEASURED)
    return float(figure.replace(",", ""))


ROWS = table()
GENERATE = {name: ROWS[f"generate, {name}"] for name in PIXELS}


def test_hours_and_costs_follow_from_items_and_seconds():
    price = float(re.search(r"take ([\d.]+) \$", PAGE)[1])
    assert len(ROWS) == 8
    for stage, row in ROWS.items():
        for seconds, hours, cost in (("published", "a100", "a100_cost"), ("measured", "h100", "h100_cost")):
            if row[seconds] is not None:
                assert row[hours] == pytest.approx(row["items"] * row[seconds] / 3600, abs=0.051), stage
            assert (row[hours] is None) == (row[cost] is None), stage
            if row[hours] is not None:
                assert row[cost] == pytest.approx(row[hours] * price, abs=0.61), stage
        if row["a100"] is not None:
            assert row["four_a100"] == pytest.approx(row["a100"] / 4, abs=0.06), stage


def test_generating_costs_what_table_10_says():
    assert TRIPLETS * 3 == CLIPS
    for name, row in GENERATE.items():
        assert row["items"] == TRIPLETS and row["published"] == PAPER_SECONDS[name.lower()]
        assert row["gb"] == pytest.approx(TRIPLETS * PIXELS[name] * BITS_PER_PIXEL / 8 / 1e9, abs=0.05)
    total = ROWS["generate, all three"]
    assert total["items"] == CLIPS and round(total["a100"]) == 3274
    assert [round(row["a100"]) for row in GENERATE.values()] == [1204, 321, 1749]
    assert total["gb"] == pytest.approx(TRIPLETS * sum(PIXELS.values()) * BITS_PER_PIXEL / 8 / 1e9, abs=0.05)
    assert total["a100"] == pytest.approx(sum(row["a100"] for row in GENERATE.values()), abs=0.11)


def test_the_other_stages_cost_what_was_measured():
    per_minute = measured(r"all three, one after the other \| ([\d,]+)")
    assert ROWS["weigh"]["items"] == CLIPS
    assert ROWS["weigh"]["h100"] == pytest.approx(CLIPS / per_minute / 60, abs=0.05)
    for model, triplets in (("mPLUG-Owl", 4), ("Video-LLaVA", 1)):
        row = ROWS[f"train an arm, {model}"]
        step = measured(rf"(?s)--train\.deterministic.{{0,200}}?-> ([\d.]+) s\s+?\({model}\)")
        assert row["items"] == TRIPLETS
        assert row["measured"] == pytest.approx(step / triplets, abs=0.0005)
    many = measured(r"\| Video-LLaVA \| 49 x 2 \|(?:[^|]*\|){5} (\d+) \| [\d.]+ GB \|")
    some = measured(r"\| \| 18 x 2 \|(?:[^|]*\|){5} (\d+) \| [\d.]+ GB \|")
    alone = measured(r"\| Video-LLaVA \| 49 x 2 \| ([\d.]+) \|") / 98
    seconds = 28_812 / many + 3_888 / some + (27_000 + 570 + 9_230) * alone
    row = ROWS["evaluate an arm, Video-LLaVA"]
    assert row["items"] == 27_000 + 570 + 3_888 + 28_812 + 9_230
    assert row["measured"] * row["items"] == pytest.approx(seconds, rel=0.001)


def test_features_and_checkpoints_have_the_size_of_their_numbers():
    videos, bytes_each = TRIPLETS + CLIPS, 2
    for model, numbers in (("mPLUG-Owl", 65 * 4096), ("Video-LLaVA", 8 * 257 * 1024)):
        gb = videos * numbers * bytes_each / 1e9
        assert ROWS[f"train an arm, {model}"]["gb"] == pytest.approx(gb, abs=0.05)
    adapter = 4 * 2 * 4096 * 32 * 32  # projections, A and B, width, rank, layers
    assert f"{adapter / 1e6:.1f} M numbers" in PAGE
    assert f"{adapter * 4 / 1e6:.0f} MB" in PAGE and f"{3 * adapter * 4 / 1e6:.0f} MB" in PAGE
