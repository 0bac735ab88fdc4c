"""Ask a video LLM how well captions fit videos: each video's prefix runs once, its captions are asked behind it.

The prefix (system text, video, start of the question) goes through the model once and leaves its keys and values. The
captions follow in parts, packed in one row under a mask in which each sees the prefix and itself: nothing is padded or
repeated, and memory does not grow with their number. One prefill, never `generate`; logits at answer positions only.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from synvita.core.alignment import log_odds
from synvita.core.packing import Pack, Segment, pack
from synvita.core.question import Asked, CaptionError, Question, shown
from synvita.videollm.packed import hidden_states, prefix_segment, together
from synvita.videollm.protocol import Media, VideoLLM

LONG_CAPTIONS = ("error", "truncate")
Text = str | Question  # a caption, or a question that is asked as it stands
# Questions of one pass look at each other in vain, which costs a CPU; a GPU waits for the launches of many passes.
QUESTIONS_AT_ONCE = {"cpu": 16, "accelerator": 64}


def shared_length(asked: Sequence[Asked]) -> int:
    """How many leading tokens all the questions share, at most up to the first caption token."""
    stop = min(a.caption[0] for a in asked)
    first = asked[0].ids
    for a in asked[1:]:
        stop = next((i for i in range(stop) if a.ids[i] != first[i]), stop)
    return stop


def asker_of(model: VideoLLM, text: Text) -> tuple[Callable[[str], Asked], str, str]:
    """What asks a text of a model, the text itself, and what it is called in a message.

    ValueError: a model of one's own that asks about captions only.
    """
    if isinstance(text, str):
        return model.questioner.ask, text, "caption"
    ask = getattr(model.questioner, "ask_question", None)
    if ask is None:
        raise ValueError(f"question {shown(text.text)}: the model asks about captions only (it has no ask_question)")
    return ask, text.text, "question"


def ask_within(model: VideoLLM, media: Media, text: Text, long_captions: str = "error") -> Asked:
    """The question about a caption, if it fits the model's context with its answer: that is never cut off.

    Raises:
        CaptionError: too long, and `long_captions` is "error"; or nothing is left of it.
    """
    ask, caption, what = asker_of(model, text)
    asked = ask(caption)
    context: int = model.language.config.max_position_embeddings
    room = context - len(media.ids) - 2  # the answer and its end
    if len(asked.ids) <= room:
        return asked
    if long_captions == "error":
        need = len(media.ids) + len(asked.ids) + 2
        raise CaptionError(
            f"{what} {shown(caption)}: {need} tokens with its video, the model takes {context}; "
            "shorten it or give --long-captions truncate"
        )
    words = caption.split()
    low, high = 0, len(words)  # the most words that fit
    while low < high:
        middle = (low + high + 1) // 2
        fits = len(ask(" ".join(words[:middle])).ids) <= room
        low, high = (middle, high) if fits else (low, middle - 1)
    if not low:
        raise CaptionError(f"{what} {shown(caption)}: the video leaves no room in the model's {context} tokens")
    cut = f"cut to its first {low} of {len(words)} words to fit the context"
    warnings.warn(f"{what} {shown(caption)}: {cut}", stacklevel=2)
    return ask(" ".join(words[:low]))


def prefill(model: VideoLLM, media: list[Media], more: list[list[int]]) -> tuple[Any, list[int], int]:
    """Run the prefixes of some videos (equally long); (their cache, position of the next token per row, length)."""
    from transformers import DynamicCache

    cache = DynamicCache()
    packed = pack([[prefix_segment(m, ids)] for m, ids in zip(media, more, strict=True)])
    visual, deep = together(media)
    nothing: list[list[int]] = [[] for _ in media]
    hidden_states(model.language, packed, model.placeholder, visual, deep, cache, causal=True, read=nothing)
    return cache, [after[0] for after in packed.after], packed.ids.shape[1]


def last_columns(packed: Pack, rows: list[list[Segment]]) -> list[list[int]]:
    """Per row of the pack, where each of its questions ends."""
    return [
        [at + len(q.ids) - 1 for at, q in zip(*both, strict=True)] for both in zip(packed.starts, rows, strict=True)
    ]


@torch.no_grad()
def score_answers(
    model: Any,
    media: list[Media],
    asked: list[list[Asked]],
    measure: Callable[[Tensor], Tensor],
    questions_at_once: int = 16,
) -> list[Tensor]:
    """As `score_questions`, for quantities that look at "Yes" and its end.

    Args:
        model: needs `language`, `placeholder`, `logits` and a `questioner`.
        measure: (n, 2, vocab) logits at the two positions -> (n,).
    Returns:
        (N,) for each of `media`.
    """
    stop = min(shared_length(some) for some in asked)
    cache, first, behind = prefill(model, media, [some[0].ids[:stop] for some in asked])
    scores: list[list[Tensor]] = [[] for _ in asked]
    for start in range(0, max(len(some) for some in asked), questions_at_once):
        part = slice(start, start + questions_at_once)
        rows = [[Segment([*a.ids[stop:], model.questioner.answers.yes]) for a in some[part]] for some in asked]
        packed = pack(rows, 0, behind, first)
        ends = last_columns(packed, rows)
        read = [[at for end in row for at in (end - 1, end)] for row in ends]
        states = hidden_states(model.language, packed, model.placeholder, cache=cache, read=read)
        cache.crop(-packed.ids.shape[1])
        of = [b for b, row in enumerate(ends) for _ in row]
        pairs = torch.cat([states[b, : 2 * len(row)].unflatten(0, (-1, 2)) for b, row in enumerate(ends)])
        for b, value in zip(of, measure(model.logits(pairs)), strict=True):
            scores[b].append(value)
    return [torch.stack(values) for values in scores]


@torch.no_grad()
def score_questions(
    model: VideoLLM,
    media: list[Media],
    asked: list[list[Asked]],
    hidden: list[list[list[int]]] | None = None,
    questions_at_once: int = 16,
) -> list[Tensor]:
    """Log-odds (fp32) of each video's questions; the videos' prompts must be equally long.

    `hidden[b][i]`: positions in `asked[b][i].ids` that nobody may look at (the masked twins of Eq. 6).
    """
    stop = min(shared_length(some) for some in asked)
    cache, first, behind = prefill(model, media, [some[0].ids[:stop] for some in asked])
    answers = model.questioner.answers
    scores: list[list[Tensor]] = [[] for _ in asked]
    for start in range(0, max(len(some) for some in asked), questions_at_once):
        part = slice(start, start + questions_at_once)
        rows = [[Segment(a.ids[stop:]) for a in some[part]] for some in asked]
        if hidden:
            for segments, gone in zip(rows, hidden, strict=True):
                for segment, positions in zip(segments, gone[part], strict=True):
                    segment.hidden = [i - stop for i in positions]
        packed = pack(rows, 0, behind, first)
        ends = last_columns(packed, rows)
        states = hidden_states(model.language, packed, model.placeholder, cache=cache, read=ends)
        cache.crop(-packed.ids.shape[1])
        of = [b for b, row in enumerate(ends) for _ in row]
        last = torch.cat([states[b, : len(row)] for b, row in enumerate(ends)])
        odds = log_odds(model.logits(last), answers.yes, answers.no).cpu()
        for b, value in zip(of, odds, strict=True):
            scores[b].append(value)
    return [torch.stack(found) for found in scores]


def score_asked(
    model: VideoLLM,
    media: list[Media],
    asked: list[list[Asked]],
    tokens_at_once: int = 8192,
    questions_at_once: int | None = None,
) -> list[Tensor]:
    """Log-odds of questions per video, whatever their number: long lists go in parts, short videos together.

    Args:
        media, asked: per video, its prompt and its questions.
        tokens_at_once: videos with equally long prompts run together up to this many tokens.
        questions_at_once: about one video in one pass; None: `QUESTIONS_AT_ONCE` of the model's kind of device.
    Returns:
        per video (N,) fp32 log-odds, in the order asked.
    """
    kind = "cpu" if model.language.device.type == "cpu" else "accelerator"
    questions_at_once = questions_at_once or QUESTIONS_AT_ONCE[kind]
    scores = [torch.empty(0) for _ in asked]
    alike: dict[int, list[int]] = {}
    for b in sorted(range(len(media)), key=lambda b: len(asked[b])):
        if asked[b]:
            alike.setdefault(len(media[b].ids), []).append(b)
    for length, videos in alike.items():
        longest = max(len(a.ids) for b in videos for a in asked[b])
        most = min(questions_at_once, max(len(asked[b]) for b in videos))
        rows = max(1, tokens_at_once // (length + longest * most))
        for i in range(0, len(videos), rows):
            some = videos[i : i + rows]
            got = score_questions(model, [media[b] for b in some], [asked[b] for b in some], None, questions_at_once)
            for b, odds in zip(some, got, strict=True):
                scores[b] = odds
    return scores


def score_captions(
    model: VideoLLM, media: list[Media], captions: list[list[str]], long_captions: str = "error", **at_once: int
) -> list[Tensor]:
    """As `score_asked`, from captions; the first that cannot be asked ends it with a ValueError that names it."""
    asked = [[ask_within(model, m, c, long_captions) for c in texts] for m, texts in zip(media, captions, strict=True)]
    return score_asked(model, media, asked, **at_once)


def score_each(
    model: VideoLLM, media: list[Media], captions: Sequence[Sequence[Text]], long_captions: str = "error"
) -> list[list[tuple[float, str | None]]]:
    """As `score_captions`, but an item that gives no score does not stop the others; an item may be a question, too.

    Returns:
        per video and caption: (log-odds, None), or (NaN, the reason).
    """
    reasons: list[dict[int, str]] = [{} for _ in captions]
    asked: list[list[Asked]] = [[] for _ in captions]
    for b, texts in enumerate(captions):
        for i, text in enumerate(texts):
            try:
                asked[b].append(ask_within(model, media[b], text, long_captions))
            except ValueError as error:
                reasons[b][i] = str(error)
    found = []
    for b, odds in enumerate(score_asked(model, media, asked)):
        values = iter(odds.tolist())
        row: list[tuple[float, str | None]] = []
        for i, text in enumerate(captions[b]):
            if i in reasons[b]:
                row.append((math.nan, reasons[b][i]))
                continue
            value = next(values)
            row.append((value, None) if math.isfinite(value) else (math.nan, not_finite(text, value)))
        found.append(row)
    return found


def not_finite(text: Text, value: float) -> str:
    what = f"caption {text!r}" if isinstance(text, str) else f"question {text.text!r}"
    return f"{what}: the model's score is {value}; try --dtype float32, or the checkpoint is damaged"


@torch.no_grad()
def explain(model: VideoLLM, media: Media, caption: str, limit: int = 128) -> str:
    """What is wrong with the caption, in the model's words (VideoCon's NLE prompt): greedy, up to `limit` tokens."""
    ids = model.questioner.explain(caption)
    cache, first, behind = prefill(model, [media], [[]])
    said: list[int] = []
    while len(said) < limit:
        packed = pack([[Segment(ids)]], 0, behind, first)
        states = hidden_states(model.language, packed, model.placeholder, cache=cache, read=[[len(ids) - 1]])
        token = int(model.logits(states[:, -1]).argmax())
        if token == model.questioner.answers.end:
            break
        said.append(token)
        first, behind, ids = [packed.after[0][0]], behind + len(ids), [token]
    return model.questioner.decode(said)
