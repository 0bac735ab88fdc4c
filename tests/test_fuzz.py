"""Malformed input through the public commands: an exit status as documented, one clear line, no file outside.

200 examples in the default run; thousands by name: SYNVITA_FUZZ=5000 python -m pytest -q -s tests/test_fuzz.py
"""

import contextlib
import io
import json
import os
import shutil
import tempfile
from pathlib import Path
from unittest import mock

import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from small import HOME, WEIGHTS

from synvita.cli import main, score

EXAMPLES = int(os.environ.get("SYNVITA_FUZZ", "200"))
JUNK = [
    "", "null", "[]", "{}", "NaN", "-1", "1e999", "true", '"', "'", ",", "\n", "\r\n", "\x00", "\ufeff", "\ud800", "é",
    "../../etc/passwd", "/dev/null", "<video>", "</s>", "a" * 200_000, "9" * 400, "{a: 1", "&x *x",
    "!!python/object:os.x",
    "[[[[[[", "- - -", "? ", "2020-99-99", "0x", "1_0", "\u2028", ": ", "=", "%00", "$(true)", "\\ud800",
]  # fmt: skip


def share(part):
    """The fuzz settings of one target that gets `part` of all examples."""
    return settings(
        max_examples=max(1, round(EXAMPLES * part)), deadline=None, database=None, derandomize=EXAMPLES == 200,
        suppress_health_check=list(HealthCheck), phases=(Phase.explicit, Phase.generate),  # shrinking takes minutes
    )  # fmt: skip


@st.composite
def damaged(draw, original: bytes):
    """Bytes of a valid file with pieces replaced, cut, doubled, flipped; or junk altogether."""
    data = bytearray(original)
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(["insert", "replace", "cut", "double", "flip", "junk", "end"]))
        at = draw(st.integers(0, max(0, len(data) - 1)))
        length = draw(st.integers(0, 40))
        text = draw(st.sampled_from(JUNK)).encode("utf-8", "surrogatepass")
        if kind == "insert":
            data[at:at] = text
        elif kind == "replace":
            data[at : at + length] = text
        elif kind == "cut":
            del data[at : at + length]
        elif kind == "double":
            data[at:at] = data[at : at + 4 * length]
        elif kind == "flip" and data:
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == "end":
            del data[at:]
        elif kind == "junk" and draw(st.booleans()):
            data = bytearray(text or draw(st.binary(max_size=60)))
    return bytes(data)


@st.composite
def other_values(draw, original):
    """A tree of plain values with some of them exchanged for what nobody expects."""
    odd = st.sampled_from(
        [None, [], {}, -1, 0, 1.5, float("nan"), float("inf"), True, "", "x", "../x", 10**30, [None], {"a": 1}]
    )

    def change(value):
        if draw(st.integers(0, 5)) == 0:
            return draw(odd)
        if isinstance(value, dict):
            kept = {key: change(item) for key, item in value.items() if draw(st.integers(0, 9))}
            return kept | ({"new": draw(odd)} if not draw(st.integers(0, 9)) else {})
        if isinstance(value, list):
            return [change(item) for item in value]
        return value

    return change(original)


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def check(arguments, outside: Path):
    """Run a command: a documented status, one line if it is refused, nothing new or changed in `outside`."""
    before = files_of(outside)
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as stopped:  # argparse's own
            status = stopped.code
    lines = [line for line in err.getvalue().splitlines() if line.startswith("synvita: ")]
    assert status in (0, 2, 3), (status, err.getvalue())
    if status == 2:
        assert len(lines) == 1 and len(lines[0]) > 20, err.getvalue()
        clear = lines[0].split("not a usable checkpoint (")[0]  # behind it a library's own words
        assert not any(word in clear for word in ("codec can't", "object has no", "None:", "Traceback")), lines[0]
    assert files_of(outside) == before
    return status


@pytest.fixture(scope="module")
def place():
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "v.mp4").write_bytes(b"not a video")
        yield Path(folder)


ROWS = [
    {"video": "v.mp4", "caption": "a man runs", "negative_caption": "a man walks", "misalignment": "action", "id": "1"},
    {"video": "v.mp4", "caption": "a dog, \"Rex\", eats", "negative_caption": "a cat eats", "split": "test"},
]  # fmt: skip
COLUMNS = ["video", "caption", "negative_caption", "misalignment", "id", "split", "file"]


def table_bytes(suffix: str) -> bytes:
    rows = [{"file": "v.mp4"} | row for row in ROWS]
    if suffix == ".jsonl":
        return "".join(json.dumps(row) + "\n" for row in rows).encode()
    quoted = [["" if c not in row else '"' + row[c].replace('"', '""') + '"' for c in COLUMNS] for row in rows]
    if suffix == ".csv":
        return "\n".join([",".join(COLUMNS), *(",".join(cells) for cells in quoted)]).encode()
    import pyarrow
    import pyarrow.parquet

    sink = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([{c: row.get(c) for c in COLUMNS} for row in rows]), sink)
    return sink.getvalue()


TABLES = {suffix: table_bytes(suffix) for suffix in (".csv", ".jsonl", ".parquet")}


