"""Libraries with actions, on made features: "running" points along an axis of its own."""

from __future__ import annotations

import json

import numpy as np
from sqlalchemy import select

from encoders.heads.head import FeatureTrack
from encoders.types import normalise
from indexer.examples.lessons import examples_from_clips
from search.catalog.actions import ActionExample
from search.catalog.tables import metadata
from search.library import Library
from search.types import EncodedClip

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
        library.actions.tagger.tag_video(catalog, video_id, DIM)
        return video_id


def archive(library: Library, count: int = 10, plan: str = "ooRRoo") -> list[int]:
    return [add(library, f"/archive/{number % 2}/{number}.mp4", plan, seed=number) for number in range(count)]


def clips_of(library: Library, video_ids, letter_at) -> list[int]:
    with library.read() as catalog:
        return [catalog.clips_of_video(video_id)[at].id for video_id in video_ids for at in letter_at]


def positives(library: Library, video_ids, at=(2, 3)) -> list[ActionExample]:
    """Two examples of every video of `archive`."""
    return examples_from_clips(library, clips_of(library, video_ids, at), is_positive=True)


def found(library: Library, action: str = "running", **bounds) -> list:
    answer = library.actions.find(action, **bounds)
    listed = list(library.actions.segments(answer))
    assert library.actions.count(answer) == len(listed)
    return listed


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
    return library.actions.teach("running", positives(library, video_ids, at), **options)


def spans_of(library: Library, video_id: int, **bounds) -> list[tuple[float, float]]:
    return [(one.start_seconds, one.end_seconds) for one in found(library, video_id=video_id, **bounds)]


def tracks(library: Library, video_id: int) -> list[FeatureTrack]:
    with library.read() as catalog:
        return list(catalog.actions.tracks(video_id, DIM))
