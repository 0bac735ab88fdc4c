"""Many questions about one video in one sequence: the visual prefix is computed once and shared.

A pack is a tree of segments. A token sees the tokens of its own segment before it and all tokens of its segment's
ancestors, and stands at the position it would have if it were alone, so every branch gives the numbers of a separate
sequence. A segment may hide some of its tokens from attention (the masked twin t' of Eq. 6): same tokens, same
positions, only unseen by the tokens behind them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass
class Segment:
    """`parent` is an index into the same list (-1: none) and stands before its children; `hidden` are offsets."""

    ids: list[int]
    parent: int = -1
    hidden: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Pack:
    """ids, positions: (B, L) int64. mask: (B, 1, L, L) bool, True where a query (row) sees a key.

    `starts[b][s]` is where segment s of row b begins.
    """

    ids: Tensor
    positions: Tensor
    mask: Tensor
    starts: list[list[int]]


def pack(rows: list[list[Segment]], pad: int) -> Pack:
    """Lay out each row's segments one behind the other and pad the rows to equal length."""
    lengths = [sum(len(s.ids) for s in row) for row in rows]
    size = max(lengths)
    ids = torch.full((len(rows), size), pad)
    positions = torch.zeros((len(rows), size), dtype=torch.long)
    mask = torch.zeros((len(rows), 1, size, size), dtype=torch.bool)
    starts = []
    for b, row in enumerate(rows):
        begin: list[int] = []
        depth: list[int] = []
        at = 0
        for segment in row:
            n, parent = len(segment.ids), segment.parent
            first = 0 if parent < 0 else depth[parent] + len(row[parent].ids)
            stop = at + n
            ids[b, at:stop] = torch.tensor(segment.ids)
            positions[b, at:stop] = torch.arange(first, first + n)
            mask[b, 0, at:stop, at:stop] = torch.ones(n, n, dtype=torch.bool).tril()
            if segment.hidden:
                hidden = torch.tensor(segment.hidden) + at
                mask[b, 0, at:stop, hidden] = False
            while parent >= 0:
                up = begin[parent]
                seen = torch.ones(len(row[parent].ids), dtype=torch.bool)
                seen[row[parent].hidden] = False
                mask[b, 0, at:stop, up : up + len(row[parent].ids)] = seen
                parent = row[parent].parent
            begin.append(at)
            depth.append(first)
            at = stop
        starts.append(begin)
        pad_rows = torch.arange(at, size)
        mask[b, 0, pad_rows, pad_rows] = True  # a row without any key would be NaN
    return Pack(ids, positions, mask, starts)
