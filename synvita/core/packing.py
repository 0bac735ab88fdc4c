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
    """`parent` is an index into the same list (-1: none) and stands before its children; `hidden` are offsets.

    `places`: (3, n) positions of the tokens for models that count in three dimensions; None: one behind the other.
    """

    ids: list[int]
    parent: int = -1
    hidden: list[int] = field(default_factory=list)
    places: Tensor | None = None


@dataclass(frozen=True)
class Pack:
    """ids: (B, L) int64. positions: (B, L), or (3, B, L) if a segment has `places`.

    mask: (B, 1, M, K) bool for the last M tokens, True where a query (row) sees a key; K = L, or with a cache in front,
        cache + L. The L - M tokens before them are the rows' roots: each sees all before it and itself.
    `starts[b][s]` is where segment s of row b begins; `after[b][s]` the position of a token behind its last.
    """

    ids: Tensor
    positions: Tensor
    mask: Tensor
    starts: list[list[int]]
    after: list[list[int]]

    @property
    def whole_mask(self) -> Tensor:
        """(B, 1, L, K): with the plain part written out."""
        length, masked = self.ids.shape[1], self.mask.shape[2]
        plain = torch.ones(length - masked, self.mask.shape[3], dtype=torch.bool).tril()
        return torch.cat([plain.expand(len(self.ids), 1, -1, -1), self.mask], 2)


def pack(rows: list[list[Segment]], pad: int = 0, behind: int = 0, first: list[int] | None = None) -> Pack:
    """Lay out each row's segments one behind the other and pad the rows to equal length.

    Args:
        pad: id of the filling tokens. behind: number of cached tokens that every token sees.
        first: per row, the position of a token that has no parent (that of the first token behind the cache).
    """
    lengths = [sum(len(s.ids) for s in row) for row in rows]
    size = max(lengths)
    deep = 3 if any(s.places is not None for row in rows for s in row) else 1
    ids = torch.full((len(rows), size), pad)
    positions = torch.zeros((deep, len(rows), size), dtype=torch.long)
    plain = (
        0 if behind or any(row[0].hidden for row in rows if row) else min(len(row[0].ids) if row else 0 for row in rows)
    )
    mask = torch.zeros((len(rows), 1, size - plain, behind + size), dtype=torch.bool)
    mask[..., :behind] = True
    starts, after = [], []
    for b, row in enumerate(rows):
        begin: list[int] = []
        next_place: list[int] = []
        at = 0
        for segment in row:
            n, parent = len(segment.ids), segment.parent
            place = next_place[parent] if parent >= 0 else (first[b] if first else 0)
            stop = at + n
            ids[b, at:stop] = torch.tensor(segment.ids, dtype=torch.long)
            where = torch.arange(place, place + n) if segment.places is None else segment.places
            positions[:, b, at:stop] = where
            cut = max(at, plain)  # rows before `plain` have no mask
            seen = mask[b, 0, cut - plain : max(cut, stop) - plain, behind:]
            seen[:, at:stop] = torch.ones(n, n, dtype=torch.bool).tril()[cut - at :]
            seen[:, [at + i for i in segment.hidden]] = False
            while parent >= 0:
                up, above = begin[parent], row[parent]
                seen[:, up : up + len(above.ids)] = True
                seen[:, [up + i for i in above.hidden]] = False
                parent = above.parent
            begin.append(at)
            next_place.append(place + n if segment.places is None else int(segment.places.max()) + 1)
            at = stop
        starts.append(begin)
        after.append(next_place)
        pad_rows = torch.arange(at, size)
        mask[b, 0, pad_rows - plain, behind + pad_rows] = True  # a row without any key would be NaN
    return Pack(ids, positions if deep == 3 else positions[0], mask, starts, after)
