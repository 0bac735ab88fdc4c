"""t' of Eq. 6: the caption with everything masked out that the other caption does not say (longest common subsequence).

`token` compares whole token ids and is the paper's meaning. `digit` is what the authors' code does: ids written as
decimal numbers joined by blanks, matched character by character, a token kept only if all its digits are; it keeps and
drops other tokens in about one case in five (FACTS-authors 7) and is here for exact reproduction.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def matched(a: Sequence[int], b: Sequence[int]) -> np.ndarray:
    """(len(a),) bool: which elements of `a` a longest common subsequence with `b` uses.

    Trace-back from the end, a match is always taken, else an element of `a` is dropped if its table neighbour is not
    worse: the authors' order, so that both levels break ties as they do.
    """
    table = np.zeros((len(a) + 1, len(b) + 1), np.int32)
    other = np.asarray(b)
    for i, x in enumerate(a, 1):
        # table[i, j] = max(table[i-1, j], table[i-1, j-1] + 1 where equal, table[i, j-1]): a running maximum over j
        best = np.maximum(table[i - 1, 1:], np.where(other == x, table[i - 1, :-1] + 1, 0))
        table[i, 1:] = np.maximum.accumulate(best)
    keep = np.zeros(len(a), bool)
    i, j = len(a), len(b)
    while i and j:
        if a[i - 1] == b[j - 1]:
            keep[i - 1] = True
            i, j = i - 1, j - 1
        elif table[i - 1, j] >= table[i, j - 1]:
            i -= 1
        else:
            j -= 1
    return keep


def keep_mask(caption_ids: Sequence[int], other_ids: Sequence[int], level: str = "token") -> np.ndarray:
    """Which tokens of a caption the other caption shares.

    Args:
        caption_ids: n token ids. other_ids: those of the caption it is compared with.
        level: "token" or "digit" (the authors').
    Returns:
        (n,) bool, True = kept (visible).
    """
    if level == "token":
        return matched(caption_ids, other_ids)
    if level != "digit":
        raise ValueError(f"--train.shared-tokens: unknown level {level!r}; known: digit, token")
    text = " ".join(str(i) for i in caption_ids)
    kept = matched([ord(c) for c in text], [ord(c) for c in " ".join(str(i) for i in other_ids)])
    keep, at = np.zeros(len(caption_ids), bool), 0
    for n, i in enumerate(caption_ids):
        keep[n] = kept[at : at + len(str(i))].all()
        at += len(str(i)) + 1
    return keep
