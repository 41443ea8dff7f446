"""Libraries of made clips, without a video or an encoder: what a fault of the store needs, in no time."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from encoders.embedding.encoder import Encoder
from encoders.types import normalise
from indexer.keeping.check import check
from indexer.video.types import SamplingOptions
from search.library import Library
from search.types import EncodedClip

DIM = 32
# Sixteen bytes that begin and end like a JPEG, and hold a mark in between.
PICTURE = b"\xff\xd8%12d\xff\xd9"


def made_clips(count: int, seed: int = 0, frames: int = 4) -> list[EncodedClip]:
    """So many clips of 4 s, of random features that the seed decides."""
    random = np.random.default_rng(seed)
    features = random.normal(size=(count, frames, DIM))
    made = []
    for number in range(count):
        rows = normalise(features[number])
        start = 4.0 * number
        made.append(
            EncodedClip(
                start,
                start + 4.0,
                normalise(rows.mean(axis=0)),
                rows.astype(np.float16),
                start + np.arange(frames) * 4.0 / frames,
                ((start + 1.0, PICTURE % (seed % 1_000_000 * 100_000 + number)),),
            )
        )
    return made


def make_library(folder: Path, database_url: str | None = None) -> Library:
    """An empty library that takes made clips."""
    library = Library(folder, database_url=database_url, create=True)
    with library.write() as catalog:
        if catalog.library_record() is None:
            catalog.create_library(
                encoder_spec="made", encoder_id="made", pooling="mean", dim=DIM, sampling="{}"
            )
    return library


def add_video(library: Library, path: str, count: int = 3, seed: int = 0, *, digest: str = "made") -> int:
    """Stages, fills and publishes a video as an ingest does, in three transactions; returns its id."""
    with library.write() as catalog:
        staged = catalog.stage_video(path, 10, 20)
    with library.write() as catalog:
        catalog.add_clips(staged, 0, made_clips(count, seed))
    with library.write() as catalog:
        return catalog.publish_video(staged, digest=digest, duration_seconds=4.0 * count, sampling="{}")


def remove_video(library: Library, path: str) -> None:
    """Removes a video as `indexer remove` does."""
    with library.write() as catalog:
        video = catalog.video_by_path(path)
        assert video is not None
        catalog.remove_videos([video.id])


def faults(library: Library) -> dict[str, int]:
    """By check, what `indexer check` finds wrong; files are left out, for made videos have none."""
    found = check(library).findings
    return {one.name: one.wrong for one in found if one.wrong and not one.name.startswith("files")}


def make_offline_library(folder: Path, encoder: Encoder) -> Library:
    """An empty library that takes real videos by an encoder that is loaded already."""
    library = Library(folder, create=True, device="cpu")
    sampling = SamplingOptions().with_frame_size(encoder.frame_size)
    library.create(encoder, pooling="mean", sampling=sampling.to_json())
    return library
