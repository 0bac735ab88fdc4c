"""Scene -> 8 frames of 32 x 32 pixels in one of four looks.

*web*: what the tiny models were pre-trained on, everything varies. *real*: textured and noisy. *synthetic*: what
text-to-video models leave behind: washed-out colours, soft edges, a smooth background, flicker. *clean*: a smooth
background and plain colours; what the tiny text-to-video models learned from.
Moving things leave a short blur on the side they come from, so one frame hints at motion, as real frames do.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from synvita.world.scenes import Content, Thing

FRAMES, SIDE, FPS = 8, 32, 8
LOOKS = ("web", "real", "synthetic", "clean")
RGB = {
    "red": (215, 40, 40),
    "green": (50, 170, 60),
    "blue": (45, 80, 220),
    "yellow": (235, 215, 55),
    "pink": (250, 135, 190),
    "white": (240, 240, 240),
    "purple": (140, 50, 180),
    "cyan": (60, 205, 215),
}
RADIUS = {"small": 5.0, "large": 8.0}  # pixels, at rest
APART = 1.5  # pixels between two things, at least
DIRECTION = {"moving left": (-1, 0), "moving right": (1, 0), "moving up": (0, -1), "moving down": (0, 1)}
SUBFRAMES = ((0.0, 0.5), (0.4, 0.3), (0.8, 0.2))  # (frames back in time, opacity): the blur behind a moving thing
_Y, _X = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32) + 0.5


@dataclass(frozen=True)
class Motion:
    """One object's state at some moments: all arrays (frames, subframes)."""

    x: np.ndarray
    y: np.ndarray
    scale: np.ndarray
    visible: np.ndarray


def motion(events: tuple[str, ...], distance: float) -> Motion:
    """Offsets from the start position, factor on the radius, and visibility over the frames."""
    time = np.arange(FRAMES)[:, None] - np.array([back for back, _ in SUBFRAMES])[None, :]
    time = np.maximum(time, 0.0)
    per_event = FRAMES / len(events)
    x, y, scale = np.zeros_like(time), np.zeros_like(time), np.ones_like(time)
    visible = np.ones_like(time)
    for k, event in enumerate(events):
        start = 0.0 if k == 0 else k * per_event - 1  # the last frame of one event is the start of the next
        done = np.clip((time - start) / (per_event - 1 + (k > 0)), 0.0, 1.0)
        if event in DIRECTION:
            dx, dy = DIRECTION[event]
            x, y = x + dx * distance * done, y + dy * distance * done
        elif event in ("growing", "shrinking"):
            low, high = 0.65, 1.3
            first, last = (low, high) if event == "growing" else (high, low)
            active = done > 0 if k > 0 else np.ones_like(done, bool)
            scale = np.where(active, first + (last - first) * done, scale)
        else:
            now = np.arange(FRAMES)[:, None]
            inside = (now >= k * per_event) & (now < (k + 1) * per_event)
            visible = np.where(inside & (now % 2 == 1), 0.0, visible)
    return Motion(x, y, scale, visible)


