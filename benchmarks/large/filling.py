"""Fills a library's catalog with made clips, row by row as an ingest leaves them, a thousand times as fast."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sqlalchemy import Connection, Table, func, insert, select, update

from benchmarks.large.archive import ACTIONS, MadeVideo, make_video
from encoders import open_encoder
from indexer.video.types import SamplingOptions
from search.caption_words import caption_words as words_of
from search.catalog.statements import path_key
from search.catalog.tables import (
    caption_words,
    captions,
    clip_vectors,
    clips,
    heads,
    key_frames,
    library as library_row,
    segments,
    videos,
)
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
            _add(connection, made, rows, head, sampling)


def _add(
    connection: Connection, made: Sequence[MadeVideo], vectors: NDArray[np.float16], head: int, sampling: str
) -> None:
    revision = connection.execute(select(library_row.c.revision)).scalar_one() + 1
    first_clip, first_video, first_frame = (
        (connection.execute(select(func.max(table.c.id))).scalar() or 0) + 1
        for table in (clips, videos, key_frames)
    )
    connection.execute(update(library_row).values(revision=revision))
    numbered = list(enumerate(made, first_video))
    _insert(connection, videos, (_video(one, number, sampling) for number, one in numbered))
    spans = [
        (number, ordinal, float(one.borders[ordinal]), float(one.borders[ordinal + 1]), str(noun))
        for number, one in numbered
        for ordinal, noun in enumerate(one.nouns)
    ]
    counted = list(enumerate(spans))
    _insert(
        connection,
        clips,
        (
            dict(id=first_clip + row, video_id=video, ordinal=ordinal, start_seconds=start, end_seconds=end)
            | {"revision": revision}
            for row, (video, ordinal, start, end, _) in counted
        ),
    )
    _insert(
        connection,
        clip_vectors,
        (
            {
                "clip_id": first_clip + row,
                "embedding": vectors[row].astype(np.float32).tobytes(),
                "times": np.float64((start + end) / 2).tobytes(),
                "features": vectors[row].tobytes(),
            }
            for row, (_, _, start, end, _) in counted
        ),
    )
    picture = _picture()
    _insert(
        connection,
        key_frames,
        (
            {"id": first_frame + row, "clip_id": first_clip + row, "time_seconds": (start + end) / 2}
            | {"jpeg": picture}
            for row, (_, _, start, end, _) in counted
        ),
    )
    texts = [f"{noun} scene" for *_, noun in spans]
    _insert(
        connection,
        captions,
        ({"key_frame_id": first_frame + row, "text": text, "model": "made"} for row, text in enumerate(texts)),
    )
    _insert(
        connection,
        caption_words,
        (
            {"word": word, "clip_id": first_clip + row, "key_frame_id": first_frame + row}
            for row, text in enumerate(texts)
            for word in words_of(text)
        ),
    )
    _insert(
        connection,
        segments,
        (
            dict(video_id=number, head_id=head, action=action, start_seconds=start, end_seconds=end)
            | {"confidence": 0.9}
            for number, one in numbered
            for action, start, end in one.segments()
        ),
    )


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


def _insert(connection: Connection, table: Table, rows: Iterator[dict[str, Any]]) -> None:
    every = list(rows)
    if every:
        connection.execute(insert(table), every)


def _picture() -> bytes:
    """A small grey JPEG, one for all key frames."""
    file = io.BytesIO()
    Image.new("L", (16, 9), 128).save(file, "JPEG")
    return file.getvalue()
