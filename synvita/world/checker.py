"""What a clip of the miniature shows, read from its pixels by rules: the truth about generators that really draw.

Every object is found by its colour, followed over the frames, and explained by the renderer's own formulas: which
events move, scale and hide it like this, which shape covers these pixels. What no rule explains is left open (None),
so a blob is no square. Made for smooth backgrounds, as the clean and the synthetic look have.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations

import numpy as np
from scipy import ndimage
from scipy.optimize import linear_sum_assignment

from synvita.world.captions import parse_caption
from synvita.world.render import FRAMES, RADIUS, RGB, SIDE, SUBFRAMES, Motion, coverage, motion, saturate
from synvita.world.scenes import ACTIONS, SHAPES, Content, Thing, describes

SMALLEST = 6  # pixels of an object in a frame
JUMP = 7.0  # pixels that an object may move from one frame in which it is seen to the next
SEEN = 3  # frames in which an object must be seen; what is seen less often is a stray
CROWD = {1: 1.0, 2: 0.72, 3: 0.62}  # of the rest radius, by the number of objects
OFFSET = {"triangle": 0.2}  # of the centre of mass below the centre, in radii
SHARE = np.array([share for _, share in SUBFRAMES])
_Y, _X = np.mgrid[0:SIDE, 0:SIDE] + 0.5


@dataclass
class Seen:
    """An object of a clip. Arrays are over the frames; `opacity` is (T, H, W), 0 where it is not seen.

    events: () for one that stands still, None if no events explain it. shape: None if no shape does.
    radius: at rest, in pixels. misfit: mean squared error of the events, and share of pixels that the shape leaves.
    """

    colour: str
    opacity: np.ndarray
    events: tuple[str, ...] | None = None
    shape: str | None = None
    radius: float = 0.0
    misfit: tuple[float, float] = (np.inf, np.inf)

    @property
    def there(self) -> np.ndarray:
        return np.asarray(self.opacity.any((1, 2)))

    def centres(self) -> np.ndarray:
        """(T, 2): x, y of the centre of mass; NaN where it is not seen."""
        mass = self.mass()
        with np.errstate(invalid="ignore"):
            return np.stack([(self.opacity * _X).sum((1, 2)) / mass, (self.opacity * _Y).sum((1, 2)) / mass], 1)

    def mass(self) -> np.ndarray:
        return self.opacity.sum((1, 2))


@dataclass
class Reading:
    """The objects of a clip, and how many pixels of objects belong to none of them."""

    objects: list[Seen]
    stray: int

    @property
    def coherent(self) -> bool:
        return self.stray < 2 * SMALLEST

    def content(self) -> Content | None:
        """The scene, or None if objects are not clear or do not make one."""
        n = len(self.objects)
        if not self.coherent or not 1 <= n <= 3 or any(o.events is None or o.shape is None for o in self.objects):
            return None
        still = [o for o in self.objects if o.events == ()]
        acting = [o for o in self.objects if o.events]
        if not acting or len(still) > 1 or len({(o.colour, o.shape, o.events) for o in acting}) > 1:
            return None

        def thing(seen: list[Seen]) -> Thing:
            radius = float(np.mean([o.radius for o in seen])) / CROWD[n]
            middle = (RADIUS["small"] * RADIUS["large"]) ** 0.5
            return Thing(seen[0].shape, seen[0].colour, "small" if radius < middle else "large")

        events = acting[0].events
        assert events is not None
        if not still:
            return Content(thing(acting), n, events)
        relation = relation_of(acting[0], still[0]) if len(acting) == 1 else None
        return Content(thing(acting), len(acting), events, thing(still), relation)


def shows(frames: np.ndarray, caption: str) -> bool:
    """Whether a clip shows what its caption says, all of it and nothing else (`scenes.describes`).

    Args:
        frames: uint8 (8, 32, 32, 3).
    Raises:
        ValueError: no caption of this world.
    """
    said, content = parse_caption(caption), read(frames).content()
    return content is not None and describes(said, content)


def read(frames: np.ndarray) -> Reading:
    """What uint8 frames (8, 32, 32, 3) show."""
    if frames.shape != (FRAMES, SIDE, SIDE, 3):
        raise ValueError(f"a clip of shape {frames.shape}; the miniature's are {(FRAMES, SIDE, SIDE, 3)}")
    pixels = frames.astype(np.float32) / 255
    background = smooth_background(pixels)
    opacity, residual = unmixed(pixels - background, background)
    label = labelled(opacity, residual)
    objects, stray = [], 0
    for k, colour in enumerate(RGB):
        tracks, left = followed(label == k)
        stray += left
        for where in tracks:
            near = ndimage.binary_dilation(where, np.ones((1, 3, 3), bool)) & ((label == k) <= where)
            objects.append(explained(Seen(colour, np.where(near, opacity[k], 0.0))))
    return Reading(objects, stray)


def smooth_background(pixels: np.ndarray) -> np.ndarray:
    """(H, W, 3): the bilinear surface that most pixels of all frames lie on."""
    x, y = _X / SIDE, _Y / SIDE
    basis = np.stack([np.ones_like(x), x, y, x * y], -1).reshape(-1, 4)
    data = pixels.reshape(FRAMES, -1, 3)
    surface = np.broadcast_to(np.median(data, (0, 1)), data.shape[1:])
    for limit in (0.25, 0.15, 0.1, 0.08, 0.08):
        near = np.abs(data - surface).max(-1) < limit
        on = near.sum(0)  # frames in which a pixel is background
        kept = np.where(near[..., None], data, 0.0).sum(0)
        weighted = basis * on[:, None]
        coefficients = np.linalg.lstsq(weighted.T @ basis, basis.T @ kept, rcond=None)[0]
        surface = basis @ coefficients
    return surface.reshape(SIDE, SIDE, 3).astype(pixels.dtype)


def unmixed(difference: np.ndarray, background: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(colours, T, H, W) each: how much of a colour lies over the background, and how far the pixel is from that."""
    colours = saturate(np.array(list(RGB.values())) / 255, 0.9).astype(background.dtype)
    palette = colours[:, None, None] - background  # (colours, H, W, 3)
    share = np.einsum("thwc,khwc->kthw", difference, palette) / np.square(palette).sum(-1)[:, None]
    share = share.clip(0, 1.1)
    return share.clip(0, 1), np.linalg.norm(difference - share[..., None] * palette[:, None], axis=-1)


