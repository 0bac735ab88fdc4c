"""`synvita rank`: scores, order, weights and what is kept are those counted by hand; nothing is asked twice."""

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from chromium import chromium

import synvita
from synvita.cli import main
from synvita.core.write_video import write_video
from synvita.ranking.table import files_beside
from synvita.report.sheet import Card, write_sheet

SCORERS = '''
asked = []

class Grey:
    """Knows a clip by its grey: 10 a step. A caption of n letters fits clip k with (k + n) % 10 / 10."""
    def score(self, video, captions):
        number = round(video.frames.mean() / 10)
        asked.append((type(self).__name__, number, list(captions)))
        return [self.one(number, caption) for caption in captions]

    @staticmethod
    def one(number, caption):
        return (number + len(caption)) % 10 / 10

class Half(Grey):
    @staticmethod
    def one(number, caption):
        return 0.5

class First(Grey):
    quantity = "p_yes"
'''


@pytest.fixture
def scorers(tmp_path, monkeypatch):
    (tmp_path / "rank_scorers.py").write_text(SCORERS)
    monkeypatch.syspath_prepend(str(tmp_path))
    import rank_scorers

    yield rank_scorers
    sys.modules.pop("rank_scorers", None)


@pytest.fixture
def clips(tmp_path):
    folder = tmp_path / "clips"
    for i in range(6):
        write_video(folder / f"c{i}.mp4", np.full((3, 16, 16, 3), 10 * i, np.uint8), 8)
    return folder


ROWS = [  # file, caption, negative caption, somebody's own column
    ("c0.mp4", "a" * 3, "b" * 1, "x"),  # 0.3 against 0.1
    ("c1.mp4", "a" * 8, "b" * 2, "y"),  # 0.9 against 0.3
    ("c2.mp4", "a" * 3, "b" * 6, 'z, "quoted"'),  # 0.5 against 0.8
    ("c3.mp4", "a" * 6, "", ""),  # 0.9
    ("c4.mp4", "a" * 3, "b" * 3, "é"),  # 0.7 against 0.7
]
TRUE = {"c0.mp4": 0.3, "c1.mp4": 0.9, "c2.mp4": 0.5, "c3.mp4": 0.9, "c4.mp4": 0.7}


def table(folder, rows=ROWS, header=("file", "caption", "negative_caption", "rank")):
    with (folder / "clips.csv").open("w", newline="", encoding="utf-8") as out:
        csv.writer(out).writerows([header, *rows])
    return folder / "clips.csv"


