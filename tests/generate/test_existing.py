"""Clips that somebody has already: every row of the table becomes a clip or is named with its line."""

import json

import numpy as np
import pytest

from synvita.core.artefacts import read_clips
from synvita.core.records import Triplet
from synvita.core.set_aside import read_set_aside
from synvita.core.store import parse_lines, write_records
from synvita.core.write_video import write_video
from synvita.generate.existing import take_clips


@pytest.fixture
def run(tmp_path):
    triplets = [
        Triplet("t0", "v.mp4", "a cat sits", "a dog sits"),
        Triplet("t1", "v.mp4", "a cat lies", "a dog sits"),
        Triplet("t2", "v.mp4", "rain", "snow fällt"),
        Triplet("test", "v.mp4", "sun", "moon", split="test"),
    ]
    write_records(tmp_path / "run" / "triplets.jsonl", triplets)
    for i in range(4):
        write_video(tmp_path / f"{i}.mp4", np.full((2, 16, 16, 3), 60 * i, np.uint8), 4)
    return tmp_path / "run"


def take(run, name, text):
    table = run.parent / name
    table.write_text(text, encoding="utf-8")
    counts = take_clips(run, table)
    clips = sorted(read_clips(run).values(), key=lambda clip: (clip.caption, clip.generator))
    links = [(fields["triplet_id"], fields["clip_id"]) for _, fields in parse_lines(run / "clip_of_triplet.jsonl")]
    aside = {row["id"].rsplit("/", 1)[-1]: row["reason"] for row in read_set_aside(run)}
    return counts, clips, links, aside


def test_several_generators_give_a_triplet_several_clips_and_a_clip_serves_several_triplets(run):
    rows = "caption,file,generator\na dog sits,0.mp4,gen-a\na dog sits,1.mp4,gen-b\nsnow fällt,2.mp4,gen-a\n"
    counts, clips, links, aside = take(run, "clips.csv", rows)
    assert [(c.caption, c.generator, c.file.rsplit("/", 1)[-1]) for c in clips] == [
        ("a dog sits", "gen-a", "0.mp4"),
        ("a dog sits", "gen-b", "1.mp4"),
        ("snow fällt", "gen-a", "2.mp4"),
    ]
    a, b, snow = (clip.clip_id for clip in clips)
    assert links == [("t0", a), ("t0", b), ("t1", a), ("t1", b), ("t2", snow)]
    assert counts == {"clips": 3, "triplets_with_clip": 3, "triplets_without": 0, "set_aside": 0} and aside == {}


def test_a_row_without_a_generator_is_of_an_unnamed_existing_one(run):
    _, clips, _, _ = take(run, "clips.csv", "caption,file,generator\na dog sits,0.mp4,\nsnow fällt,1.mp4,gen-a\n")
    assert [clip.generator for clip in clips] == ["existing", "gen-a"]


@pytest.mark.parametrize("second", ["1.mp4", "0.mp4"])
def test_a_second_clip_of_a_caption_and_generator_is_named_with_the_first(run, second):
    rows = f"caption,file,generator\na dog sits,0.mp4,gen-a\nsnow fällt,2.mp4,gen-a\na dog sits,{second},gen-a\n"
    counts, clips, _, aside = take(run, "clips.csv", rows)
    assert [c.file.rsplit("/", 1)[-1] for c in clips] == ["0.mp4", "2.mp4"]
    assert counts["set_aside"] == 1 and set(aside) == {"clips.csv:4"}
    assert "'a dog sits' has a clip of 'gen-a' already, in" in aside["clips.csv:4"]
    assert "clips.csv:2; keep one" in aside["clips.csv:4"]


def test_a_last_line_without_its_newline_counts(run):
    lines = [{"caption": "a dog sits", "file": "0.mp4"}, {"caption": "snow fällt", "file": "1.mp4"}]
    for name, text in (
        ("clips.jsonl", "\n".join(json.dumps(line) for line in lines)),
        ("clips.csv", "caption,file\na dog sits,0.mp4\nsnow fällt,1.mp4"),
    ):
        counts, clips, _, _ = take(run, name, text)
        assert counts["clips"] == 2 and [clip.generator for clip in clips] == ["existing"] * 2


def test_a_parquet_table_is_read(run):
    import pyarrow
    import pyarrow.parquet

    path = run.parent / "clips.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"caption": ["a dog sits", None], "file": ["0.mp4", "1.mp4"]}), path)
    assert take_clips(run, path) == {"clips": 1, "triplets_with_clip": 2, "triplets_without": 1, "set_aside": 1}
    assert "caption: empty or not text" in read_set_aside(run)[0]["reason"]


BAD_LINES = [
    ('{"caption": "snow fällt"}', "file: empty or not text (None)"),
    ('{"file": "1.mp4"}', "caption: empty or not text (None)"),
    ('{"caption": null, "file": "1.mp4"}', "caption: empty or not text (None)"),
    ('{"caption": 7, "file": "1.mp4"}', "caption: empty or not text (7)"),
    ('{"caption": "snow fällt", "file": ["1.mp4"]}', "file: empty or not text (['1.mp4'])"),
    ('{"caption": "snow fällt", "file": "1.mp4", "generator": 3}', "generator: empty or not text (3)"),
    ('{"caption": "snow fällt", "file": "gone.mp4"}', "gone.mp4: no such file"),
    ('{"caption": "snow fällt", "file": "' + "x" * 5000 + '"}', "File name too long"),
    ('{"caption": "moon", "file": "1.mp4"}', "no training triplet has the negative caption 'moon'"),
    ("[1, 2]", "expected an object"),
    ("{", "not JSON"),
]


@pytest.mark.parametrize(("line", "reason"), BAD_LINES)
def test_a_bad_line_is_set_aside_by_file_and_line_and_the_others_are_taken(run, line, reason):
    counts, clips, _, aside = take(run, "clips.jsonl", f'{{"caption": "a dog sits", "file": "0.mp4"}}\n{line}')
    assert counts["clips"] == len(clips) == 1 and counts["set_aside"] == 1
    assert set(aside) == {"clips.jsonl:2"} and reason in aside["clips.jsonl:2"]


def test_a_short_row_of_a_csv_is_set_aside_by_file_and_line(run):
    counts, _, _, aside = take(run, "clips.csv", "caption,file\na dog sits,0.mp4\nsnow fällt\na,b,c\n")
    assert counts["clips"] == 1 and set(aside) == {"clips.csv:3", "clips.csv:4"}
    assert "1 fields where the header has 2" in aside["clips.csv:3"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("clips.csv", "caption,path\na dog sits,0.mp4\n", "needs the columns caption and file, has caption, path"),
        ("clips.csv", "", "needs the columns caption and file, has none"),
        ("clips.txt", "x", "unknown suffix '.txt'"),
        ("clips.csv", "caption,file\nmoon,0.mp4\n", "no clip fits a training triplet's negative caption"),
    ],
)
def test_a_table_that_gives_no_clip_is_one_line(run, name, text, message):
    with pytest.raises(ValueError, match=f"--clips: .*{name}: .*{message}") as caught:
        take(run, name, text)
    assert "\n" not in str(caught.value) and not read_clips(run)


def test_a_triplet_that_is_there_twice_is_refused_by_file_and_line(run):
    path = run / "triplets.jsonl"
    path.write_text(path.read_text(encoding="utf-8") * 2, encoding="utf-8")
    with pytest.raises(ValueError, match=r"triplets\.jsonl:5: id 't0'.*already in line 1"):
        take(run, "clips.csv", "caption,file\na dog sits,0.mp4\n")
