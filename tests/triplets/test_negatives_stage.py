"""Captions to triplets through `synvita triplets negatives` and an endpoint that this test starts."""

import csv
import json
import pickle
import signal
import socket
import subprocess
import sys
import time

import pytest
from chat_endpoint import CAPTION, NEGATIVES, Chat, Raw, answer, completion, serving

from synvita.cli import main
from synvita.core.records import Misalignment, Triplet
from synvita.core.set_aside import read_set_aside
from synvita.core.store import parse_lines, read_records
from synvita.executors import local
from synvita.triplets.negatives import stage as stages
from synvita.triplets.negatives.captions import Caption, read_captions
from synvita.triplets.negatives.endpoint import Endpoint
from synvita.triplets.negatives.stage import MakeNegatives, Negative, begin, write_triplets

KEY = "sk-very-secret-0123456789"
PLAIN = "A dog sleeps on a bed"  # no number, no two events
OF_PLAIN = {
    "object": "A horse sleeps on a bed",
    "action": "A dog eats on a bed",
    "attribute": "none",
    "relation": "A dog sleeps under a bed",
    "hallucination": "A dog sleeps on a bed beside a burning candle",
}


def honest(asked):
    text = {CAPTION: NEGATIVES, PLAIN: OF_PLAIN}[asked.caption][asked.kind]
    return '{"none": "nothing is described"}' if text == "none" else answer(text, f"{asked.kind}: otherwise")


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("SYNVITA_API_KEY", KEY)
    monkeypatch.setattr(Endpoint, "pause", 0.01)


@pytest.fixture
def table(tmp_path):
    for name in "abc":
        (tmp_path / f"{name}.mp4").write_bytes(b"")
    return write(tmp_path / "mine.csv", [("a.mp4", CAPTION, ""), ("b.mp4", PLAIN, "val")])


def write(path, rows, columns=("video", "caption", "split")):
    with path.open("w", newline="") as out:
        csv.writer(out).writerows([columns, *rows])
    return path


def call(table, run, url, *more):
    return main(["triplets", "negatives", str(table), "--run", str(run), "--endpoint", url, "--model", "m", *more])


def triplets(run):
    return read_records(run / "triplets.jsonl", Triplet, ("id",))


def negatives(run):
    return {record.id: record for record in read_records(run / "negatives/negatives.jsonl", Negative, ("id",))}


def test_captions_become_triplets_in_the_order_of_the_table_and_are_asked_once(table, tmp_path, capsys):
    run, chat = tmp_path / "run", Chat(honest)
    with serving(chat) as url:
        assert call(table, run, url) == 0
        assert len(chat.asked) == 12  # seven, and five of the caption without number and order
        assert call(table, run, url) == 0 and len(chat.asked) == 12
    videos = [(tmp_path / name).as_posix() for name in ("a.mp4", "b.mp4")]
    want = [(CAPTION, videos[0], "mine:1", "train", NEGATIVES), (PLAIN, videos[1], "mine:2", "val", OF_PLAIN)]
    assert triplets(run) == [
        Triplet(f"{name}:{kind}", video, caption, texts[kind], kind, split, f"{kind}: otherwise")
        for caption, video, name, split, texts in want
        for kind in Misalignment
        if texts.get(kind, "none") != "none"
    ]
    there = negatives(run)
    assert len(there) == 14 and list(there) == sorted(there)
    assert {name: record.none for name, record in there.items() if record.none} == {
        "mine:2:attribute": "the model: nothing is described",
        "mine:2:count": "by rule: no number in it",
        "mine:2:flip": "by rule: no two events in an order",
    }
    assert (there["mine:1:count"].source_span, there["mine:1:count"].target_span) == ("Two", "Five")
    assert there["mine:2:hallucination"].source_span == ""
    assert there["mine:2:hallucination"].target_span == "beside a burning candle"
    assert "negatives: 2 captions, 11 triplets, 3 none, 14 made, 0 set_aside" in capsys.readouterr().out
    assert main(["status", "--run", str(run)]) == 0
    assert "negatives " in (text := capsys.readouterr().out) and "14 there, 0 missing" in text