def labelled(opacity: np.ndarray, residual: np.ndarray) -> np.ndarray:
    """(T, H, W): the colour of each pixel that is more object than background, else -1.

    Where an object is opaque its colour is plain. Pixels on its rim are mixtures that could be of several colours, so
    they get that of the nearest opaque pixel.
    """
    plain = np.where(opacity > 0.3, residual, np.inf).argmin(0)
    opaque = np.take_along_axis(opacity, plain[None], 0)[0] > 0.85
    label = np.full(plain.shape, -1)
    for t, core in enumerate(opaque):
        if core.any():
            far, (y, x) = ndimage.distance_transform_edt(~core, return_indices=True)
            colour = plain[t][y, x]
            over = np.take_along_axis(opacity[:, t], colour[None], 0)[0] > 0.5
            label[t] = np.where(over & (far < 2.5), colour, -1)
    return label


def followed(mask: np.ndarray) -> tuple[list[np.ndarray], int]:
    """The objects of one colour as masks (T, H, W), and the pixels that belong to none."""
    tracks: list[np.ndarray] = []
    last: list[np.ndarray] = []
    small = 0
    for t, frame in enumerate(mask):
        if not frame.any():
            continue
        labels, _ = ndimage.label(frame)
        areas = np.bincount(labels.ravel())[1:]
        found = [labels == i + 1 for i, area in enumerate(areas) if area >= SMALLEST]
        centres = np.array([[_X[f].mean(), _Y[f].mean()] for f in found]).reshape(-1, 2)
        matched: dict[int, int] = {}
        if found and tracks:
            far = np.linalg.norm(centres[:, None] - np.array(last)[None], axis=-1)
            for i, j in zip(*linear_sum_assignment(far), strict=True):
                if far[i, j] < JUMP:
                    matched[i] = j
        for i, where in enumerate(found):
            if i not in matched:
                tracks.append(np.zeros_like(mask))
                last.append(centres[i])
                matched[i] = len(tracks) - 1
            tracks[matched[i]][t] = where
            last[matched[i]] = centres[i]
    kept = [track for track in tracks if track.any((1, 2)).sum() >= SEEN]
    small = sum(int(track.sum()) for track in tracks if track.any((1, 2)).sum() < SEEN)
    return kept, small


@dataclass(frozen=True)
class Stories:
    """Every order of events with its motion over a distance of 1; the first stands still. Arrays are (stories, T)."""

    events: list[tuple[str, ...]]
    motions: list[Motion]
    visible: np.ndarray
    place: np.ndarray  # (stories, T, 2)
    scale: np.ndarray  # its logarithm


@lru_cache
def stories() -> Stories:
    events = [(), *((a,) for a in ACTIONS), *permutations(ACTIONS, 2)]
    still = Motion(*(np.full((FRAMES, len(SUBFRAMES)), v) for v in (0.0, 0.0, 1.0, 1.0)))
    motions = [still, *(motion(some, 1.0) for some in events[1:])]
    x, y, scale, visible = (np.stack([getattr(m, name) for m in motions]) for name in ("x", "y", "scale", "visible"))
    return Stories(events, motions, visible[..., 0] > 0, np.stack([x @ SHARE, y @ SHARE], -1), np.log(scale @ SHARE))


