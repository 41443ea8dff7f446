"""Fills a library's catalog with made clips, in rows as an ingest leaves them, a thousand times as fast."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sqlalchemy import Connection, Table, insert, select, text, update

from benchmarks.large.archive import ACTIONS, MadeVideo, make_video
from encoders import open_encoder
from indexer.video.types import SamplingOptions
from search.caption_words import caption_words as words_of
from search.catalog import tables
from search.catalog.statements import path_key
from search.library import Library

HEAD = "kinetics:made"
CLIPS_AT_ONCE = 10_000  # in one transaction


def create(library: Library) -> None:
    """Makes the library one of the encoder `offline`, with a head that knows the made actions."""
    encoder = open_encoder("offline", device="cpu")
    sampling = SamplingOptions().with_frame_size(encoder.frame_size)
    library.create(encoder, pooling="mean", sampling=sampling.to_json())
    with library.write() as catalog:
        if not catalog.actions.heads():
            catalog.actions.add_head(
                kind="kinetics",
                name=HEAD,
                encoder_id=encoder.encoder_id,
                actions=ACTIONS,
                threshold=0.5,
                card={},
                parameters=None,
                is_active=True,
            )


def fill(library: Library, vectors: NDArray[np.float16], first: int, clips_per_video: int) -> None:
    """Adds made videos, from the number `first` on, of which clips have these vectors: float16 (N, D).

    In an empty library the clip of row r of the vectors has the id r + 1.
    """
    sampling = library.record().sampling
    with library.read() as catalog:
        (head,) = [one.id for one in catalog.actions.heads() if one.name == HEAD]
    step = max(1, CLIPS_AT_ONCE // clips_per_video) * clips_per_video
    for start in range(0, len(vectors), step):
        rows = np.array(vectors[start : start + step])
        made = [
            make_video(first + (start + at) // clips_per_video, min(clips_per_video, len(rows) - at))
            for at in range(0, len(rows), clips_per_video)
        ]
        with library.database.write() as connection:
            revision = connection.execute(select(tables.library.c.revision)).scalar_one() + 1
            clips = tables.library.c.clip_count + len(rows)
            connection.execute(update(tables.library).values(revision=revision, clip_count=clips))
            number = _next_id(connection, tables.videos)
            numbered = list(enumerate(made, number))
            _insert(connection, tables.videos, (_video(one, at, sampling) for at, one in numbered))
            _insert(connection, tables.segments, _segments(numbered, head))
            _add_clips(connection, numbered, rows, revision)


def _next_id(connection: Connection, table: Table) -> int:
    """The id that SQLite gives next, which no row has had."""
    query = text("SELECT seq FROM sqlite_sequence WHERE name = :name")
    return (connection.execute(query, {"name": table.name}).scalar() or 0) + 1


def _insert(connection: Connection, table: Table, rows: Iterator[dict[str, Any]]) -> None:
    every = list(rows)
    if every:
        connection.execute(insert(table), every)


def _video(one: MadeVideo, number: int, sampling: str) -> dict[str, Any]:
    return {
        "id": number,
        "path": one.path,
        "path_key": path_key(one.path),
        "digest": f"made-{number}",
        "size_bytes": 1,
        "mtime_ns": round(one.recorded_at * 1e9),
        "duration_seconds": one.duration_seconds,
        "width": 1920,
        "height": 1080,
        "average_fps": 25.0,
        "codec": "h264",
        "status": "indexed",
        "sampling": sampling,
        "updated_at": time.time(),
        "recorded_at": one.recorded_at,
        "clip_count": len(one.nouns),
    }


def _segments(numbered: Sequence[tuple[int, MadeVideo]], head: int) -> Iterator[dict[str, Any]]:
    for number, one in numbered:
        for action, start, end in one.segments():
            yield {
                "video_id": number,
                "head_id": head,
                "action": action,
                "start_seconds": start,
                "end_seconds": end,
                "confidence": 0.9,
            }


def _add_clips(
    connection: Connection,
    numbered: Sequence[tuple[int, MadeVideo]],
    vectors: NDArray[np.float16],
    revision: int,
) -> None:
    spans = [
        (number, ordinal, float(one.borders[ordinal]), float(one.borders[ordinal + 1]))
        for number, one in numbered
        for ordinal in range(len(one.nouns))
    ]
    said = [f"{noun} scene" for _, one in numbered for noun in one.nouns]
    clip, frame = _next_id(connection, tables.clips), _next_id(connection, tables.key_frames)
    names = ("id", "video_id", "ordinal", "start_seconds", "end_seconds", "revision")
    shown = (dict(zip(names, (clip + row, *span, revision), strict=True)) for row, span in enumerate(spans))
    _insert(connection, tables.clips, shown)
    middles = [(start + end) / 2 for _, _, start, end in spans]
    _insert(
        connection,
        tables.clip_vectors,
        (
            {
                "clip_id": clip + row,
                "embedding": vectors[row].astype(np.float32).tobytes(),
                "times": np.float64(middle).tobytes(),
                "features": vectors[row].tobytes(),
            }
            for row, middle in enumerate(middles)
        ),
    )
    picture = _picture()
    _insert(
        connection,
        tables.key_frames,
        (
            {"id": frame + row, "clip_id": clip + row, "time_seconds": middle, "jpeg": picture}
            for row, middle in enumerate(middles)
        ),
    )
    _insert(
        connection,
        tables.captions,
        ({"key_frame_id": frame + row, "text": words, "model": "made"} for row, words in enumerate(said)),
    )
    _insert(
        connection,
        tables.caption_words,
        (
            {"word": word, "clip_id": clip + row, "key_frame_id": frame + row}
            for row, words in enumerate(said)
            for word in words_of(words)
        ),
    )


def _picture() -> bytes:
    """A small grey JPEG, one for all key frames."""
    file = io.BytesIO()
    Image.new("L", (16, 9), 128).save(file, "JPEG")
    return file.getvalue()
