"""How long a lesson takes, and how long it takes to tag an archive again from its stored features.

    python -m benchmarks.bench_actions [--hours 4] [--dim 2281]

Made features of the size that `offline` gives (2 a second), in a real library on SQLite. The floor beside
which tagging stands is reading the features of every video, and doing nothing with them.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.report import write_result
from encoders.types import normalise
from search.actions.tagging import Tagger
from search.actions.teaching import teach
from search.catalog.actions.lesson_examples import LessonExample
from search.library import Library
from search.types import EncodedClip

ENCODER_ID, CLIP_SECONDS, FPS, VIDEO_SECONDS = "made", 4.0, 2, 1200


def main() -> None:
    """Measures, writes the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=4.0)
    parser.add_argument("--dim", type=int, default=2281)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        library = Library(Path(folder), create=True)
        action = _fill(library, round(arguments.hours * 3600 / VIDEO_SECONDS), arguments.dim)
        hours = _hours(library)
        started = time.perf_counter()
        card = teach(library, "made action", _examples(library, action))
        whole = time.perf_counter() - started
        started = time.perf_counter()
        Tagger(library).retag()
        tagging = time.perf_counter() - started
        started = time.perf_counter()
        _read(library, arguments.dim)
        reading = time.perf_counter() - started
        library.close()
    write_result(
        "actions",
        {
            "hours": hours,
            "dim": arguments.dim,
            "lesson_seconds": card["seconds"],
            "lesson_and_tagging_seconds": round(whole, 2),
            "tagging_seconds": round(tagging, 2),
            "reading_alone_seconds": round(reading, 2),
            "ratio_to_reading": round(tagging / reading, 2),
            "thousand_hours_extrapolated_seconds": round(tagging * 1000 / hours, 1),
        },
    )


def _fill(library: Library, videos: int, dim: int) -> NDArray[np.float32]:
    """Videos of made features; returns what the action looks like."""
    random = np.random.default_rng(0)
    action = normalise(random.normal(size=dim))
    with library.write() as catalog:
        catalog.create_library(
            encoder_spec="offline", encoder_id=ENCODER_ID, pooling="mean", dim=dim, sampling="{}"
        )
    per_clip = round(CLIP_SECONDS * FPS)
    for number in range(videos):
        clips = []
        for index in range(round(VIDEO_SECONDS / CLIP_SECONDS)):
            look = normalise(random.normal(size=dim)) + (0.8 * action if index % 10 == 0 else 0)
            features = normalise(look + 0.3 * normalise(random.normal(size=(per_clip, dim))))
            start = index * CLIP_SECONDS
            times = start + (np.arange(per_clip) + 0.5) / FPS
            clips.append(
                EncodedClip(start, start + CLIP_SECONDS, normalise(features.mean(0)),
                            features.astype(np.float16), times, ())
            )  # fmt: skip
        with library.write() as catalog:
            staged = catalog.stage_video(f"/made/{number}.mp4", 1, 1)
            catalog.add_clips(staged, 0, clips)
            catalog.publish_video(staged, digest=str(number), duration_seconds=VIDEO_SECONDS)
    return action


def _examples(library: Library, action: NDArray[np.float32]) -> list[LessonExample]:
    """Eight clips of the action, from eight videos where there are so many."""
    with library.read() as catalog:
        ids = catalog.videos_with_clips()
        return [
            LessonExample(True, f"clip {clip.id}", clip.video_id, (clip.start_seconds, clip.end_seconds))
            for number in range(8)
            for clip in catalog.clips_of_video(ids[number % len(ids)])[10 * number : 10 * number + 1]
        ]


def _hours(library: Library) -> float:
    with library.read() as catalog:
        return catalog.count_clips() * CLIP_SECONDS / 3600


def _read(library: Library, dim: int) -> None:
    with library.read() as catalog:
        for video_id in catalog.videos_with_clips():
            for track in catalog.tracks(video_id, dim):
                assert len(track)


if __name__ == "__main__":
    main()
