"""`synvita score` on one video and on tables of pairs."""

import json
import math

import numpy as np
import pytest

from synvita.cli import main
from synvita.core.write_video import write_video


@pytest.fixture
def folder(tmp_path):
    for i in range(2):
        frames = np.random.default_rng(i).integers(0, 255, (8, 32, 32, 3), dtype=np.uint8)
        write_video(tmp_path / f"{i}.mp4", frames, 8)
    (tmp_path / "zero.mp4").touch()
    table = 'video,caption\n0.mp4,a red ring\n1.mp4,a cross\n0.mp4,"a ring\nsays ""No"""\n0.mp4,\nzero.mp4,a ring\n'
    (tmp_path / "pairs.csv").write_text(table + "../0.mp4,a ring\n")
    return tmp_path


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_table_of_pairs_gets_the_scores_of_single_calls_and_names_what_gave_none(folder, capsys):
    out = folder / "scores.jsonl"
    assert main(["score", "--pairs", str(folder / "pairs.csv"), "--out", str(out)]) == 3
    captured = capsys.readouterr()
    assert "6 pairs, 0 were there, 3 gave no score" in captured.out
    for reason in ("caption: empty", "zero bytes", "leaves"):
        assert reason in captured.err
    found = {line["row"].rsplit(":", 1)[1]: line for line in lines(out)}
    assert [line["video"] for line in lines(out)] == ["0.mp4", "1.mp4", "0.mp4", "0.mp4", "zero.mp4", "../0.mp4"]
    assert main(["score", str(folder / "0.mp4"), "a red ring", 'a ring\nsays "No"']) == 0
    single = [line.split()[1] for line in capsys.readouterr().out.splitlines()[1:] if line[:9].strip()[:1].isdigit()]
    assert float(single[0]) == pytest.approx(found["2"]["log_odds"], abs=2e-3)
    assert found["2"]["alignment"] == pytest.approx(1 / (1 + math.exp(-found["2"]["log_odds"])), abs=1e-6)


def test_a_table_goes_on_where_it_was_and_tries_failures_again(folder, capsys):
    out = folder / "scores.jsonl"
    command = ["score", "--pairs", str(folder / "pairs.csv"), "--out", str(out)]
    main(command)
    first = lines(out)
    out.write_text("".join(json.dumps(line) + "\n" for line in first[:2]) + '{"row": "torn')
    write_video(folder / "zero.mp4", np.zeros((8, 32, 32, 3), np.uint8), 8)
    capsys.readouterr()
    assert main(command) == 3
    assert "6 pairs, 2 were there, 2 gave no score" in capsys.readouterr().out
    again = {line["row"]: line for line in lines(out)}
    assert len(again) == len(lines(out)) == 6
    for line in first:
        if "reason" not in line:
            assert again[line["row"]]["log_odds"] == pytest.approx(line["log_odds"], abs=1e-5)


def test_scores_of_two_models_do_not_get_into_one_file(folder, capsys):
    out = folder / "scores.jsonl"
    command = ["score", "--pairs", str(folder / "pairs.csv"), "--out", str(out)]
    main(command)
    capsys.readouterr()
    assert main([*command, "--dtype", "bfloat16"]) == 2
    assert "holds scores of model mini-video-llava@" in capsys.readouterr().err


def scored(path):
    return {(line["video"], line["caption"]): line["log_odds"] for line in lines(path)}


def test_scores_follow_their_pair_when_rows_are_inserted_edited_and_moved(folder, capsys):
    table, out = folder / "table.csv", folder / "scores.jsonl"
    command = ["score", "--pairs", str(table), "--out", str(out)]
    table.write_text("video,caption\n0.mp4,a red ring\n1.mp4,a cross\n")
    assert main(command) == 0
    table.write_text("video,caption\n1.mp4,a cross\n1.mp4,a red ring\n0.mp4,a blue ring\n0.mp4,a red ring\n")
    assert main(command) == 0
    assert "4 pairs, 2 were there" in capsys.readouterr().out
    main(["score", "--pairs", str(table), "--out", str(folder / "fresh.jsonl")])
    fresh, resumed = scored(folder / "fresh.jsonl"), scored(out)
    assert list(resumed) == list(fresh) and len(set(resumed.values())) == 4
    assert resumed == pytest.approx(fresh, abs=1e-5)
    assert [line["row"].rsplit(":", 1)[1] for line in lines(out)] == ["2", "3", "4", "5"]