def test_the_bytes_are_the_same_however_many_are_asked_at_once_and_whoever_ends_first(table, tmp_path):
    late = dict(zip(Misalignment, (0.05, 0.0, 0.03, 0.01, 0.04, 0.02, 0.0), strict=True))

    def uneven(asked):
        time.sleep(late[asked.kind])
        return honest(asked)

    made = []
    for number in (1, 3):
        run, chat = tmp_path / f"run-{number}", Chat(uneven)
        with serving(chat) as url:
            assert call(table, run, url, "--at-once", str(number)) == 0
        assert 1 < chat.most <= number or chat.most == number == 1
        made.append([(run / name).read_bytes() for name in ("triplets.jsonl", "negatives/negatives.jsonl")])
    assert made[0] == made[1]


def test_shards_merge_to_the_bytes_of_one_process(table, tmp_path):
    with serving(Chat(honest)) as url:
        assert call(table, tmp_path / "one", url) == 0
        for shard in ("2/2", "1/2"):
            assert call(table, tmp_path / "many", url, "--shard", shard) == 0
            assert not (tmp_path / "many/triplets.jsonl").exists()
        assert main(["merge", "--run", str(tmp_path / "many")]) == 0
    for name in ("triplets.jsonl", "negatives/negatives.jsonl"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "many" / name).read_bytes()


BAD = {
    "object": "I'm sorry, but I cannot help with that.",
    "action": answer(NEGATIVES["action"])[:-30],
    "attribute": answer(NEGATIVES["object"].replace("red", "blue")),
    "count": answer(CAPTION),
    "relation": Raw(body=completion("x", "length")),
    "hallucination": answer(NEGATIVES["hallucination"]) * 2,
    "flip": Raw(body=completion(answer(NEGATIVES["flip"]))[:-20]),
}
REASONS = {
    "object": "a refusal",
    "action": "cut off",
    "attribute": "in two places",
    "count": "says the same",
    "relation": "cut off at the longest answer",
    "hallucination": "more than one JSON object",
}


def test_the_reason_is_told_and_the_second_answer_taken(table, tmp_path):
    write(table, [("a.mp4", CAPTION, "")])
    run, chat = tmp_path / "run", Chat(lambda asked: BAD[asked.kind] if asked.time == 1 else honest(asked))
    with serving(chat) as url:
        assert call(table, run, url) == 0
    assert len(triplets(run)) == 7 and len(chat.asked) == 14
    again = {one.kind: one.prompt for one in chat.asked if one.time == 2}
    for kind, reason in REASONS.items():
        told = again[kind].split("That cannot be used: ")[1]
        assert reason in told, kind
    assert "cannot be used" not in again["flip"]  # nothing was read that could be spoken of
    assert "I'm sorry, but" in again["object"]


def test_what_stays_unusable_is_set_aside_by_name_after_four_requests_and_mended_by_the_next_call(
    table, tmp_path, capsys
):
    write(table, [("a.mp4", CAPTION, ""), ("b.mp4", PLAIN, "")])
    run, chat = tmp_path / "run", Chat(lambda asked: BAD[asked.kind] if asked.caption == CAPTION else honest(asked))
    with serving(chat) as url:
        assert call(table, run, url) == 3
        assert len(chat.asked) == 7 * 4 + 5 and len(triplets(run)) == 4
        rows = {row["id"]: row["reason"] for row in read_set_aside(run)}
        assert sorted(rows) == sorted(f"mine:1:{kind}" for kind in Misalignment)
        for kind, reason in REASONS.items():
            assert rows[f"mine:1:{kind}"].startswith("no usable answer to 4 requests; the last: ")
            assert reason in rows[f"mine:1:{kind}"]
        assert rows["mine:1:flip"] == "no answer to 4 requests; the last: what came is no chat completion"
        assert "7 set aside, named with their reasons in" in capsys.readouterr().err
        chat.script, chat.asked = honest, []
        assert call(table, run, url) == 0
    assert {one.caption for one in chat.asked} == {CAPTION} and len(chat.asked) == 7  # what is there costs nothing
    assert len(triplets(run)) == 11 and read_set_aside(run) == []


def test_429_is_waited_for_as_long_as_it_asks_5xx_and_timeouts_are_tried_again(table, tmp_path):
    write(table, [("b.mp4", PLAIN, "")])
    first = {
        "object": Raw(429, "slow down", {"Retry-After": "1"}),
        "action": Raw(503),
        "relation": Raw(delay=1.5),
        "hallucination": Raw(body=completion("x" * 99), cut=20),
    }
    chat = Chat(lambda asked: first.get(asked.kind, honest(asked)) if asked.time == 1 else honest(asked))
    with serving(chat) as url:
        assert call(table, tmp_path / "run", url, "--timeout", "1") == 0
    assert len(triplets(tmp_path / "run")) == 4 and len(chat.asked) == 9
    one, two = (asked.at for asked in chat.asked if asked.kind == "object")
    assert two - one >= 1.0


