"""Libraries with actions, on made features: "running" points along an axis of its own."""

from __future__ import annotations

import json

import numpy as np
from sqlalchemy import select

from encoders.heads.head import FeatureTrack
from encoders.types import normalise
from indexer.examples.lessons import examples_from_clips
from search.actions import naming, tagging, teaching
from search.actions.finding import FoundSegments, find_segments
from search.catalog.actions.lesson_examples import LessonExample
from search.catalog.tables import metadata
from search.library import Library
from search.types import EncodedClip, SegmentQuery

DIM = 16
RUNNING = np.eye(DIM)[0]
REST = np.eye(DIM)[1]
STEP = 0.5
WINDOW = 4.0
SAMPLING = json.dumps({"clip_seconds": WINDOW, "fps": 1 / STEP, "shots": True, "sampling": "uniform"})


def make(library: Library, encoder_id: str = "made") -> None:
    with library.write() as catalog:
        catalog.create_library(
            encoder_spec="made", encoder_id=encoder_id, pooling="mean", dim=DIM, sampling=SAMPLING
        )


def footage(plan: str, seed: int) -> list[EncodedClip]:
    """One clip of 4 s for each letter: R runs, o does not; every video in its own surroundings."""
    random = np.random.default_rng(seed)
    place = 0.15 * random.normal(size=DIM)
    place[:2] = 0
    made = []
    for number, letter in enumerate(plan):
        count = round(WINDOW / STEP)
        base = place + 2.0 * (RUNNING if letter == "R" else REST)
        features = normalise(base + 0.15 * random.normal(size=(count, DIM)))
        start = number * WINDOW
        times = start + (np.arange(count) + 0.5) * STEP
        made.append(
            EncodedClip(
                start,
                start + WINDOW,
                normalise(features.mean(axis=0)),
                features.astype(np.float16),
                times,
                ((start, b"jpeg"),),
            )
        )
    return made


def add(library: Library, path: str, plan: str, seed: int = 0, digest: str = "digest") -> int:
    made = footage(plan, seed)
    with library.write() as catalog:
        staged = catalog.stage_video(path, 1, 1)
        catalog.add_clips(staged, 0, made)
        video_id = catalog.publish_video(
            staged, digest=digest, duration_seconds=made[-1].end_seconds, sampling=SAMPLING
        )
        tagging.Tagger(library).tag_video(catalog, video_id, DIM)
        return video_id


def archive(library: Library, count: int = 10, plan: str = "ooRRoo") -> list[int]:
    return [add(library, f"/archive/{number % 2}/{number}.mp4", plan, seed=number) for number in range(count)]


def clips_of(library: Library, video_ids, letter_at) -> list[int]:
    with library.read() as catalog:
        return [catalog.clips_of_video(video_id)[at].id for video_id in video_ids for at in letter_at]


def positives(library: Library, video_ids, at=(2, 3)) -> list[LessonExample]:
    """Two examples of every video of `archive`."""
    return examples_from_clips(library, clips_of(library, video_ids, at), is_positive=True)


def found(library: Library, action: str = "running", **bounds) -> list:
    answer = find_segments(library, SegmentQuery((action,), **bounds))
    with library.read() as catalog:
        assert answer.count(catalog) == len(segments_of(library, answer))
    return segments_of(library, answer)


def segments_of(library: Library, answer: FoundSegments, **page) -> list:
    with library.read() as catalog:
        return list(answer.segments(catalog, **page))


def kept(library: Library, action: str) -> dict[str, object]:
    """How many examples of an action are kept, and by which name."""
    name = naming.read_known_actions(library).find_taught_name(action)
    with library.read() as catalog:
        positive, negative = catalog.actions.count_examples_of(name)
    return {"action": name, "positive": positive, "negative": negative}


def dump(library: Library) -> dict[str, list]:
    with library.database.read() as connection:
        return {
            table.name: [tuple(row) for row in connection.execute(select(table).order_by(*table.primary_key))]
            for table in metadata.sorted_tables
        }


def add_head(catalog, name="running", threshold=0.5, kind="taught", is_active=True, actions=None) -> int:
    return catalog.actions.add_head(
        kind=kind,
        name=name,
        encoder_id="made",
        actions=actions or [name],
        threshold=threshold,
        card={},
        parameters=None,
        is_active=is_active,
    )


def teach(library: Library, video_ids, at=(2, 3), **options):
    return teaching.teach(library, "running", positives(library, video_ids, at), **options)


def spans_of(library: Library, video_id: int, **bounds) -> list[tuple[float, float]]:
    return [(one.start_seconds, one.end_seconds) for one in found(library, video_id=video_id, **bounds)]


def tracks(library: Library, video_id: int) -> list[FeatureTrack]:
    with library.read() as catalog:
        return list(catalog.tracks(video_id, DIM))
