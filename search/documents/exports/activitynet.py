"""Segments as predictions for ActivityNet's evaluation, as JSON."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import PurePath

from search.documents.exports.text import one_line
from search.types import Segment, Video


def to_activitynet(segments: Iterable[Segment], videos: Iterable[Video]) -> Iterator[str]:
    """Writes predictions as ActivityNet's evaluation reads them (Heilbron et al. 2015), as JSON.

    A video's key is its file's name without the suffix, as in the data set. Where two share it, both
    get as much of their path as tells them apart. A video without segments has an empty list.

    Args:
        segments: Those of one video one after another.
        videos: All that the segments are of.

    Raises:
        ValueError: The segments of a video do not come one after another, or it is not in `videos`.
    """
    keys = _video_keys({video.id: video.path for video in videos})
    yield '{"version": "VERSION 1.3", "external_data": {}, "results": {'
    separator = ""
    for video_id, group in itertools.groupby(segments, lambda segment: segment.video_id):
        if video_id not in keys:
            raise ValueError(f"video {video_id} is not among those given, or its segments are scattered")
        found = [
            {
                "label": one_line(segment.action),
                "score": round(segment.confidence, 6),
                "segment": [round(segment.start_seconds, 6), round(segment.end_seconds, 6)],
            }
            for segment in group
        ]
        yield f"{separator}{json.dumps(keys.pop(video_id))}: {json.dumps(found)}"
        separator = ", "
    for key in keys.values():
        yield f"{separator}{json.dumps(key)}: []"
        separator = ", "
    yield "}}\n"


def _video_keys(paths: dict[int, str]) -> dict[int, str]:
    """Names each video by as little of its path as makes all keys different: first the bare name."""
    parts = {video_id: PurePath(one_line(path)).parts for video_id, path in paths.items()}
    wanted = dict.fromkeys(paths, 0)  # how many parts of the path, 0 for the name without suffix
    while True:
        keys = {
            video_id: PurePath(*parts[video_id][-count:]).as_posix()
            if count
            else PurePath(parts[video_id][-1]).stem
            for video_id, count in wanted.items()
        }
        times = Counter(keys.values())
        longer = [
            video_id
            for video_id, key in keys.items()
            if times[key] > 1 and wanted[video_id] < len(parts[video_id])
        ]
        if not longer:
            # What was made a line can end up equal; ids never do.
            return {id_: key if times[key] == 1 else f"{key}#{id_}" for id_, key in keys.items()}
        for video_id in longer:
            wanted[video_id] += 1