def test_an_endpoint_that_never_answers_is_not_asked_for_everything(table, tmp_path, monkeypatch):
    monkeypatch.setattr(stages, "SILENT", 3)
    chat = Chat(lambda asked: Raw(500))
    with serving(chat) as url:
        assert call(table, tmp_path / "run", url, "--at-once", "1") == 3
    assert len(chat.asked) == 3 * 4
    reasons = [row["reason"] for row in read_set_aside(tmp_path / "run")]
    assert len(reasons) == 12
    assert sum(reason == "no answer to 4 requests; the last: HTTP 500" for reason in reasons) == 3
    assert sum("not asked: 3 captions in a row" in reason for reason in reasons) == 9


@pytest.mark.parametrize("raw", [Raw(200, "<html>Log in", {"Content-Type": "text/html"}), Raw(401, "who?"), None])
def test_an_endpoint_that_nobody_can_use_ends_the_run_in_one_line(table, tmp_path, capsys, raw):
    chat = Chat(lambda asked: raw if asked.kind == "object" else honest(asked))
    if raw is None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            assert call(table, tmp_path / "run", f"http://127.0.0.1:{taken.getsockname()[1]}/v1") == 2
    else:
        with serving(chat) as url:
            assert call(table, tmp_path / "run", url, "--at-once", "1") == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("synvita: --endpoint: http://127.0.0.1:") and "(asked for mine:1:" in last
    if raw is not None:  # what was made before is kept: the first by its name is an action
        with serving(Chat(honest)) as url:
            before = len(chat.asked)
            assert before > 1 and call(table, tmp_path / "run", url) == 0


def every_byte(folder):
    return b"".join(str(p).encode() + (p.read_bytes() if p.is_file() else b"") for p in sorted(folder.rglob("*")))


def test_the_key_is_in_no_file_log_or_error_even_if_the_endpoint_echoes_it(table, tmp_path, capsys):
    echo = {
        "object": answer(NEGATIVES["object"], f"your key is {KEY}"),
        "action": answer(NEGATIVES["action"] + f" {KEY}"),
        "attribute": json.dumps({"none": KEY}),
        "count": Raw(400, json.dumps({"error": {"message": f"bad key {KEY}"}})),
        "relation": Raw(500, f"bad key {KEY}"),
        "hallucination": f"I cannot: {KEY}",
        "flip": json.dumps({KEY: 1}),
    }
    run, chat = tmp_path / "run", Chat(lambda asked: echo[asked.kind])
    with serving(chat) as url:
        assert call(table, run, url) == 3
        chat.script = lambda asked: Raw(403, f"not {KEY}")
        assert call(table, run, url) == 2
    text = "".join(capsys.readouterr())
    assert "HTTP 403 (not [key])" in text and KEY.encode() in chat.asked[0].headers["authorization"].encode()
    assert KEY not in text and KEY.encode() not in every_byte(run)
    assert all(KEY not in one.prompt for one in chat.asked)  # nor is it repeated to the model
    stage = MakeNegatives(Endpoint(url, "m"))
    stage.setup()
    assert KEY.encode() not in pickle.dumps(stage) and KEY not in json.dumps(stage.stamp)


SCRIPT = """
import signal, sys
from pathlib import Path
from synvita.executors import local
from synvita.triplets.negatives.endpoint import Endpoint
from synvita.triplets.negatives.stage import MakeNegatives
signal.signal(signal.SIGINT, signal.default_int_handler)  # what starts in a background job ignores it
local.run(MakeNegatives(Endpoint(sys.argv[2], "m", at_once=2)), Path(sys.argv[1]))
"""


def started(run, url, chat, asked):
    """A process of the stage, once it has asked so often."""
    command = [sys.executable, "-c", SCRIPT, str(run), url]
    child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while len(chat.asked) < asked:
        assert child.poll() is None, child.stderr.read()
        time.sleep(0.01)
    return child


