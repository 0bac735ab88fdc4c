"""Minimal-pair sets of today: what differs between two videos or two captions is an action, an order, a relation.

The columns are those that the authors' own loaders and scripts name (Vinoground: github Vinoground/Vinoground;
TimeBlind: Baiqi-Li/TimeBlind; VELOCITI: katha-ai/VELOCITI; VITATECS: lscpku/VITATECS). Of VELOCITI's file only the
columns are known, not its name.
"""

from __future__ import annotations

from pathlib import Path

from synvita.core.tables import Row
from synvita.evaluate.benchmarks.table import KNOB, Entry, Loaded, caption, find_file, pair_of, rows_of, text
from synvita.evaluate.pairs import ASKS

ASPECTS = ("Compositionality", "Direction", "Intensity", "Localization", "Sequence", "Type")
YES_NO = ("yes", "no")
ANSWERS = {"yes": 1, "a": 1, "1": 1, "true": 1, "no": 0, "b": 0, "0": 0, "false": 0}
RIGHT = (1, 0, 0, 1)  # of TimeBlind's four rows: question 0 about video 0 and 1, question 1 about video 0 and 1


def vinoground(data: Path) -> Loaded:
    """Row i of `vinoground.csv` has the captions of `vinoground_videos/<i>_pos.mp4` and `<i>_neg.mp4`."""
    path = find_file(data, ("vinoground.csv",))
    entries = []
    for row in rows_of(path, ("pos_cap", "neg_cap")):
        index = row.number - 1
        part = str(row.fields.get("major") or "").strip()
        for own, column in enumerate(("pos_cap", "neg_cap")):
            for other, sign in enumerate(("pos", "neg")):
                video = f"vinoground_videos/{index}_{sign}.mp4"
                pair = pair_of(video, caption(row, column), int(own == other), str(index))
                entries.append(Entry(pair | ({"part": part} if part else {}), row.where))
    return Loaded(entries, [path])


def timeblind(data: Path) -> Loaded:
    """Four rows of `data.jsonl` after each other are an instance: two questions, each about both videos.

    The score of a pair is that of "Yes", or of "A" where a question offers A and B. A question whose answer is yes or
    no can be asked as it stands (`asks`).

    Raises:
        ValueError: rows that do not follow that order, which the authors' script relies on, by file:line.
    """
    path = find_file(data, ("data.jsonl",))
    rows = list(rows_of(path, ("video_path", "question", "answer", "type")))
    entries = []
    for start in range(0, len(rows), 4):
        four = rows[start : start + 4]
        _check_four(four)
        for row, right in zip(four, RIGHT, strict=True):
            pair = pair_of(text(row, "video_path"), caption(row, "question"), right, str(start // 4))
            asks = {ASKS: text(row, "question")} if _answer(row) in YES_NO else {}
            entries.append(Entry(pair | {"part": text(row, "type")} | asks, row.where))
    return Loaded(entries, [path], notes=["a score is that of Yes, or of A where a question offers A and B"])


def _answer(row: Row) -> str:
    return text(row, "answer").strip().lower().rstrip(".")


def _check_four(four: list[Row]) -> None:
    where = four[0].where
    if len(four) < 4:
        raise ValueError(f"{KNOB}: {where}: the last instance has {len(four)} of four rows")
    asked = [text(row, "question") for row in four]
    videos = [text(row, "video_path") for row in four]
    if asked[0] != asked[1] or asked[2] != asked[3] or videos[0] != videos[2] or videos[1] != videos[3]:
        text_of = "question 0 about video 0 and 1, then question 1 about video 0 and 1"
        raise ValueError(f"{KNOB}: {where}: the four rows from here are not {text_of}")
    for row, right in zip(four, RIGHT, strict=True):
        if ANSWERS.get(_answer(row)) != right:
            wanted = "yes or A" if right else "no or B"
            text_of = f"its place among the four asks for {wanted}"
            raise ValueError(f"{KNOB}: {row.where}: answer: {row.fields.get('answer')!r}, but {text_of}")


def velociti(data: Path) -> Loaded:
    """A right and a wrong caption per row: test_name, video_id, pos, neg.

    What the published file is called could not be read; a copy of it has to bear one of these names.
    """
    path = find_file(data, ("velociti.parquet", "velociti.jsonl", "velociti.csv", "test-00000-of-00001.parquet"))
    entries = []
    for row in rows_of(path, ("test_name", "video_id", "pos", "neg")):
        for column, right in (("pos", 1), ("neg", 0)):
            pair = pair_of(text(row, "video_id"), caption(row, column), right, str(row.number))
            entries.append(Entry(pair | {"part": text(row, "test_name")}, row.where))
    return Loaded(entries, [path])


def vitatecs(data: Path) -> Loaded:
    """Six files, one per aspect: src_dataset, video_name, caption, counterfactual, aspect."""
    entries, files = [], []
    for aspect in ASPECTS:
        path = find_file(data, (f"{aspect}.jsonl",))
        files.append(path)
        for row in rows_of(path, ("video_name", "caption", "counterfactual", "aspect")):
            for column, right in (("caption", 1), ("counterfactual", 0)):
                pair = pair_of(text(row, "video_name"), caption(row, column), right, f"{aspect}:{row.number}")
                entries.append(Entry(pair | {"part": text(row, "aspect")}, row.where))
    note = "its videos are MSR-VTT's and VATEX's; those that a model was trained on are no test of it"
    return Loaded(entries, files, notes=[note])