@share(0.4)
@given(data=st.data())
def test_tables_of_triplets_clips_and_pairs(place, data):
    suffix = data.draw(st.sampled_from(list(TABLES)))
    with tempfile.TemporaryDirectory(dir=place) as folder:
        work = Path(folder)
        shutil.copy(place / "v.mp4", work)
        table = work / f"table{suffix}"
        table.write_bytes(data.draw(damaged(TABLES[suffix])))
        outside = work / "outside"
        outside.mkdir()
        command = data.draw(st.sampled_from(["check", "import", "clips", "pairs"]))
        if command == "pairs":
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(score, "load_aligner", no_model)
                check(["score", "--pairs", table, "--out", work / "out.jsonl"], outside)
        elif command == "clips":
            (work / "good.jsonl").write_bytes(TABLES[".jsonl"])
            assert check(["triplets", "import", work / "good.jsonl", "--run", work / "run"], outside) == 0
            check(["generate", "--clips", table, "--run", work / "run"], outside)
        else:
            check(["triplets", command, table, *(["--run", work / "run"] if command == "import" else [])], outside)


def no_model(arguments):
    raise ValueError("--model: this test asks no model; the table was read")


@pytest.fixture(scope="module")
def begun(place):
    (place / "good.jsonl").write_bytes(TABLES[".jsonl"])
    assert check(["triplets", "import", place / "good.jsonl", "--run", place / "begun"], place / "begun" / "x") == 0
    return place / "begun"


@share(0.3)
@given(data=st.data())
def test_configurations(place, begun, data):
    stored = (begun / "config.yaml").read_bytes()
    if data.draw(st.booleans()):
        text = data.draw(damaged(stored))
    else:
        tree = data.draw(other_values(yaml.safe_load(stored)))
        text = yaml.safe_dump(tree, allow_unicode=True).encode("utf-8", "surrogatepass")
    with tempfile.TemporaryDirectory(dir=place) as folder:
        run, outside = Path(folder) / "run", Path(folder) / "outside"
        shutil.copytree(begun, run)
        outside.mkdir()
        if data.draw(st.booleans()):
            (run / "config.yaml").write_bytes(text)
            check(["report", "--run", run], outside)
        else:
            (Path(folder) / "own.yaml").write_bytes(text)
            check(["report", "--run", run, "--config", Path(folder) / "own.yaml"], outside)


RECORDS = [
    "triplets.jsonl", "clips/world_simulator/clips.jsonl", "clip_of_triplet.jsonl", "scores/llava/scores.jsonl",
    f"weights/{WEIGHTS}.jsonl", "weights/stamp.json", "results.json", "benchmarks/qa.jsonl",
    "benchmarks/retrieval_events.jsonl", f"{HOME}/pairs/synvita/0/open.jsonl", f"{HOME}/pairs/uniform/0/qa.jsonl",
    f"{HOME}/adapters/synvita/0/arm.json", f"{HOME}/pairs/synvita/0/model.json",
]  # fmt: skip


@pytest.fixture(scope="module")
def finished(small_run, place):
    """A finished run without its videos, cache and most of its arms."""
    run = place / "finished"
    kept = ("synvita", "uniform", "real_only")

    def left_out(folder, names):
        parts = Path(folder).relative_to(small_run).parts
        if not parts:
            return [n for n in names if n in ("cache", "real", "report")]
        of_arms = "/".join(parts) in (f"{HOME}/pairs", f"{HOME}/adapters")
        gone = [n for n in names if of_arms and n not in kept]
        return gone + [n for n in names if n.endswith((".safetensors", ".mp4"))]

    shutil.copytree(small_run, run, ignore=left_out)
    return run


@share(0.2)
@given(data=st.data())
def test_records_of_a_run_folder(finished, place, data):
    name = data.draw(st.sampled_from(RECORDS))
    original = (finished / name).read_bytes()
    with tempfile.TemporaryDirectory(dir=place) as folder:
        run, outside = Path(folder) / "run", Path(folder) / "outside"
        shutil.copytree(finished, run)
        outside.mkdir()
        if data.draw(st.booleans()):
            (run / name).write_bytes(data.draw(damaged(original)))
        else:
            lines = original.splitlines(keepends=True) if name.endswith("l") else [original]
            at = data.draw(st.integers(0, len(lines) - 1))
            lines[at] = json.dumps(data.draw(other_values(json.loads(lines[at])))).encode() + b"\n"
            (run / name).write_bytes(b"".join(lines))
        command = data.draw(st.sampled_from(["evaluate", "report"]))
        with mock.patch("synvita.stages.run_arms"):  # no model: what was changed would be asked again, seconds each
            check([command, "--run", run, "--evaluate.draws", "5"], outside)


@pytest.fixture(scope="module")
def adapter(small_run):
    return next((small_run / HOME / "adapters" / "synvita").glob("0"))


@share(0.1)
@given(data=st.data())
def test_checkpoints_and_adapters(adapter, checkpoints, place, data):
    base = checkpoints / "mini-video-llava"
    kind = data.draw(st.sampled_from(["adapter", "model"]))
    source = adapter if kind == "adapter" else base
    names = [p.name for p in source.iterdir() if p.suffix in (".json", ".jinja") and p.name not in ("arm.json",)]
    name = data.draw(st.sampled_from(sorted(names)))
    with tempfile.TemporaryDirectory(dir=place) as folder:
        copy, outside = Path(folder) / "copy", Path(folder) / "outside"
        copy.mkdir()
        outside.mkdir()
        for file in source.iterdir():
            if file.name == name:
                continue
            (copy / file.name).symlink_to(file)
        original = (source / name).read_bytes()
        if data.draw(st.booleans()) or name.endswith(".jinja"):
            (copy / name).write_bytes(data.draw(damaged(original)))
        else:
            tree = data.draw(other_values(json.loads(original)))
            (copy / name).write_text(json.dumps(tree))
        given_flags = ["--adapter", copy] if kind == "adapter" else ["--model", copy]
        check(["score", place / "v.mp4", "a red ring", *given_flags], outside)