def ranked(out):
    with (out / "ranked.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def kept(out):
    return [p.readlink().name for p in sorted((out / "kept").iterdir())]


def run(source, out, *more, scorer="rank_scorers:Grey"):
    return main(["rank", str(source), "--scorer", scorer, "--out", str(out), *more])


def test_clips_are_put_in_order_with_scores_weights_and_all_columns(clips, scorers, tmp_path):
    assert run(table(clips), tmp_path / "out") == 0
    rows = ranked(tmp_path / "out")
    assert list(rows[0]) == ["rank", "score", "weight", "rank_scorers:Grey", "file", "caption", "negative_caption",
                             "rank_before"]  # fmt: skip
    assert [(r["rank"], r["file"], float(r["score"])) for r in rows] == [
        ("1", "c1.mp4", 0.9), ("1", "c3.mp4", 0.9), ("3", "c4.mp4", 0.7), ("4", "c2.mp4", 0.5), ("5", "c0.mp4", 0.3),
    ]  # fmt: skip
    weights = {r["file"]: r["weight"] for r in rows}
    assert {k: float(v) for k, v in weights.items() if v} == {"c0.mp4": 0.2, "c1.mp4": 0.6, "c2.mp4": 0, "c4.mp4": 0}
    assert weights["c3.mp4"] == ""  # no negative caption, no weight
    assert {r["file"]: r["rank_before"] for r in rows} == {file: mine for file, _, _, mine in ROWS}
    assert not (tmp_path / "out" / "kept").exists()
    assert files_beside(tmp_path / "out/ranked.csv") == files_beside(clips / "clips.csv") == clips


def test_several_scorers_are_averaged_and_two_quantities_never(clips, scorers, tmp_path, capsys):
    both = "rank_scorers:Grey,rank_scorers:Half"
    assert run(table(clips), tmp_path / "out", scorer=both) == 0
    for row in ranked(tmp_path / "out"):
        assert float(row["score"]) == pytest.approx((TRUE[row["file"]] + 0.5) / 2)
        assert (float(row["rank_scorers:Grey"]), float(row["rank_scorers:Half"])) == (TRUE[row["file"]], 0.5)
    assert float(ranked(tmp_path / "out")[0]["weight"]) == pytest.approx(0.3)  # of the means
    capsys.readouterr()
    assert run(clips / "clips.csv", tmp_path / "two", scorer="rank_scorers:Grey,rank_scorers:First") == 2
    error = capsys.readouterr().err
    assert "--scorer: rank_scorers:Grey gives score, rank_scorers:First gives p_yes; two quantities" in error


@pytest.mark.parametrize(
    ("flags", "want"),
    [
        (["--top", "2"], ["c1.mp4", "c3.mp4"]),
        (["--min-score", "0.7"], ["c1.mp4", "c3.mp4", "c4.mp4"]),
        (["--min-weight", "0.2"], ["c1.mp4", "c0.mp4"]),
        (["--best-per-caption"], ["c1.mp4", "c3.mp4", "c4.mp4"]),  # c0, c2 and c4 have one caption
        (["--best-per-caption", "--min-score", "0.8"], ["c1.mp4", "c3.mp4"]),
        (["--min-score", "0.4", "--top", "3"], ["c1.mp4", "c3.mp4", "c4.mp4"]),
    ],
)
def test_what_is_kept_passes_everything_that_was_asked_for(flags, want, clips, scorers, tmp_path):
    out = tmp_path / "out"
    assert run(table(clips), out, *flags) == 0
    assert kept(out) == want
    assert [r["file"] for r in ranked(out) if r["kept"] == "1"] == want
    assert run(clips / "clips.csv", out, "--top", "1", "--copies") == 0  # in place of what was kept before
    (only,) = (out / "kept").iterdir()
    assert not only.is_symlink() and only.read_bytes() == (clips / "c1.mp4").read_bytes()
    assert run(clips / "clips.csv", out, "--min-score", "1") == 0  # nothing passes: said, not silent
    assert {r["kept"] for r in ranked(out)} == {"0"} and not (out / "kept").exists()
    assert run(clips / "clips.csv", out, "--top", "1") == run(clips / "clips.csv", out) == 0
    assert not (out / "kept").exists() and "kept" not in ranked(out)[0]  # nothing was asked of them this time


def test_nothing_is_asked_twice_and_a_score_belongs_to_the_bytes_of_a_clip(clips, scorers, tmp_path):
    out = tmp_path / "out"
    assert run(table(clips), out) == 0
    assert {number for _, number, _ in scorers.asked} == {0, 1, 2, 3, 4}
    scorers.asked.clear()
    before = (out / "ranked.csv").read_bytes()
    assert run(clips / "clips.csv", out) == 0
    assert not scorers.asked and (out / "ranked.csv").read_bytes() == before
    (clips / "c4.mp4").rename(clips / "other.mp4")  # the same clip by another name, another clip, and a new one
    write_video(clips / "c0.mp4", np.full((3, 16, 16, 3), 70, np.uint8), 8)
    rows = [("other.mp4", *ROWS[4][1:]), *ROWS[:4], ("c5.mp4", "a", "", "")]
    assert run(table(clips, rows), out) == 0
    fresh = {number for _, number, _ in scorers.asked}
    assert {7, 5} <= fresh
    scores = {r["file"]: float(r["score"]) for r in ranked(out)}
    assert scores == {"other.mp4": 0.7, "c0.mp4": 0.0, "c1.mp4": 0.9, "c2.mp4": 0.5, "c3.mp4": 0.9, "c5.mp4": 0.6}


def test_clips_without_a_score_are_named_stand_last_and_are_kept_by_nothing(clips, scorers, tmp_path, capsys):
    (clips / "c3.mp4").write_bytes(b"no video")
    rows = [*ROWS, ("gone.mp4", "a", "", ""), ("c1.mp4", " ", "", "")]
    out = tmp_path / "out"
    assert run(table(clips, rows), out, "--min-score", "0") == 3
    captured = capsys.readouterr()
    assert "rank: 4 of 7 clips scored, 4 kept" in captured.out
    assert "clips.csv:7: " in captured.err and "gone.mp4: no such file" in captured.err
    assert "clips.csv:5: " in captured.err and "clips.csv:8: caption: empty" in captured.err
    last = ranked(out)[4:]
    assert [r["rank"] for r in last] == ["", "", ""] and all(r["reason"] and r["kept"] == "0" for r in last)


@pytest.mark.parametrize("form", ["csv", "tabs", "in order"])
def test_a_folder_is_ranked_by_its_captions(form, clips, scorers, tmp_path):
    if form == "csv":
        table(clips).rename(clips / "captions.csv")
    else:
        tabs = form == "tabs"
        lines = [f"{file}\t{caption}" if tabs else caption for file, caption, *_ in ROWS[:: -1 if tabs else 1]]
        (clips / "captions.txt").write_text("\n".join([*lines, *([] if tabs else ["a"])]) + "\n")
    assert run(clips, tmp_path / "out") == 0
    assert {r["file"]: float(r["score"]) for r in ranked(tmp_path / "out")}.items() >= TRUE.items()
    assert files_beside(tmp_path / "out/ranked.csv") == clips


@pytest.mark.parametrize(
    ("given", "flags", "message"),
    [
        ("nothing.csv", [], "nothing.csv: no such table or folder"),
        ("clips", [], "clips: has no captions; put captions.csv (file,caption) or captions.txt there"),
        ("clips/no.csv", [], "needs the columns file and caption, has file, text"),
        ("clips/plain.csv", ["--min-weight", "0.1"], "--min-weight: no row has a negative_caption"),
        ("clips/clips.csv", ["--min-score", "2"], "--min-score: 2.0 is not in [0, 1]"),
        ("clips/clips.csv", ["--min-weight", "-0.5"], "--min-weight: -0.5 is not in [0, 1]"),
        ("clips/clips.csv", ["--scorer", "lava"], "--scorer: unknown 'lava'; did you mean 'llava'?"),
        ("clips/clips.csv", ["--trian.epochs", "3"], "--trian.epochs: unknown argument of rank"),
        ("clips/clips.csv", ["--scorer", "llava,video_llm", "--model", "x"], "--model: with several scorers"),
        ("clips/empty.csv", [], "empty.csv: no clips to rank"),
        ("clips/clips.csv", ["--address", "auto"], "--address: is of a Ray cluster; give --executor ray, too"),
    ],
)
def test_what_cannot_be_ranked_is_one_line_and_makes_no_folder(given, flags, message, clips, scorers, tmp_path, capsys):
    table(clips)
    (clips / "no.csv").write_text("file,text\nc0.mp4,x\n")
    (clips / "plain.csv").write_text("file,caption\nc0.mp4,x\n")
    (clips / "empty.csv").write_text("file,caption\n")
    assert run(tmp_path / given, tmp_path / "out", *flags) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and not (tmp_path / "out").exists()


def test_a_folder_of_something_else_is_refused(clips, scorers, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("dear")
    assert run(table(clips), out) == 2
    assert "out is not empty and no ranking; give a new or empty folder" in capsys.readouterr().err
    assert [p.name for p in out.iterdir()] == ["mine.txt"]
    assert run(clips / "clips.csv", tmp_path / "other") == 0
    (clips / "second.csv").write_bytes((clips / "clips.csv").read_bytes())
    assert run(clips / "second.csv", tmp_path / "other") == 2
    assert f"holds the ranking of {clips / 'clips.csv'}; give another folder" in capsys.readouterr().err


def test_the_function_gives_what_the_command_gives(clips, scorers, tmp_path):
    assert run(table(clips), tmp_path / "out") == 0
    files, captions, others = ([row[i] for row in ROWS] for i in range(3))
    found = synvita.rank([clips / f for f in files], captions, "rank_scorers:Grey", negative_captions=others)
    want = ranked(tmp_path / "out")
    assert [(Path(r["clip"]).name, str(r["rank"]), r["score"]) for r in found] == [
        (r["file"], r["rank"], float(r["score"])) for r in want
    ]
    assert [r["weight"] for r in found] == [float(r["weight"]) if r["weight"] else None for r in want]
    with pytest.raises(ValueError, match=r"^captions: 1 given for 2 clips; give one for each clip$"):
        synvita.rank([clips / "c0.mp4", clips / "c1.mp4"], ["a"])
    with pytest.raises(ValueError, match=r"^negative_captions: 2 given for 1 clips; give one for each clip$"):
        synvita.rank([clips / "c0.mp4"], ["a"], negative_captions=["b", "c"])
    with pytest.raises(ValueError, match="clips, captions: give a list of files"):
        synvita.rank(str(clips / "c0.mp4"), "a")
    with pytest.raises(ValueError, match="captions: None is no text; give one for each clip"):
        synvita.rank([clips / "c0.mp4"], [None])


def test_the_sheet_is_one_offline_page_whose_captions_are_text(clips, scorers, tmp_path):
    rows = [("c0.mp4", "<script>alert(1)</script>", "", "")]
    assert run(table(clips, rows), tmp_path / "out") == 0
    page = (tmp_path / "out" / "index.html").read_text()
    assert "<script>alert" not in page and "&lt;script&gt;" in page
    assert "http" not in page and page.count("data:image/jpeg;base64,") == 1


def test_a_click_sorts_the_sheet_and_what_has_no_number_stays_last(tmp_path):
    cards = [Card("a", "x", [1, 0.9, 0.1]), Card("b", "z", [2, 0.8, None]), Card("c", "y", [3, 0.7, 0.6])]
    write_sheet(tmp_path / "index.html", "t", ["rank", "score", "weight"], cards, [])
    with chromium() as browser:
        page = browser.new_page()
        page.goto((tmp_path / "index.html").as_uri())
        heads, files = page.locator("#sheet th button"), page.locator("#sheet tbody small")
        assert "".join(files.all_inner_texts()) == "abc"
        for head, order in ((3, "cab"), (3, "acb"), (0, "acb")):  # by weight, large first, then small; by caption
            heads.nth(head).click()
            assert "".join(files.all_inner_texts()) == order


def test_a_tiny_checkpoint_on_somebodys_files_is_said_to_mean_nothing(clips, tmp_path, capsys):
    (clips / "plain.csv").write_text("file,caption\nc0.mp4,a red ring\n")
    flags = ["--scorer", "video_llm", "--model", "mini-video-llava", "--out", str(tmp_path / "out")]
    assert main(["rank", str(clips / "plain.csv"), *flags]) == 0
    assert "note: mini-video-llava knows coloured shapes only" in capsys.readouterr().err
    assert "mini-video-llava knows coloured shapes only" in (tmp_path / "out" / "index.html").read_text()
    (score,) = [json.loads(line)["score"] for line in (tmp_path / "out/scores/video_llm/scores.jsonl").open()]
    assert float(ranked(tmp_path / "out")[0]["score"]) == pytest.approx(score, abs=1e-9)  # all its digits


def test_a_worker_that_dies_says_what_goes_on_where_it_was(clips, tmp_path, monkeypatch, capsys):
    (tmp_path / "dying.py").write_text("import os\nclass Dies:\n    def score(self, *_):\n        os._exit(1)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    rows = [(f"c{i % 6}.mp4", "a", "", "") for i in range(6)] + [("c9.mp4", "a", "", ""), ("c8.mp4", "a", "", "")]
    for i in range(6, 20):
        write_video(clips / f"c{i}.mp4", np.full((3, 16, 16, 3), 10 * i, np.uint8), 8)
        rows.append((f"c{i}.mp4", "a", "", ""))
    assert run(table(clips, rows), tmp_path / "out", "--workers", "2", scorer="dying:Dies") == 2
    assert "what was made is kept, once more: the same command\n" in capsys.readouterr().err