def test_a_kill_loses_no_more_than_the_requests_under_way(table, tmp_path):
    def slow(asked):
        time.sleep(0.05)
        return honest(asked)

    run, chat = tmp_path / "run", Chat(slow)
    begin(run, read_captions(table)[0])
    with serving(chat) as url:
        child = started(run, url, chat, 6)
        child.kill()
        child.communicate()
        assert len(chat.asked) < 12 and (run / "negatives/.negatives.journal").exists()
        local.run(MakeNegatives(Endpoint(url, "m", at_once=2)), run)
        write_triplets(run)
        assert 12 <= len(chat.asked) <= 12 + 2  # at most two are asked twice
        assert call(table, tmp_path / "other", url) == 0
    for name in ("triplets.jsonl", "negatives/negatives.jsonl"):
        assert (run / name).read_bytes() == (tmp_path / "other" / name).read_bytes()


def test_ctrl_c_is_obeyed_at_once_although_requests_are_open(table, tmp_path):
    run, chat = tmp_path / "run", Chat(lambda asked: Raw(delay=8))
    begin(run, read_captions(table)[0])
    with serving(chat) as url:
        child = started(run, url, chat, 2)
        child.send_signal(signal.SIGINT)
        start = time.monotonic()
        _, errors = child.communicate(timeout=7)
    assert child.returncode != 0 and time.monotonic() - start < 5 and errors.rstrip().endswith("KeyboardInterrupt")


def test_rows_that_cannot_be_used_are_named_and_the_others_asked(table, tmp_path, capsys):
    rows = [("a.mp4", CAPTION, ""), ("gone.mp4", "x", ""), ("a.mp4", " ", ""), ("b.mp4", PLAIN, "tain")]
    write(table, [*rows, ("a.mp4", CAPTION, ""), ("c.mp4", PLAIN, "test")])
    with serving(Chat(honest)) as url:
        assert call(table, tmp_path / "run", url, "--types", "object,action") == 3
    reasons = {row["id"].rpartition(":")[2]: row["reason"] for row in read_set_aside(tmp_path / "run")}
    beginnings = {"3": "video", "4": "caption", "5": "split", "6": "video and caption"}
    assert {line: reason.split(":")[0] for line, reason in reasons.items()} == beginnings
    assert "cannot be found" in reasons["3"]
    assert f"{table}:5: split: unknown split 'tain'" in capsys.readouterr().err
    want = ["mine:1:object", "mine:1:action", "mine:6:object", "mine:6:action"]
    assert [one.id for one in triplets(tmp_path / "run")] == want


def test_more_types_and_an_edited_caption_are_asked_later_and_nothing_else(table, tmp_path):
    run, chat = tmp_path / "run", Chat(honest)
    with serving(chat) as url:
        assert call(table, run, url, "--types", "object") == 0 and chat.kinds == ["object"] * 2
        write(table, [("a.mp4", PLAIN, ""), ("b.mp4", PLAIN, "val")])
        chat.asked = []
        assert call(table, run, url, "--types", "object,action") == 0
        assert chat.kinds == ["action", "action", "object"]
        assert [one.caption for one in triplets(run)] == [PLAIN] * 4
        assert call(table, run, url, "--types", "action") == 0 and len(triplets(run)) == 4  # others stay


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (["--local", "x"], "--endpoint: give either"),
        (["--model", ""], "--model: none given"),
        (["--types", "colour"], "--types: unknown 'colour'"),
        (["--request", "[1]"], "--request: expected fields"),
        (["--request", "{stream: true}"], "--request: expected fields"),
        (["--endpoint", "x"], "--endpoint: not an address"),
        (["--endpoint", f"http://u:{KEY}@127.0.0.1/v1"], "--endpoint: holds a name or password"),
        (["--videos", "nowhere"], "video_root: 'nowhere' is not a folder"),
        (["--shard", "3/2"], "--shard: '3/2' is no shard"),
        (["--bogus", "3"], "--bogus: unknown argument"),
    ],
)
def test_wrong_arguments_are_one_line_and_leave_no_folder(table, tmp_path, capsys, more, reason):
    assert call(table, tmp_path / "run", "http://127.0.0.1:9/v1", *more) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"synvita: {reason}") and error.count("\n") == 1 and KEY not in error
    assert not (tmp_path / "run").exists()


def test_a_table_without_captions_a_run_with_triplets_and_another_model_are_refused(table, tmp_path, capsys):
    bare = write(tmp_path / "bare.csv", [("a.mp4", "x", "")], ("video", "text", "split"))
    assert call(bare, tmp_path / "run", "http://127.0.0.1:9/v1") == 2
    assert "needs the columns video and caption, has video, text, split" in capsys.readouterr().err
    with serving(Chat(honest)) as url:
        assert call(table, tmp_path / "run", url) == 0
        assert call(table, tmp_path / "run", url, "--model", "other") == 2
        assert "model.model: m -> other" in capsys.readouterr().err
        mine = write(tmp_path / "t.csv", [("a.mp4", "a", "b")], ("video", "caption", "negative_caption"))
        assert main(["triplets", "import", str(mine), "--run", str(tmp_path / "imported")]) == 0
        assert call(table, tmp_path / "imported", url) == 2
        assert "already has triplets.jsonl" in capsys.readouterr().err


