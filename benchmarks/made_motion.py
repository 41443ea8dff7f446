"""Made clips whose classes differ only in how things move: no single frame says which class it is of.

A scene is a few shapes in textures of their own, on a still background. It is laid out on a field larger
than the picture that joins at its ends, as a torus does: what leaves on one side comes back on the other,
out of sight. All shapes of a clip do the same, one of `LABELS`:

    left, right, up, down   they move along an axis, at 2 to 2.5 pixels a frame
    opens, closes           they grow or shrink, all in step; at the end of their range they begin anew
    fast, slow              they move along a diagonal, any of four: at 2.8 to 3.2 pixels a frame, or 0.8 to 1

Where a shape is, on the field and in the range of sizes, is uniform at any moment whatever it does, because
it goes round: so the n-th frames of all classes have one distribution, for every n. And the eight clips of
a scene, one of each class, have one middle frame in common, the same to the pixel, from which each is
played backwards and forwards. A network that sees one frame alone can do no better than chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoders.backbones.optical_flow import optical_flow

LABELS = ("left", "right", "up", "down", "opens", "closes", "fast", "slow")
PAIRS = (("left", "right"), ("up", "down"), ("opens", "closes"), ("fast", "slow"))
DIRECTIONS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
AXIS_SPEED, FAST_SPEED, SLOW_SPEED = (2.0, 2.5), (2.8, 3.2), (0.8, 1.0)  # pixels a frame
GROWTH = (1 / 14, 1 / 11)  # of the range of sizes, a frame
RADII = (2.5, 9.5)  # pixels, of a picture of 32
SHAPES = 4
FIELD = 1.25  # its side, in sides of the picture
FRAMES, SIZE = 8, 32


@dataclass(frozen=True, slots=True)
class Scene:
    """What a middle frame shows, S shapes in order from back to front.

    Attributes:
        places: float (S, 2), x and y of the centres in pixels, 0 to the field's side.
        phase: Where in their range all sizes are, 0..1.
        scales: float (S,), of each shape's own size.
        kinds: int (S,), which outline.
        waves: float (S, 3), the texture: waves across the radius along x and y, and where they begin.
        colours: float (S, 2, 3), the two colours of each texture, 0..255.
        background: float (size, size, 3), 0..255.
    """

    places: NDArray[np.float32]
    phase: float
    scales: NDArray[np.float32]
    kinds: NDArray[np.int64]
    waves: NDArray[np.float32]
    colours: NDArray[np.float32]
    background: NDArray[np.float32]


def make_scene(random: np.random.Generator, size: int = SIZE, shapes: int = SHAPES) -> Scene:
    """A random scene; nothing in it depends on what will move how."""
    background = random.uniform(20, 70, 3) + _smooth(random, size) * 15
    angle, count = random.uniform(0, 2 * np.pi, shapes), random.uniform(0.4, 1.1, shapes)
    first, second = random.uniform(180, 255, (shapes, 3)), random.uniform(80, 180, (shapes, 3))
    waves = [count * np.cos(angle), count * np.sin(angle), random.uniform(0, 1, shapes)]
    return Scene(
        places=random.uniform(0, FIELD * size, (shapes, 2)).astype(np.float32),
        phase=float(random.uniform(0, 1)),
        scales=random.uniform(0.8, 1.2, shapes).astype(np.float32),
        kinds=random.integers(0, len(OUTLINES), shapes),
        waves=np.stack(waves, axis=1).astype(np.float32),
        colours=np.stack([first, second], axis=1).astype(np.float32),
        background=background.astype(np.float32),
    )


def motion_of(label: str, random: np.random.Generator, size: int = SIZE) -> tuple[float, float, float]:
    """Pixels a frame along x and y, and shares of the range of sizes a frame."""
    scale = size / SIZE
    if label in ("opens", "closes"):
        growth = random.uniform(*GROWTH)
        return 0.0, 0.0, growth if label == "opens" else -growth
    if label in DIRECTIONS:
        speed = random.uniform(*AXIS_SPEED) * scale
        return DIRECTIONS[label][0] * speed, DIRECTIONS[label][1] * speed, 0.0
    speed = random.uniform(*(FAST_SPEED if label == "fast" else SLOW_SPEED)) * scale / np.sqrt(2)
    return speed * random.choice((-1, 1)), speed * random.choice((-1, 1)), 0.0


def render(scene: Scene, motion: tuple[float, float, float], frames: int = FRAMES) -> NDArray[np.uint8]:
    """The scene in motion: uint8 (frames, size, size, 3); frame `frames // 2` is the scene as it is."""
    size = len(scene.background)
    field = FIELD * size
    moments = (np.arange(frames) - frames // 2).astype(np.float32)
    pixels = np.arange(size, dtype=np.float32)
    picture = np.broadcast_to(scene.background, (frames, size, size, 3)).copy()
    phase = (np.float32(scene.phase) + moments * np.float32(motion[2])) % 1
    radii = (RADII[0] + (RADII[1] - RADII[0]) * phase) * np.float32(size / SIZE)
    for number in range(len(scene.places)):
        centres = scene.places[number] + moments[:, None] * np.array(motion[:2], np.float32)
        radius = radii[:, None, None] * scene.scales[number]
        # The nearest way round the torus, in radii.
        across = ((pixels - centres[:, :1] + field / 2) % field - field / 2)[:, None, :] / radius
        down = ((pixels - centres[:, 1:] + field / 2) % field - field / 2)[:, :, None] / radius
        inside = np.clip((1 - OUTLINES[scene.kinds[number]](across, down)) * radius + 0.5, 0, 1)
        wave = scene.waves[number]
        share = 0.5 + 0.5 * np.sin(2 * np.pi * (wave[0] * across + wave[1] * down + wave[2]))
        first, second = scene.colours[number]
        colour = first + (second - first) * share[..., None]
        picture += inside[..., None] * (colour - picture)
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def _disc(x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.sqrt(x * x + y * y)


def _square(x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.maximum(np.abs(x), np.abs(y)) * np.float32(1.15)


def _diamond(x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.float32]:
    return (np.abs(x) + np.abs(y)) * np.float32(0.85)


def _ring(x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.abs(np.sqrt(x * x + y * y) - np.float32(0.7)) + np.float32(0.7)


def _cross(x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.float32]:
    wide, high = np.abs(x), np.abs(y)
    return np.maximum(np.maximum(wide, high), np.float32(0.6) + np.minimum(wide, high))


# How far from the centre, as a share of the way to the outline.
OUTLINES = (_disc, _square, _diamond, _ring, _cross)


def _smooth(random: np.random.Generator, size: int) -> NDArray[np.float64]:
    """A smooth random picture (size, size, 3), about -1..1."""
    coarse = random.uniform(-1, 1, (4, 4, 3))
    at = np.linspace(0, 2.999, size)
    low = at.astype(int)
    share = at - low
    rows = coarse[low] * (1 - share)[:, None, None] + coarse[low + 1] * share[:, None, None]
    return rows[:, low] * (1 - share)[:, None] + rows[:, low + 1] * share[:, None]


class MadeMotion:
    """Made clips as a `ClipSource`: eight clips a scene, one of each class, made when first asked for.

    Attributes:
        labels: `LABELS`.
        targets: The label of each clip: clip n shows scene n // 8 in motion n % 8.
    """

    labels: tuple[str, ...] = LABELS

    def __init__(self, scenes: int, seed: int, *, with_flow: bool = False) -> None:
        """Takes note of what to make.

        Args:
            scenes: How many; there are eight times as many clips.
            seed: Of the scenes: sets of other seeds have none in common.
            with_flow: Whether optical flow is measured between the frames.
        """
        self._seed, self.with_flow = seed, with_flow
        self.targets: Sequence[int] = [number % len(LABELS) for number in range(scenes * len(LABELS))]
        self._frames: dict[int, NDArray[np.uint8]] = {}
        self._flow: dict[int, NDArray[np.float32]] = {}

    def __len__(self) -> int:
        return len(self.targets)

    def part(self, scenes: int, *, with_flow: bool = False) -> MadeMotion:
        """The first scenes as a source of their own, which shares the clips that are made already.

        Raises:
            ValueError: There are not so many.
        """
        if not 0 < scenes * len(LABELS) <= len(self):
            raise ValueError(f"there are {len(self) // len(LABELS)} scenes, got {scenes}")
        part = MadeMotion(scenes, self._seed, with_flow=with_flow)
        part._frames, part._flow = self._frames, self._flow
        return part

    def read(self, index: int, epoch: int) -> tuple[NDArray[np.uint8], NDArray[np.float32] | None]:
        """One clip, the same in every epoch: uint8 (8, 32, 32, 3), and float32 (7, 32, 32, 2) or None."""
        if index not in self._frames:
            label = self.targets[index]
            scene = make_scene(np.random.default_rng((self._seed, index // len(LABELS))))
            motion = motion_of(
                LABELS[label], np.random.default_rng((self._seed, index // len(LABELS), label))
            )
            self._frames[index] = render(scene, motion)
        frames = self._frames[index]
        if not self.with_flow:
            return frames, None
        if index not in self._flow:
            self._flow[index] = optical_flow(frames)
        return frames, self._flow[index]
