"""`synvita.Run`: the stages from Python do what the commands do."""

import json
import shutil
from pathlib import Path

import pytest
from small import HOME

import synvita
from synvita.api.configuration import nested
from synvita.cli import main


@pytest.fixture(scope="module")
def copied(small_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("copied") / "run"
    shutil.copytree(small_run, folder, symlinks=True)
    return folder


def test_settings_are_nested_or_dotted_and_mean_the_same():
    assert nested({"train.epochs": 2, "train": {"batch": 4}}) == {"train": {"epochs": 2, "batch": 4}}
    with pytest.raises(ValueError, match=r"^settings: \[1\] given; give values by name"):
        nested([1])


def test_a_run_from_python_has_the_bytes_of_the_run_that_the_commands_make(tmp_path):
    for name in ("v.mp4", "clip.mp4"):
        (tmp_path / name).write_bytes(name.encode())
    table, clips = tmp_path / "mine.csv", tmp_path / "clips.csv"
    table.write_text("video,caption,negative_caption\nv.mp4,a man runs,a man walks\n")
    clips.write_text("caption,file\na man walks,clip.mp4\n")
    run = synvita.Run(tmp_path / "a", settings={"train.epochs": 2})
    assert run.import_triplets(table) == []
    counts = {"clips": 1, "triplets_with_clip": 1, "triplets_without": 0, "set_aside": 0}
    assert synvita.Run(tmp_path / "a").generate(clips=clips) == {"clips": counts}  # the folder knows its settings
    other = str(tmp_path / "b")
    assert main(["triplets", "import", str(table), "--run", other, "--train.epochs", "2"]) == 0
    assert main(["generate", "--clips", str(clips), "--run", other]) == 0
    for name in ("config.yaml", "triplets.jsonl", "clips/existing/clips.jsonl", "clip_of_triplet.jsonl"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert "epochs: 2" in (tmp_path / "a" / "config.yaml").read_text()
    assert run.status()["clips/existing"] == "1 there, from a table"


def test_own_triplets_come_in_and_bad_rows_are_named(tmp_path):
    (tmp_path / "v.mp4").write_bytes(b"0")
    table = tmp_path / "mine.csv"
    table.write_text("video,caption,negative_caption\nv.mp4,a man runs,a man walks\nv.mp4,,a man walks\n")
    run = synvita.Run(tmp_path / "run")
    (line,) = run.import_triplets(table)
    assert line.startswith(f"{table}:3: ") and run.config().world is None
    with pytest.raises(ValueError, match="already has triplets"):
        run.import_triplets(table)


def test_measuring_and_reporting_from_python_leaves_the_files_of_the_commands(copied, small_run):
    run = synvita.Run(copied)
    found = run.evaluate(workers=1)
    assert found == json.loads((copied / "results.json").read_text())
    assert found["arms"] == json.loads((small_run / "results.json").read_text())["arms"]
    assert run.report() == copied / "report" / "index.html" and run.report().stat().st_size > 100_000


def test_training_what_is_trained_says_where_the_adapters_are(copied):
    run = synvita.Run(copied)
    done = run.train(["real_only"], workers=1)
    assert done == {"real_only": {"adapter": copied / HOME / "adapters" / "real_only" / "0", "set_aside": {}}}
    assert (done["real_only"]["adapter"] / "adapter_config.json").is_file()


def test_status_is_what_the_command_prints(copied, capsys):
    assert main(["status", "--run", str(copied)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0].strip() for line in lines] == [name.strip() for name in synvita.Run(copied).status()]


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda run: synvita.Run(3), "folder: 3 given; give a run folder"),
        (lambda run: synvita.Run(run, recipe="minni"), "--recipe: unknown recipe 'minni'"),
        (lambda run: synvita.Run(run, recipe=3), "recipe: 3 given; give a recipe's name"),
        (lambda run: synvita.Run(run, settings={"train.epohcs": 1}).make_triplets(), "--train.epohcs"),
        (lambda run: synvita.Run(run).train(), "--run: "),
        (lambda run: synvita.Run(run).generate(workers=0), "workers: 0 given; give a whole number from 1 on"),
        (lambda run: synvita.Run(run).generate(generators=3), "generators: 3 given; give names"),
        (lambda run: synvita.Run(run).weigh(executor="cluster"), "--executor: unknown 'cluster'; known: local, ray"),
        (lambda run: synvita.Run(run).evaluate(tasks=[3]), "tasks[0]: 3 given; give a name"),
        (lambda run: synvita.Run(run).import_triplets(None), "table: None given; give a table"),
    ],
)
def test_what_cannot_be_is_refused_by_name(tmp_path, call, text):
    with pytest.raises(ValueError) as refused:
        call(Path(tmp_path / "run"))
    assert str(refused.value).startswith(text), refused.value
    assert not (tmp_path / "run").exists()
