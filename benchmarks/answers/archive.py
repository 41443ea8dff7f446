"""Archives to be judged by: photographs in motion, cut together to videos, and ingested as a user's are.

What a shot shows is known from the photograph, not from our own output: from its ImageNet synset, in the name
of the file (n02085620_chihuahua.JPEG), or from the boxes that people drew (YOLO's text files).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.made_videos import write_h264
from indexer.ingest.pipeline import IngestOptions, ingest
from search.library import Library

WIDTH, HEIGHT, FPS = 320, 240, 12
SHOTS_PER_VIDEO = 4
SHOT_SECONDS = (3.0, 4.0)  # each one's length is drawn between them
LEAST_SHOWN = 0.8  # of a photograph's sides, at the closest
Half = Literal["choosing", "judging"]


@dataclass(frozen=True, slots=True)
class Photograph:
    """A still, and what it shows.

    Attributes:
        path: Of the file.
        labels: ImageNet's synset ("n02085620"), or the names of the things in it.
        areas: By label, how much of the picture its boxes cover, 0..1; empty where nobody drew any.
    """

    path: Path
    labels: frozenset[str]
    areas: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Shot:
    """A photograph in motion: [start, end) of a video."""

    path: Path
    start_seconds: float
    end_seconds: float
    photograph: Photograph


@dataclass(frozen=True, slots=True)
class Archive:
    """A library and the shots that it was made from."""

    library: Library
    shots: tuple[Shot, ...]

    def shots_in(self, path: str, start_seconds: float, end_seconds: float) -> list[Shot]:
        """The shots that fill half of a span, or that lie in it by half of their own length."""
        found = []
        for shot in self.shots:
            if str(shot.path) != path:
                continue
            shared = min(shot.end_seconds, end_seconds) - max(shot.start_seconds, start_seconds)
            if shared > 0.5 * min(end_seconds - start_seconds, shot.end_seconds - shot.start_seconds):
                found.append(shot)
        return found


def read_photographs(folder: Path, half: Half | None = None) -> list[Photograph]:
    """ImageNet's photographs in order of their synsets, or one half of them.

    Args:
        folder: Of files whose names begin with the synset, as n02085620_chihuahua.JPEG.
        half: "choosing" for classes of even number, by which settings may be chosen; "judging" for the odd
            ones; None for all.
    """
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in (".jpeg", ".jpg", ".png"))
    named = [path for path in paths if path.name[:1] == "n" and path.name[1:9].isdigit()]
    if not named:
        raise SystemExit(
            f"{folder} holds no photographs named by their ImageNet synset, as n02085620_chihuahua.JPEG"
        )
    synsets = {synset: number for number, synset in enumerate(dict.fromkeys(path.name[:9] for path in named))}
    wanted = {"choosing": 0, "judging": 1}.get(half or "")
    return [
        Photograph(path, frozenset({path.name[:9]}))
        for path in named
        if wanted is None or synsets[path.name[:9]] % 2 == wanted
    ]


def read_everyday(folder: Path, half: Half) -> list[Photograph]:
    """Photographs with boxes, as the YOLO family keeps COCO's.

    Args:
        folder: With `images/train2017`, `images/val2017`, and below `object_detection` `config.yaml` and
            `labels/`.
        half: "choosing" reads train2017, "judging" val2017.
    """
    split = "train2017" if half == "choosing" else "val2017"
    names = _class_names(folder / "object_detection" / "config.yaml")
    found = []
    for path in sorted((folder / "images" / split).glob("*.jpg")):
        areas: dict[str, float] = {}
        boxes = folder / "object_detection" / "labels" / split / f"{path.stem}.txt"
        for line in boxes.read_text().splitlines() if boxes.exists() else ():
            number, _, _, width, height = line.split()
            name = names[int(number)]
            areas[name] = areas.get(name, 0.0) + float(width) * float(height)
        found.append(Photograph(path, frozenset(areas), tuple(areas.items())))
    if not found:
        raise SystemExit(f"{folder / 'images' / split} holds no photographs")
    return found


def _class_names(config: Path) -> dict[int, str]:
    names = {}
    for line in config.read_text().splitlines():
        number, _, name = line.strip().partition(": ")
        if number.isdigit():
            names[int(number)] = name.strip("'\" ")
    return names


def build_archive(
    photographs: Sequence[Photograph],
    folder: Path,
    *,
    seed: int,
    count: int | None = None,
    shots_per_video: int = SHOTS_PER_VIDEO,
    encoder: str = "offline",
) -> Archive:
    """Writes videos of photographs in motion and ingests them; a folder that holds them is used again.

    Args:
        photographs: To draw from.
        folder: For the videos and the library.
        seed: Decides which photographs are taken, their order and their motion.
        count: How many are taken; None for all.
        shots_per_video: How many follow each other in a video.
        encoder: Of the library.
    """
    random = np.random.default_rng(seed)
    order = random.permutation(len(photographs))[:count].tolist()
    chosen = [photographs[number] for number in order]
    videos = folder / "videos"
    listed = folder / "shots.json"
    if not listed.exists():
        videos.mkdir(parents=True, exist_ok=True)
        spans = []
        for first in range(0, len(chosen), shots_per_video):
            path = videos / f"video-{first // shots_per_video:04d}.mp4"
            spans += _write_video(path, chosen[first : first + shots_per_video], random)
        listed.write_text(json.dumps(spans))
    shots = [
        Shot(videos / name, start, end, photograph)
        for (name, start, end), photograph in zip(json.loads(listed.read_text()), chosen, strict=True)
    ]
    library = Library(folder / "library", create=True)
    summary = ingest(library, [str(videos)], IngestOptions(encoder=encoder))
    if summary.failed:
        raise SystemExit(f"an archive that was made could not be read: {summary.failed[0]}")
    return Archive(library, tuple(shots))


def _write_video(
    path: Path, photographs: Sequence[Photograph], random: np.random.Generator
) -> list[tuple[str, float, float]]:
    frames: list[NDArray[np.uint8]] = []
    spans = []
    for photograph in photographs:
        shot = move(photograph.path, round(random.uniform(*SHOT_SECONDS) * FPS), random)
        spans.append((path.name, len(frames) / FPS, (len(frames) + len(shot)) / FPS))
        frames += shot
    write_h264(path, frames, FPS)
    return spans


def move(photograph: Path, count: int, random: np.random.Generator) -> list[NDArray[np.uint8]]:
    """A slow zoom and pan over a still: so many frames, uint8 (240, 320, 3), RGB."""
    with Image.open(photograph) as opened:
        image = opened.convert("RGB")
    zooms = random.uniform(LEAST_SHOWN, 1.0, 2)
    places = random.uniform(0.0, 1.0, (2, 2))
    frames = []
    for share in np.linspace(0.0, 1.0, count):
        zoom = zooms[0] + share * (zooms[1] - zooms[0])
        x, y = places[0] + share * (places[1] - places[0])
        width, height = zoom * image.width, zoom * image.height
        left, top = x * (image.width - width), y * (image.height - height)
        box = (left, top, left + width, top + height)
        frames.append(np.asarray(image.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR, box=box)))
    return frames
