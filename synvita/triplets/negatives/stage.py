"""Stage 1 by a language model: of each caption a negative one per misalignment type, each checked, each once."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from synvita.core.provenance import digest
from synvita.core.records import Misalignment, Triplet, require_text
from synvita.core.run_folder import need
from synvita.core.stage import Resources, SetAside, resources_of
from synvita.core.store import read_records, write_records
from synvita.triplets.negatives.captions import Caption
from synvita.triplets.negatives.language_model import Busy, LanguageModel, Refused
from synvita.triplets.negatives.prompts import TEMPLATES, prompt, read_answer
from synvita.triplets.negatives.rules import Unusable, cannot_carry, check, spans

T = TypeVar("T")
R = TypeVar("R")

CAPTIONS, FOLDER, FILE = "captions.jsonl", "negatives", "negatives.jsonl"
TRIES = 4  # requests per negative caption at most, for whatever reason the others gave none
SILENT = 12  # captions in a row that the endpoint leaves without an answer: the rest is not asked by this call


@dataclass(frozen=True)
class Negative:
    """What came of one caption and one type: a negative caption, or in `none` why there is none.

    `source_span` of the caption became `target_span` of the negative caption; one is empty where words were only added.
    """

    id: str
    caption_id: str
    caption: str
    misalignment: str
    negative_caption: str = ""
    explanation: str = ""
    source_span: str = ""
    target_span: str = ""
    none: str = ""

    def __post_init__(self) -> None:
        for name in ("id", "caption_id", "caption"):
            require_text(name, getattr(self, name))
        if bool(self.none) == bool(self.negative_caption):
            raise ValueError("negative_caption, none: exactly one of the two must be text")


@dataclass
class Item:
    """One caption and one type. `done`: its record is there; others of its batch may lack theirs."""

    caption: Caption
    kind: Misalignment
    done: bool = False

    @property
    def key(self) -> str:
        return f"{self.caption.id}:{self.kind}"

    def record(self, **values: str) -> Negative:
        return Negative(self.key, self.caption.id, self.caption.caption, str(self.kind), **values)


class MakeNegatives:
    """The stage (`core.stage.Stage`); `model` None: to count and to merge, not to work.

    Records of captions that are no longer in the table stay; no triplet is made of them.
    """

    command, what, retry = "triplets negatives", "negatives: captions x types", "the same command"
    folder, file, key_field, whole = FOLDER, FILE, "id", False
    unique: tuple[str, ...] = ("id",)

    def __init__(self, model: LanguageModel | None = None):
        self.model = model
        self.batch = model.at_once if model is not None else 1
        self.silent = 0
        self.resources: Resources = resources_of({"device": getattr(model, "device", "cpu")})

    @property
    def stamp(self) -> dict[str, Any]:
        assert self.model is not None
        return {"model": self.model.describe(), "prompts": digest(TEMPLATES)}

    def items(self, run: Path) -> list[Item]:
        return [Item(caption, Misalignment(kind)) for caption in read_captions_of(run) for kind in caption.types]

    def key(self, item: Item) -> str:
        return item.key

    def is_done(self, run: Path, item: Item, records: Sequence[dict[str, Any]]) -> bool:
        """Another text under the same id is asked anew."""
        item.done = bool(records) and records[0].get("caption") == item.caption.caption
        return item.done

    def setup(self) -> None:
        assert self.model is not None
        self.model.setup()

    def work(self, run: Path, batch: Sequence[Item]) -> list[list[Negative] | SetAside]:
        """All items of a batch at the same time, but for those that are done: each request may cost money."""
        answers = iter(at_once(self.one, [item for item in batch if not item.done]))
        return [[] if item.done else next(answers) for item in batch]

    def one(self, item: Item) -> list[Negative] | SetAside:
        impossible = cannot_carry(item.kind, item.caption.caption)
        if impossible:
            return [item.record(none=f"by rule: {impossible}")]
        if self.silent >= SILENT:
            return SetAside(f"not asked: {SILENT} captions in a row got no answer; run the same command later")
        try:
            return self.asked(item)
        except Busy as error:
            self.silent += 1
            return SetAside(f"no answer to {TRIES} requests; the last: {error}")
        except Refused as error:
            self.silent += 1
            return SetAside(f"refused: {error}")
        except Unusable as error:
            return SetAside(f"no usable answer to {TRIES} requests; the last: {error}")
        except ValueError as error:
            raise ValueError(f"{error} (asked for {item.key})") from None

    def asked(self, item: Item) -> list[Negative]:
        """Ask until an answer is usable; the model is told what was wrong with the one before.

        Raises:
            Busy, Unusable: the last of `TRIES` failures. Refused; ValueError: nobody will be answered.
        """
        assert self.model is not None
        answer = reason = ""
        for left in reversed(range(TRIES)):
            try:
                text, answer = prompt(item.kind, item.caption.caption, answer, reason), ""
                answer = self.model.answer(text)
                self.silent = 0
                return [checked(item, answer)]
            except Unusable as error:
                self.silent, reason = 0, str(error)
                if not left:
                    raise
            except Busy as error:
                if not left:
                    raise
                self.model.rest(self.model.pause * 2 ** (TRIES - 1 - left) if error.wait is None else error.wait)
        raise AssertionError

    def close(self) -> None: ...


def checked(item: Item, text: str) -> Negative:
    """The record of an answer. Raises: Unusable."""
    caption, answer = item.caption.caption, read_answer(text)
    if answer.none:
        return item.record(none=f"the model: {answer.none}")
    check(item.kind, caption, answer.negative_caption)
    if answer.explanation in (caption, answer.negative_caption):
        raise Unusable("explanation: only repeats a caption; say what differs")
    source, target = spans(caption, answer.negative_caption)
    return item.record(
        negative_caption=answer.negative_caption,
        explanation=answer.explanation,
        source_span=source,
        target_span=target,
    )


def at_once(call: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """`call(item)` of all items in a thread each; the results in the items' order.

    Nobody waits for the threads of a run that is interrupted or has failed: their requests may take a minute.
    """
    if len(items) < 2:
        return [call(item) for item in items]
    ended: queue.SimpleQueue[tuple[int, R | None, BaseException | None]] = queue.SimpleQueue()

    def one(place: int) -> None:
        try:
            ended.put((place, call(items[place]), None))
        except BaseException as error:
            ended.put((place, None, error))

    for place in range(len(items)):
        threading.Thread(target=one, args=(place,), daemon=True).start()
    results: dict[int, Any] = {}
    for _ in items:
        place, result, error = ended.get()
        if error is not None:
            raise error
        results[place] = result
    return [results[place] for place in range(len(items))]


# ---- before and after the work


def begin(run: Path, captions: Sequence[Caption]) -> None:
    """Write what is to be asked. ValueError: the run has triplets from elsewhere."""
    if (run / "triplets.jsonl").exists() and not (run / FOLDER / "stamp.json").exists():
        raise ValueError(f"--run: {run} already has triplets.jsonl; give a new folder")
    write_records(run / CAPTIONS, captions)


def read_captions_of(run: Path) -> list[Caption]:
    return read_records(need(run, CAPTIONS, "triplets negatives TABLE"), Caption, ("id",))


def write_triplets(run: Path) -> dict[str, int]:
    """`triplets.jsonl` from the records that are there: by caption in the table's order, then by type.

    Returns counts {"captions", "triplets", "none"}.
    """
    path = run / FOLDER / FILE
    records = {record.id: record for record in read_records(path, Negative, ("id",))} if path.exists() else {}
    triplets, none = [], 0
    captions = read_captions_of(run)
    for caption in captions:
        for kind in Misalignment:
            record = records.get(Item(caption, kind).key)
            if record is None or record.caption != caption.caption:
                continue
            none += bool(record.none)
            if not record.none:
                triplets.append(
                    Triplet(
                        record.id,
                        caption.video,
                        caption.caption,
                        record.negative_caption,
                        kind,
                        caption.split,
                        record.explanation,
                    )
                )
    write_records(run / "triplets.jsonl", triplets)
    return {"captions": len(captions), "triplets": len(triplets), "none": none}