def test_a_video_that_was_replaced_by_another_under_the_same_name_is_scored_anew(folder, capsys):
    table, out = folder / "table.csv", folder / "scores.jsonl"
    table.write_text("video,caption\n0.mp4,a red ring\n1.mp4,a cross\n")
    command = ["score", "--pairs", str(table), "--out", str(out)]
    main(command)
    before = scored(out)
    (folder / "0.mp4").write_bytes((folder / "1.mp4").read_bytes())
    capsys.readouterr()
    assert main(command) == 0
    assert "2 pairs, 1 were there, 0 gave no score, 1 of pairs that are no longer" in capsys.readouterr().out
    main(["score", str(folder / "1.mp4"), "a red ring"])
    single = float(capsys.readouterr().out.splitlines()[1].split()[1])
    assert scored(out)["0.mp4", "a red ring"] == pytest.approx(single, abs=2e-3)
    assert scored(out)["0.mp4", "a red ring"] != pytest.approx(before["0.mp4", "a red ring"], abs=2e-3)


@pytest.mark.parametrize("text", ["my notes\n", "my notes", '{"a": 1}\n', '{"row": 1}\n', "\x00\xff", '{"rows'])
def test_a_file_that_is_no_score_file_is_never_overwritten(folder, capsys, text):
    out = folder / "notes.txt"
    out.write_text(text)
    assert main(["score", "--pairs", str(folder / "pairs.csv"), "--out", str(out)]) == 2
    message = capsys.readouterr().err
    assert out.read_text() == text and "is kept; give another file" in message and message.count("\n") == 1


def test_a_last_line_counts_without_its_newline_and_null_is_no_caption(folder, capsys):
    table, out = folder / "pairs.jsonl", folder / "scores.jsonl"
    rows = [{"video": "0.mp4", "caption": None}, {"video": "0.mp4", "caption": 7}, {"video": "0.mp4", "caption": "a"}]
    table.write_text("\n".join(map(json.dumps, rows)))
    assert main(["score", "--pairs", str(table), "--out", str(out)]) == 3
    captured = capsys.readouterr()
    assert "3 pairs, 0 were there, 2 gave no score" in captured.out
    assert "caption: empty or not text (None)" in captured.err and "caption: empty or not text (7)" in captured.err
    assert [line["log_odds"] is None for line in lines(out)] == [True, True, False]


def test_a_parquet_table_of_pairs_is_read_as_parquet(folder, capsys):
    import pyarrow
    import pyarrow.parquet

    columns = {"video": ["0.mp4", "1.mp4"], "caption": ["a red ring", "a cross"], "more": [1, 2]}
    pyarrow.parquet.write_table(pyarrow.table(columns), folder / "pairs.parquet")
    out = folder / "scores.jsonl"
    assert main(["score", "--pairs", str(folder / "pairs.parquet"), "--out", str(out)]) == 0
    assert "2 pairs" in capsys.readouterr().out
    assert [line["row"].rsplit(":", 1)[1] for line in lines(out)] == ["row 1", "row 2"]


def test_the_tiny_checkpoints_warn_that_their_numbers_mean_nothing_on_real_video(folder, capsys):
    assert main(["score", str(folder / "0.mp4"), "a red ring"]) == 0
    message = capsys.readouterr().err
    assert "note: mini-video-llava knows coloured shapes only" in message and "mean nothing" in message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give a video with captions, or --pairs"),
        (["0.mp4"], "captions: none given"),
        (["nothere.mp4", "a ring", "--model", "nobody/nothing"], "nothere.mp4: no such file; check the path"),
        (["0.mp4", "a ring", "--frames", "-3"], "--frames: -3"),
        (
            ["0.mp4", "a ring", "--decode-timeout", "-1"],
            "--decode-timeout: must be a finite number of seconds, more than 0",
        ),
        (["0.mp4", "a ring", "--decode-timeout", "nan"], "--decode-timeout: must be"),
        (["0.mp4", "a ring", "--device", "cuda"], "--device: "),
        (["0.mp4", "a ring", "--tower", "somewhere"], "--tower: "),
        (["0.mp4", "a \ud800 ring"], "an argument that is not UTF-8"),
        (["--pairs", "pairs.txt", "--out", "o.jsonl"], "unknown suffix '.txt'; known: .csv, .jsonl, .parquet"),
        (["--pairs", "none.csv", "--out", "o.jsonl"], "--pairs: none.csv: no such file"),
        (["--pairs", "pairs.csv"], "--out: --pairs needs a file"),
        (["0.mp4", "a ring", "--dtype", "fp8"], "--dtype: unknown 'fp8'; known: float32, bfloat16, float16"),
        (["0.mp4", "a ring", "--long-captions", "cut"], "--long-captions: unknown 'cut'; known: error, truncate"),
        (["0.mp4", "a ring", "--frames", "5"], "--frames: 5; this model takes exactly 8"),
        (["0.mp4", "a ring", "--model", "nobody/nothing"], "neither a folder nor reachable on the hub"),
        (["0.mp4", "word " * 3000], "the model takes 1024; shorten it or give --long-captions truncate"),
    ],
)
def test_wrong_arguments_are_one_line_with_the_way_out(folder, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert main(["score", *arguments]) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1
