"""The report of a run in which a judge has chosen: all clips are shown, which one stands, and who must not weigh."""

import re
from pathlib import Path

import numpy as np
import pytest
from report_runs import DECODER, SCORERS, make_results, make_run
from run_files import write_clips

from synvita.core.artefacts import read_clips
from synvita.core.chosen import ChosenClip
from synvita.core.records import Clip, Triplet
from synvita.core.store import read_records, write_records
from synvita.core.write_video import write_video
from synvita.report.gallery import gallery
from synvita.report.page import write_report


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Every triplet has a second clip, which the judge passed over."""
    made = make_run(tmp_path)
    write_video(made / "clips/sim/other.mp4", np.full((2, 16, 16, 3), 90, np.uint8), fps=4)
    clips = list(read_clips(made).values())
    others = [Clip(f"d{i}", clip.caption, "sim", "1", {}, i, "clips/sim/other.mp4") for i, clip in enumerate(clips)]
    write_clips(made, clips + others)
    return made


def choose(run: Path, *judge: str) -> None:
    triplets = read_records(run / "triplets.jsonl", Triplet)
    rows = [ChosenClip(t.id, "sim", f"c{i}", list(judge), {f"c{i}": 0.75, f"d{i}": 0.25})
            for i, t in enumerate(triplets)]  # fmt: skip
    write_records(run / "chosen_clips.jsonl", rows)


def test_a_card_shows_the_chosen_clip_and_those_passed_over_with_the_judges_scores(run: Path) -> None:
    choose(run, "qwen3_vl")
    found = gallery(run, read_records(run / "triplets.jsonl", Triplet), DECODER)
    assert found is not None and found.shown == found.clips == len(found.cards) == 14
    for card in found.cards:
        first, second = card.clips
        assert first.choice == "chosen by qwen3_vl, score 0.75" and first.weight is not None and first.level
        assert second.choice == "not chosen, score 0.25" and second.weight is None and not second.level
        assert second.video.data and second.generator == "sim"
    page = write_report(run, make_results()).read_text()
    assert "14 of the 14 weighed clips" in page and page.count("not chosen, score 0.25") == 14
    assert "Best of 2: of each triplet&#39;s clips by a generator only the one that qwen3_vl scored highest" in page
    assert "14 others stay in the run" in page and "chose the clips and weighs them" not in page
    assert not re.search(r'data-tags="[^"]*weight-["\s]', page)


def test_the_page_warns_of_a_scorer_that_chose_and_weighs(run: Path) -> None:
    choose(run, "qwen3_vl", SCORERS[0])
    page = write_report(run, make_results()).read_text()
    assert f"{SCORERS[0]} chose the clips and weighs them, too ({'+'.join(SCORERS)})" in page
    assert page.index("chose the clips and weighs") < page.index('class="answer"')


def test_where_nobody_chose_nothing_is_said_of_it(run: Path) -> None:
    page = write_report(run, make_results()).read_text()
    assert "Best of" not in page and "not chosen" not in page