def explained(seen: Seen) -> Seen:
    """With the events, shape and radius that fit best."""
    told = stories()
    both = seen.there & told.visible
    enough = both.sum(1) >= SEEN
    count = both.sum(1).clip(1)[:, None]
    centres, size = np.nan_to_num(seen.centres()), np.log(np.sqrt(seen.mass().clip(1e-9)))

    def centred(values: np.ndarray) -> np.ndarray:
        """(stories, T, D) minus its mean over the frames that count, 0 in the others."""
        return np.where(
            both[..., None], values - (values * both[..., None]).sum(1, keepdims=True) / count[..., None], 0
        )

    moved, shown = centred(told.place), centred(np.broadcast_to(centres, told.place.shape))
    grown = centred((size - told.scale)[..., None])
    along = (moved * shown).sum((1, 2)) / np.square(moved).sum((1, 2)).clip(1e-9)
    along = np.where(moved.any((1, 2)), along.clip(5.0, 15.0), 0.0)
    off = np.square((shown - along[:, None, None] * moved) / 0.8).sum(2) + np.square(grown[..., 0] / 0.1)
    cost = (off * both).sum(1) / count[:, 0] + 4.0 * (seen.there != told.visible).sum(1)
    best = int(np.where(enough, cost, np.inf).argmin())  # none has enough: the first, which is refused
    misfit = float(cost[best]) if enough[best] else np.inf
    if misfit < 6.0:
        seen.events = told.events[best]
    seen.shape, seen.radius, left = best_shape(seen, told.motions[best], float(along[best]))
    seen.misfit = (misfit, left)
    if left > 0.2:
        seen.shape = None
    return seen


AREA = {"square": 3.1, "circle": np.pi, "triangle": 1.8, "cross": 2.26, "ring": 2.6}  # of radius 1


def best_shape(seen: Seen, path: Motion, distance: float) -> tuple[str, float, float]:
    """(shape, radius at rest, share of its opacity that the shape leaves unexplained)."""
    visible = np.flatnonzero(seen.there & (path.visible[:, 0] > 0))
    frames = visible[np.argsort(-path.scale[visible, 0], kind="stable")][:3] if len(visible) else np.arange(1)
    centres, target = seen.centres()[frames], seen.opacity[frames]
    x, y, scale = (v[frames] for v in (distance * path.x, distance * path.y, path.scale))
    window = around(np.asarray(target.any(0)))
    target, columns, rows = (v.astype(np.float32) for v in (target[:, *window], _X[window], _Y[window]))
    centres, x, y, scale = (v.astype(np.float32) for v in (centres, x, y, scale))
    columns, rows = columns[:1], rows[:, :1]  # where a pixel is from the centre, axis by axis: little to compute
    nudge = np.array([-0.4, 0.0, 0.4], np.float32)[:, None]
    share = SHARE.astype(np.float32)
    whole = np.square(target).sum((1, 2)).clip(1e-9)
    best = ("", 0.0, np.inf)
    for shape in SHAPES:
        rest = float(np.mean(np.sqrt(target.sum((1, 2)) / AREA[shape] / 1.1) / (scale @ share)))
        for radius in (rest * np.array([0.9, 0.97, 1.04, 1.11])).astype(np.float32):
            at = centres - np.stack([x @ share, y @ share + OFFSET.get(shape, 0.0) * radius * (scale @ share)], 1)
            r = radius * scale[:, :, None, None]  # (nudges of u, nudges of v, frames, subframes, H, W) from here on
            u = ((columns - (at[:, 0] + nudge)[..., None, None, None] - x[:, :, None, None]) / r)[:, None]
            v = ((rows - (at[:, 1] + nudge)[..., None, None, None] - y[:, :, None, None]) / r)[None]
            covered = coverage(shape, u, v, r).reshape(-1, *scale.shape, *target.shape[1:])
            drawn = np.minimum(1.25 * np.einsum("nfshw,s->nfhw", covered, share), 1.0)
            left = np.square(drawn - target).sum((2, 3)) / whole
            error = float(left.min(0).mean())
            if error < best[2]:
                best = (shape, float(radius), error)
    return best


def around(where: np.ndarray, margin: int = 4) -> tuple[slice, slice]:
    """The part of a picture (H, W) in which an object is, with room for a shape that is too large for it."""
    rows, columns = (np.flatnonzero(where.any(axis)) for axis in (1, 0))
    if not len(rows):
        return slice(0, SIDE), slice(0, SIDE)
    top, left = (max(int(one[0]) - margin, 0) for one in (rows, columns))
    return slice(top, rows[-1] + 1 + margin), slice(left, columns[-1] + 1 + margin)


def relation_of(a: Seen, b: Seen) -> str:
    """Where a lies from b, along the axis on which they are further apart."""
    first = np.flatnonzero(a.there & b.there)
    dx, dy = (a.centres()[first] - b.centres()[first]).mean(0) if len(first) else (0.0, 0.0)
    if abs(dx) > abs(dy):
        return "left of" if dx < 0 else "right of"
    return "above" if dy < 0 else "below"
