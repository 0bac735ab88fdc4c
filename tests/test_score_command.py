"""`synvita score` on one video and on tables of pairs."""

import json
import math

import numpy as np
import pytest

from synvita.cli import main
from synvita.core.video import write_video


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
    assert [line["video"] for line in lines(out)] == ["0.mp4", "0.mp4", "0.mp4", "1.mp4", "zero.mp4", "../0.mp4"]
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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give a video with captions, or --pairs"),
        (["0.mp4"], "captions: none given"),
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