# ---- a model on this machine


class Scripted:
    """The interface of a language model, without one."""

    at_once, pause = 1, 0.0

    def __init__(self):
        self.prompts = []

    def describe(self):
        return {"local": "scripted"}

    def setup(self):
        self.ready = True

    def answer(self, prompt):
        self.prompts.append(prompt)
        return answer("A horse sleeps on a bed")

    def rest(self, seconds):
        raise AssertionError("nothing was busy")


def test_any_object_with_the_interface_can_answer(tmp_path):
    begin(tmp_path, [Caption("c", "a.mp4", PLAIN, "train", ["object", "action"])])
    model = Scripted()
    outcome = local.run(MakeNegatives(model), tmp_path)
    assert (outcome.made, outcome.set_aside) == (1, 1) and len(model.prompts) == 1 + 4
    assert write_triplets(tmp_path) == {"captions": 1, "triplets": 1, "none": 0}
    assert read_set_aside(tmp_path)[0]["reason"].endswith("it changes an object, not an action")


def test_the_captions_of_a_table_are_records(table):
    captions, aside = read_captions(table, None, ["flip"])
    assert aside == {} and captions[0] == Caption("mine:1", str(table.parent / "a.mp4"), CAPTION, "train", ["flip"])
    assert captions[1].video == str(table.parent / "b.mp4") and [c.split for c in captions] == ["train", "val"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A random Qwen2 with two layers and a byte-level vocabulary."""
    import torch
    from tiny_chat_models import tokenizer
    from transformers import Qwen2Config, Qwen2ForCausalLM

    folder = tmp_path_factory.mktemp("tiny")
    template = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    template += "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    words = tokenizer(folder, ["<|im_start|>", "<|im_end|>"], "<|im_end|>", template)
    sizes = dict(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2
    )
    torch.manual_seed(0)
    model = Qwen2ForCausalLM(Qwen2Config(vocab_size=len(words), eos_token_id=words.eos_token_id, **sizes))
    model.generation_config.do_sample, model.generation_config.temperature = True, 2.0  # as chat models are saved
    model.save_pretrained(folder)
    return folder


def test_a_local_model_gives_its_likeliest_words_after_its_own_chat_template(tiny):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from synvita.triplets.negatives.local_model import LocalModel
    from synvita.triplets.negatives.rules import Unusable

    model = LocalModel(str(tiny), longest=6)
    model.setup()
    with pytest.raises(Unusable, match="cut off"):
        model.answer("hello")
    words, plain = AutoTokenizer.from_pretrained(tiny), AutoModelForCausalLM.from_pretrained(tiny).eval()
    ids = words("<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n", add_special_tokens=False)["input_ids"]
    want = []
    with torch.no_grad():
        for _ in range(6):
            want.append(int(plain(torch.tensor([ids + want])).logits[0, -1].argmax()))
    model.model.generation_config.eos_token_id = want[3]  # it ends there
    assert model.answer("hello") == words.decode(want[: want.index(want[3]) + 1], skip_special_tokens=True)
    assert pickle.loads(pickle.dumps(model)).model is None


def test_a_local_model_works_through_the_command_and_its_junk_is_set_aside(tiny, table, tmp_path, capsys, monkeypatch):
    from synvita.triplets.negatives import local_model

    monkeypatch.setattr(local_model.LocalModel.__init__, "__defaults__", ("cpu", "auto", 8))
    command = ["triplets", "negatives", str(table), "--run", str(tmp_path / "run"), "--types", "object"]
    assert main([*command, "--local", str(tiny)]) == 3
    assert [row["id"] for row in read_set_aside(tmp_path / "run")] == ["mine:1:object", "mine:2:object"]
    assert list(parse_lines(tmp_path / "run/triplets.jsonl")) == []
    for name, reason in (("nowhere", "no such folder"), (str(tmp_path), "no config.json"), ("a/b/c", "no such folder")):
        assert main([*command, "--local", name]) == 2
        assert f"--local: {name}: {reason}" in capsys.readouterr().err
