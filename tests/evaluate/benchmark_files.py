"""Tables of public benchmarks in their published form and size, with made-up captions, and score files for them."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path

PROMPT = (
    "The following is a conversation between a curious human and AI assistant. The assistant gives helpful, detailed, "
    "and polite answers to the user's questions.\nHuman: <|video|>\n"
    'Human: Does this video entail the description: "{}"?\nAI: '
)
ASPECTS = {"Direction": 3, "Intensity": 2, "Sequence": 2, "Compositionality": 2, "Localization": 2, "Type": 2}


def write(path, rows, columns=None, header=True):
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = columns or list(rows[0])
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file, lineterminator="\n")
        if header:
            out.writerow(columns)
        out.writerows([row[name] for name in columns] for row in rows)
    return path


def write_lines(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def ssv2(path, queries=18, each=12, wrap=PROMPT, folder="videos/"):
    """Every caption with every video; `each` videos show what a caption says."""
    rows = []
    for video in range(queries * each):
        for query in range(queries):
            caption = f'Putting "[something {query}]" behind [something]'
            row = {"videopath": f"{folder}{1000 + video}.avi", "caption": wrap.format(caption)}
            rows.append(row | {"match": int(video // each == query)})
    return write(path, rows)


def atp_hard(folder, questions=1846, prepared=True):
    """1,846 questions about 553 videos: the last two of a video are worded alike, seven have two equal options."""
    told, types, statements = [], [], []
    for number in range(questions):
        video = f"{4000 + number % 553}"
        question = "what happened" if number in (5, 558) else f"why {number}"
        options = [f"It does {number} {option}." for option in range(5)]
        if number % 250 == 3:
            options[4] = options[number % 4]
        answer, kind = number % 5, "CW" if number % 2 else "TN"
        types.append({"video": video, "question": question, "type": kind})
        statements.append(
            {"vid_id": video, "question": question, "answer": answer} | {f"s{i}": s for i, s in enumerate(options)}
        )
        for option, statement in enumerate(options):
            row = {"videopath": f"/their/machine/NExTVideo/11/{video}.mp4", "question": question, "answer": answer}
            told.append(row | {"option": option, "caption": PROMPT.format(statement)})
    write(folder / "nextqa-atphard.csv", types)
    write(folder / "nextqa-atphard-statements.csv", statements)
    if prepared:
        write(folder / "eval-nextqa-atphard.csv", told)
    return told


def videocon_llm(path, test=13_500, train=50):
    rows = []
    for number in range(test + train):
        row = {"source": "MSR-VTT", "videopath": f"msrvtt/video{number // 3}.mp4", "caption": f"a dog runs {number}"}
        row |= {"neg_caption": f"a cat runs {number}", "split": "test" if number < test else "train"}
        rows.append(row | {"misalignment": ("object", "action")[number % 2], "youtube_key": f"k{number}"})
    return write(path, rows)


def videocon_human(path, rows=570, hard=290):
    told = []
    for number in range(rows):
        row = {"video_url": f"https://bucket.s3.example.com/clips/v_{number // 2}%20a.mp4?versionId=3"}
        row |= {"caption": f"a man sits {number}", "neg_caption": f"a man stands {number}", "nle": "he, well, sits"}
        told.append(row | {"hard": number < hard})
    return write(path, told)


def vinoground(path, pairs=500):
    rows = []
    for number in range(pairs):
        row = {"index": number, "major": ("action", "object", "viewpoint")[number % 3], "minor": "", "pos_vid": "x"}
        rows.append(
            row | {"pos_cap": f"first {number} a, then b", "neg_vid": "y", "neg_cap": f"first {number} b, then a"}
        )
    return write(path, rows)


def timeblind(path, instances=600):
    rows = []
    for number in range(instances):
        words = ("Yes", "No") if number % 2 else ("A", "B")
        for question in (0, 1):
            for video in (0, 1):
                row = {"index": len(rows), "video_path": f"TimeBlind/videos/vid_{number:05d}_{video}.mp4"}
                row |= {"question": f"Is {number} {question}?", "answer": words[int(question != video)]}
                rows.append(row | {"type": "yes_no" if number % 2 else "multiple_choice"})
    return write_lines(path, rows)


def velociti(path, rows=8_792):
    told = []
    for number in range(rows):
        row = {
            "test_name": ("agent_bind", "action_mod")[number % 2],
            "video_id": f"v_{number % 900}.mp4",
            "event": "ev1",
        }
        told.append(row | {"pos": f"he jumps {number}", "neg": f"he falls {number}"})
    return write_lines(path, told)


def vitatecs(folder, rows=13_838):
    each = rows // len(ASPECTS)
    for place, aspect in enumerate(ASPECTS):
        number = each if place else rows - each * (len(ASPECTS) - 1)
        told = [
            {"src_dataset": "MSRVTT", "video_name": f"video{i}.mp4", "caption": f"fast {i}", "aspect": aspect}
            | {"counterfactual": f"slow {i}"}
            for i in range(number)
        ]
        write_lines(folder / f"{aspect}.jsonl", told)


def own_run(folder):
    """A run folder of one's own triplets, of which nobody was asked."""
    from synvita.cli import main

    (folder / "training.mp4").write_bytes(b"not looked at")
    row = {"video": "training.mp4", "caption": "a dog runs", "negative_caption": "a cat runs"}
    table = write(folder / "t.csv", [row])
    assert main(["triplets", "import", str(table), "--run", str(folder / "run")]) == 0
    return folder / "run"


def read(path):
    with Path(path).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def scores_of(pairs, seed=0, ties=False):
    """[(path, caption, score)] with a score for each of [(path, caption)], equal for equal pairs."""
    dice = random.Random(seed)
    found = {}
    for pair in pairs:
        found.setdefault(pair, dice.randrange(24) / 24 if ties else dice.random())
    return [(*pair, found[pair]) for pair in pairs]


def videocon_scores(path, rows):
    """Five columns without a header: path, prompt, score, the score again, about one minus it."""
    told = [{"p": p, "c": c, "a": s, "b": s, "d": 1 - s} for p, c, s in rows]
    return write(path, told, header=False)


def synvita_scores(path, rows, header=None):
    """Three columns; `header`: its names, where there is one."""
    lines = [*([header] if header else []), *rows]
    return write(path, [dict(zip("abc", line, strict=True)) for line in lines], header=False)


def read_lines(path):
    return [json.loads(line) for line in Path(path).read_text().splitlines()]