def coverage(shape: str, u: np.ndarray, v: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """How much of each pixel the shape covers, in [0, 1]; u, v are offsets from its centre in units of its radius."""
    a, b = np.abs(u), np.abs(v)
    if shape == "square":
        d = np.maximum(a, b) / 0.88
    elif shape == "circle":
        d = np.sqrt(u * u + v * v)
    elif shape == "triangle":
        d = np.maximum(v / 0.8, 1 + a - (v + 1) / 1.8)
    elif shape == "cross":
        d = np.maximum(np.minimum(a, b) / 0.34, np.maximum(a, b))
    else:  # ring
        d = 1 + (np.abs(np.sqrt(u * u + v * v) - 0.74) - 0.28)
    return np.clip((1 - d) * radius + 0.5, 0.0, 1.0)


def layout(scene: Content, path: Motion, rng: np.random.Generator, tries: int = 24, rounds: int = 12) -> np.ndarray:
    """Start positions (objects, 2) whose whole paths stay in the picture, apart, and in the stated relation.

    Draws `tries` layouts at once until one is right and at most `rounds` times; of the last it keeps the least bad.
    """
    things = [scene.thing] * scene.count + ([scene.second] if scene.second else [])
    radius = np.array([rest_radius(scene, t) for t in things])
    reach = radius * np.array([path.scale.max()] * scene.count + [1.0] * (len(things) - scene.count))
    low = np.array([[-path.x.min(), -path.y.min()]] * scene.count + [[0, 0]] * (len(things) - scene.count))
    high = np.array([[path.x.max(), path.y.max()]] * scene.count + [[0, 0]] * (len(things) - scene.count))
    low, high = low + reach[:, None], SIDE - high - reach[:, None]
    for _ in range(rounds):
        start = low + (high - low) * rng.random((tries, len(things), 2))
        penalty = np.zeros(tries)
        for i in range(len(things)):
            for j in range(i):
                together = i < scene.count  # both move alike, so their distance stays
                px, py = (np.zeros(1), np.zeros(1)) if together else (path.x.ravel(), path.y.ravel())
                dx = start[:, j, 0, None] + px - start[:, i, 0, None]
                dy = start[:, j, 1, None] + py - start[:, i, 1, None]
                gap = np.maximum(np.abs(dx), np.abs(dy)) - (reach[i] + reach[j] + APART)
                penalty += np.maximum(0, -gap).max(1)
                if scene.relation:
                    ahead = {"left of": -dx, "right of": dx, "above": -dy, "below": dy}[scene.relation]
                    across = np.abs(dy) if scene.relation in ("left of", "right of") else np.abs(dx)
                    penalty += 3 * np.maximum(0, 5.0 - ahead).max(1) + np.maximum(0, across - np.abs(ahead)).max(1)
        if penalty.min() == 0:
            break
    return start[int(np.argmin(penalty))]


def rest_radius(scene: Content, thing: Thing | None) -> float:
    assert thing is not None and thing.size is not None
    crowd = {1: 1.0, 2: 0.68, 3: 0.58}[scene.count + (scene.second is not None)]
    return RADIUS[thing.size] * crowd


def draw_objects(scene: Content, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Opacity (objects, frames, side, side) and the paint order's colours (objects, 3) in [0, 1]."""
    crowded = scene.count > 1 or scene.second is not None
    distance = float(rng.uniform(5.0, 7.0) if crowded else rng.uniform(10.0, 13.0))
    if len(scene.events) == 2:
        distance = float(rng.uniform(7.5, 9.5))
    moving = motion(scene.events, distance)
    zero = np.zeros((FRAMES, 1))
    still = Motion(zero, zero, zero + 1, zero + 1)
    start = layout(scene, moving, rng)
    opacity, colours = [], []
    for i in range(len(start)):
        thing, path = (scene.thing, moving) if i < scene.count else (scene.second, still)
        assert thing is not None and thing.shape is not None and thing.colour is not None
        radius = (rest_radius(scene, thing) * path.scale).astype(np.float32)[..., None, None]
        u = (_X - (start[i, 0] + path.x).astype(np.float32)[..., None, None]) / radius
        v = (_Y - (start[i, 1] + path.y).astype(np.float32)[..., None, None]) / radius
        share = np.array([w for _, w in SUBFRAMES], np.float32) if path is moving else np.ones(1, np.float32)
        seen = coverage(thing.shape, u, v, radius) * (share * path.visible)[..., None, None]
        opacity.append(np.minimum(seen.sum(1) * 1.25, 1.0))  # the core of a moving thing stays solid
        colours.append(np.array(RGB[thing.colour], np.float32) / 255)
    return np.stack(opacity), np.stack(colours)


def smooth_noise(rng: np.random.Generator, cells: int) -> np.ndarray:
    """(side, side, 3) bilinear noise in [-1, 1] with `cells` cells per side."""
    grid = rng.uniform(-1, 1, (cells + 1, cells + 1, 3)).astype(np.float32)
    at = np.linspace(0, cells, SIDE, endpoint=False)
    i, f = at.astype(int), (at % 1).astype(np.float32)
    rows = grid[i] * (1 - f)[:, None, None] + grid[i + 1] * f[:, None, None]
    return rows[:, i] * (1 - f)[None, :, None] + rows[:, i + 1] * f[None, :, None]


def soften(frames: np.ndarray) -> np.ndarray:
    """[1 2 1] / 4 along both axes; edges repeat."""
    for axis in (1, 2):
        padded = np.pad(frames, [(1, 1) if a == axis else (0, 0) for a in range(4)], mode="edge")
        a, b, c = (np.take(padded, range(k, k + SIDE), axis) for k in range(3))
        frames = (a + 2 * b + c) / 4
    return frames


def saturate(colours: np.ndarray, factor: float) -> np.ndarray:
    red, green, blue = colours[..., 0], colours[..., 1], colours[..., 2]
    grey = 0.3 * red + 0.59 * green + 0.11 * blue  # no matrix product: its last bit depends on memory alignment
    return np.clip(grey[..., None] + factor * (colours - grey[..., None]), 0, 1)


def render(scene: Content, look: str, rng: np.random.Generator) -> np.ndarray:
    """The scene as uint8 frames (8, 32, 32, 3), RGB. All randomness (layout, background, noise) is from `rng`."""
    return paint(*draw_objects(scene, rng), look, rng)


def paint(opacity: np.ndarray, colours: np.ndarray, look: str, rng: np.random.Generator) -> np.ndarray:
    """What `draw_objects` laid out, over a background of the look: uint8 frames (8, 32, 32, 3)."""
    base = rng.uniform(0.08, 0.42, 3).astype(np.float32)
    grey = base.mean()
    if look == "real":
        background = grey + 0.5 * (base - grey) + 0.07 * smooth_noise(rng, 5) + 0.05 * smooth_noise(rng, 12)
        saturation, noise, blurred, flicker = 1.0, 0.035, False, 0.0
    elif look == "synthetic":
        background = 0.1 + 0.8 * grey + 0.16 * smooth_noise(rng, 1)
        saturation, noise, blurred, flicker = 0.6, 0.012, True, 0.07
    elif look == "clean":
        background = grey + 0.3 * (base - grey) + rng.uniform(0, 0.05) * smooth_noise(rng, 1)
        saturation, noise, blurred, flicker = 0.9, 0.0, False, 0.0
    else:
        background = base + rng.uniform(0, 0.12) * smooth_noise(rng, int(rng.integers(1, 13)))
        saturation, noise = float(rng.uniform(0.5, 1.15)), float(rng.uniform(0.0, 0.06))
        blurred, flicker = bool(rng.random() < 0.3), float(rng.choice([0.0, 0.06]))
    colours = saturate(colours, saturation) + rng.normal(0, 0.02, colours.shape).astype(np.float32)
    frames = np.repeat(background[None], FRAMES, 0).astype(np.float32)
    for alpha, colour in zip(opacity, colours, strict=True):
        frames += alpha[..., None] * (colour - frames)
    if blurred:
        frames = soften(frames)
    frames *= 1 + flicker * rng.standard_normal((FRAMES, 1, 1, 1)).astype(np.float32)
    if noise:
        frames += noise * rng.standard_normal(frames.shape, dtype=np.float32)
    return (np.clip(frames, 0, 1) * 255 + 0.5).astype(np.uint8)
