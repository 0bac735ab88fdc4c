"""What a language model is asked, and how its answer is read. One prompt makes one negative caption of one type."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from synvita.core.reading import not_a_number, unique_keys
from synvita.core.records import Misalignment
from synvita.core.tables import cell
from synvita.triplets.negatives.rules import Unusable

LETTERS = 500  # of a negative caption, and of an explanation

CHANGES: dict[Misalignment, tuple[str, str, str]] = {  # what to change, and an example
    Misalignment.OBJECT: (
        "Exchange one thing, animal, person or place for a clearly different one that could be there instead.",
        "a woman cuts an apple on a board",
        "a woman cuts a carrot on a board",
    ),
    Misalignment.ACTION: (
        "Exchange one action for a clearly different one that the same subject could do instead.",
        "a boy opens a box in the yard",
        "a boy kicks a box in the yard",
    ),
    Misalignment.ATTRIBUTE: (
        "Exchange one property (a colour, size, shape, material, age, mood, speed) for a clearly different one.",
        "a truck drives slowly past a wooden gate",
        "a truck drives slowly past a metal gate",
    ),
    Misalignment.COUNT: (
        "Exchange one number for another one. Adapt plurals; change nothing else.",
        "two dogs run along the beach",
        "four dogs run along the beach",
    ),
    Misalignment.RELATION: (
        "Exchange one word of place, direction or relation (on, behind, left, into, ...) for a clearly different one. "
        "Change nothing else.",
        "a cat lies under the table",
        "a cat lies on the table",
    ),
    Misalignment.HALLUCINATION: (
        "Keep the caption as it is and add, in one place, a few words with something that it does not speak of and "
        "that is hardly in the video by chance.",
        "a man plays the guitar",
        "a man plays the guitar while juggling oranges with one hand",
    ),
    Misalignment.FLIP: (
        "Turn the order in time of the events, so that what happened first happens last. Keep the words of each event.",
        "a girl ties her shoes and then runs off",
        "a girl runs off and then ties her shoes",
    ),
}

PROMPT = """You write captions of videos that are wrong in exactly one way, to test who has looked closely.

This caption of a video is true:
{caption}

Your change: {change}
Example: {before} becomes {after}

The new caption must be false of that video, plausible by itself, and as close to the true one as the change allows: one
caption, no negation (not, no, without), no synonym of what was there, nothing more general, no second change.
If the caption has nothing that could be changed in this way, answer {{"none": "the reason in a few words"}}.

Answer with one JSON object and nothing else:
{{"negative_caption": "the new caption", "explanation": "one sentence that tells what differs from the video"}}"""

AGAIN = """

You have answered:
{answer}
That cannot be used: {reason}. Answer anew."""

TEMPLATES = [PROMPT, AGAIN, {str(kind): texts for kind, texts in CHANGES.items()}]  # all that decides what is asked


@dataclass(frozen=True)
class Answer:
    """A negative caption with its explanation, or why there is none."""

    negative_caption: str = ""
    explanation: str = ""
    none: str = ""


def prompt(kind: Misalignment, caption: str, answer: str = "", reason: str = "") -> str:
    """`answer`, `reason`: what the model has answered before and why that cannot be used."""
    change, before, after = CHANGES[kind]
    quoted = [json.dumps(text, ensure_ascii=False) for text in (caption, before, after)]
    text = PROMPT.format(caption=quoted[0], change=change, before=quoted[1], after=quoted[2])
    return text + (AGAIN.format(answer=answer.strip()[:LETTERS] or "(nothing)", reason=reason) if reason else "")


def read_answer(text: str) -> Answer:
    """The one JSON object in an answer; a fence, a thought before it or a few words around it do no harm.

    Raises:
        Unusable: a refusal, no JSON or half of it, several objects, other keys, not one caption on one line.
    """
    text = re.sub(r"(?s)^.*</think>", "", text).strip()
    if text.strip("\"'.`").lower() == "none":
        return Answer(none="the model gives no reason")
    fields = only_object(text)
    known = {"negative_caption", "explanation", "none"}
    if unknown := fields.keys() - known:
        raise Unusable(f"the key {min(unknown)[:40]!r} is none of {', '.join(sorted(known))}")
    if fields.get("none") and not fields.get("negative_caption"):
        return Answer(none=" ".join(str(fields["none"]).split())[:LETTERS])
    if fields.get("none"):
        raise Unusable("it has both a negative caption and none")
    return Answer(line(fields, "negative_caption"), line(fields, "explanation"))


def only_object(text: str) -> dict[str, Any]:
    start = text.find("{")
    if start < 0:
        refusal = re.search(r"(?i)\b(sorry|cannot|can't|can’t|unable|won't|apologi[sz]e|not able)\b", text)
        raise Unusable(f"{'a refusal' if refusal else 'no JSON'}: {shown(text)}")
    decoder = json.JSONDecoder(parse_constant=not_a_number, object_pairs_hook=unique_keys)
    try:
        fields, end = decoder.raw_decode(text, start)
    except (ValueError, RecursionError) as error:
        reason = getattr(error, "msg", None) or str(error)
        raise Unusable(f"not JSON, or cut off ({reason}): {shown(text)}") from None
    if "{" in text[end:]:
        raise Unusable("more than one JSON object")
    assert isinstance(fields, dict)
    return fields


def line(fields: dict[str, Any], name: str) -> str:
    """A text of one line, without the quotes that some put around it."""
    try:
        text = cell(fields, name).strip()
    except ValueError as error:
        raise Unusable(str(error)) from None
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1].strip()
    if not text or len(text.splitlines()) > 1:
        raise Unusable(f"{name}: not one line of text")
    if len(text) > LETTERS:
        raise Unusable(f"{name}: {len(text)} letters, at most {LETTERS}")
    return text


def shown(text: str) -> str:
    words = " ".join(text.split())
    return repr(words if len(words) < 90 else f"{words[:80]}...") if words else "nothing"
