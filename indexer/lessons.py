"""Examples for a lesson: from files and folders, from clips of the library, from lists of spans."""

from __future__ import annotations

import csv
import functools
import io
import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from encoders.action_names import find_names, normalise_action
from encoders.encoder import Encoder
from encoders.errors import DecodeError, InvalidQueryError, NotFoundError
from encoders.heads import FeatureTrack
from indexer.types import SampledClip, SamplingOptions
from indexer.walk import find_files
from indexer.worker import DecodeWorker
from search.action_catalog import ActionExample
from search.catalog import Catalog
from search.examples import footage_of, meets
from search.library import Library
from search.tracks import shot_window_of, track_of_clips

LIMIT_SECONDS = 300.0
LONGEST_EXAMPLE_SECONDS = 120.0


def examples_from_files(
    library: Library,
    paths: Sequence[str],
    *,
    is_positive: bool,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    say: Callable[[str], None] = lambda _: None,
) -> list[ActionExample]:
    """Decodes and encodes example clips as the library's own were.

    Args:
        library: Whose encoder and sampling to use.
        paths: Files and folders; what is no video in a folder is passed over.
        is_positive: Whether they show the action.
        on_progress: Told how many of how many files are done.
        say: Told which files could not be used, and why.

    Raises:
        NotFoundError: A path does not exist, or no video is among them.
    """
    for path in paths:
        if not Path(path).exists():
            raise NotFoundError(f"there is no file or folder {path} to take examples from")
    files = [file for file in find_files(paths) if file.reason is None]
    sampling = _plain_sampling(library)
    encoder = library.encoder()
    examples = []
    with DecodeWorker() as worker:
        for number, file in enumerate(files):
            on_progress(number, len(files))
            try:
                track = _encoded(worker, file.path, encoder, sampling)
            except DecodeError as error:
                if file.looks_like_video or len(files) == 1:
                    say(f"{file.path} is left out: {error}")
                continue
            length = float(track.borders_seconds[-1] - track.borders_seconds[0])
            if length > LONGEST_EXAMPLE_SECONDS:
                say(
                    f"{file.path} is left out: it lasts {length:.0f} s, and an example shows the action from "
                    f"end to end, in {LONGEST_EXAMPLE_SECONDS:.0f} s at most; cut it, or list spans of it "
                    "with --spans"
                )
                continue
            examples.append(ActionExample(is_positive, os.path.abspath(file.path), track=track))
    on_progress(len(files), len(files))
    if not examples:
        raise NotFoundError(f"no video that could be used as an example is in {', '.join(paths)}")
    return examples


def _plain_sampling(library: Library) -> SamplingOptions:
    from dataclasses import replace

    stored = SamplingOptions.from_json(library.record().sampling)
    return replace(stored.without_actions(), sampling="uniform", frame_size=library.encoder().frame_size)


def _encoded(worker: DecodeWorker, path: str, encoder: Encoder, sampling: SamplingOptions) -> FeatureTrack:
    rows = []
    for item in worker.decode(path, sampling, LIMIT_SECONDS):
        if isinstance(item, SampledClip):
            rows.append(
                SimpleNamespace(
                    start_seconds=item.start_seconds,
                    end_seconds=item.end_seconds,
                    times=item.frames.pts_seconds.tobytes(),
                    features=encoder.encode_frames(item.frames).astype(np.float16).tobytes(),
                )
            )
            if item.end_seconds - rows[0].start_seconds > LONGEST_EXAMPLE_SECONDS:
                break
    if not rows:
        raise DecodeError("no frame could be decoded")
    return track_of_clips(rows, encoder.dim, shot_window_of(sampling.to_json()))


def examples_from_clips(
    library: Library, clip_ids: Iterable[int], *, is_positive: bool
) -> list[ActionExample]:
    """Stored clips as examples. Raises NotFoundError."""
    wanted = list(dict.fromkeys(clip_ids))
    with library.read() as catalog:
        found = catalog.clips(wanted)
    missing = [clip_id for clip_id in wanted if clip_id not in found]
    if missing:
        raise NotFoundError(f"there is no clip {missing[0]} in this library; `indexer search` shows clip ids")
    return [
        ActionExample(
            is_positive,
            f"clip {clip.id} of {clip.path}",
            clip.video_id,
            (clip.start_seconds, clip.end_seconds),
        )
        for clip in (found[clip_id] for clip_id in wanted)
    ]


def examples_from_spans(library: Library, file: Path, action: str) -> list[ActionExample]:
    """Labelled spans of catalogued videos as examples: those of the action, and those of others.

    The file is taken to label all of the action in every video that it names. A span of another label in
    which the action is labelled as well is no example of what the action is not.

    Args:
        library: Which must hold the videos.
        file: CSV with a header (path or video_id, start_seconds, end_seconds, action), or JSON: a list of
            such objects, what `indexer find --json` prints, or ActivityNet's annotations.
        action: Which label is the one to learn.

    Raises:
        InvalidQueryError: The file cannot be read so.
        NotFoundError: It names a video that the library does not hold.
    """
    rows = _read_spans(file)
    name = normalise_action(action)
    examples = []
    with library.read() as catalog:
        named = _VideoNames(catalog, file)
        for number, row in enumerate(rows, start=1):
            try:
                video_id = _video_id(catalog, row, file, named)
                start, end = float(row["start_seconds"]), float(row["end_seconds"])
                label = normalise_action(str(row.get("action") or row.get("label") or action))
                if not 0 <= end - start < float("inf") or start == end:
                    raise ValueError(f"a span must end after it starts, got {start} to {end}")
            except (KeyError, TypeError, ValueError) as error:
                what = f"no {error}" if isinstance(error, KeyError) else str(error)
                raise InvalidQueryError(
                    f"{file}, entry {number}: {what}; expected path (or video_id), start_seconds, "
                    "end_seconds and action"
                ) from error
            # A particular label is an example of the general action, not the other way round.
            is_positive = label == name or label in find_names(name, [label], more_general=False).names
            source = f"{start:.3f}-{end:.3f} s of video {video_id}"
            examples.append(ActionExample(is_positive, source, video_id, (start, end), origin="spans"))
    if not examples:
        raise InvalidQueryError(f"{file} holds no span")
    shown = footage_of([example for example in examples if example.is_positive])
    return [one for one in examples if one.is_positive or not meets(one.video_id, one.span, shown)]


def _read_spans(file: Path) -> list[dict[str, Any]]:
    try:
        text = file.read_text(encoding="utf-8-sig")
        if file.suffix.lower() != ".json":
            return list(csv.DictReader(io.StringIO(text, newline="")))
        document = json.loads(text)
    except (OSError, ValueError, csv.Error, RecursionError) as error:
        raise InvalidQueryError(
            f"the spans in {file} cannot be read: {error}; expected CSV or JSON"
        ) from error
    if isinstance(document, dict) and isinstance(document.get("segments"), list):
        return document["segments"]
    if isinstance(document, dict):
        videos = document.get("database") or document.get("results") or {}
        return _activitynet_rows(videos, file)
    if isinstance(document, list):
        return document
    raise InvalidQueryError(f"{file} holds {type(document).__name__}, expected a list of spans")


def _activitynet_rows(videos: Any, file: Path) -> list[dict[str, Any]]:
    try:
        return [
            {
                "name": path,
                "start_seconds": entry["segment"][0],
                "end_seconds": entry["segment"][1],
                "action": entry["label"],
            }
            for path, found in videos.items()
            for entry in (found["annotations"] if isinstance(found, dict) else found)
        ]
    except (AttributeError, KeyError, IndexError, TypeError) as error:
        raise InvalidQueryError(
            f"{file} is no ActivityNet file ({error!r}); expected database -> video -> annotations -> "
            "segment and label"
        ) from error


def _video_id(catalog: Catalog, row: dict[str, Any], file: Path, named: _VideoNames) -> int:
    if not isinstance(row, dict):
        raise TypeError(f"got {row!r}")
    if row.get("name"):
        return named.video_id(str(row["name"]))
    if not row.get("path"):
        return catalog.video(int(row["video_id"])).id
    path = str(row["path"])
    # A path says more than a number, which may be that of another library.
    for candidate in (os.path.abspath(path), os.path.abspath(file.parent / path)):
        video = catalog.video_by_path(candidate)
        if video is not None and video.clips:
            return video.id
    if row.get("video_id"):  # a file that was moved, or whose name does not fit into a line of CSV
        video = catalog.video(int(row["video_id"]))
        if _file_name(video.path) == _file_name(path):
            return video.id
    raise NotFoundError(f"{path}, named in {file}, is not in this library: ingest it first")


def _file_name(path: str) -> str:
    """The last part of a path, in one line as exports write it."""
    return "".join(sign if sign.isprintable() else " " for sign in path).rpartition("/")[2]


class _VideoNames:
    """The videos by the keys of ActivityNet's files: a path, or the end of it, without the suffix or with."""

    def __init__(self, catalog: Catalog, file: Path) -> None:
        self._catalog = catalog
        self._file = file

    @functools.cached_property
    def _by_last_part(self) -> dict[str, list[tuple[str, int]]]:
        """The whole catalog, read when the first such key comes."""
        index: dict[str, list[tuple[str, int]]] = {}
        after = None
        while page := self._catalog.list_videos(after=after, limit=1000):
            for video in page:
                if video.clips:
                    whole = Path(video.path)
                    for path in (whole, whole.with_suffix("")):
                        index.setdefault(path.name, []).append((f"/{path.as_posix()}", video.id))
            after = page[-1].path
        return index

    def video_id(self, name: str) -> int:
        """Raises NotFoundError or InvalidQueryError where no video or several are called so."""
        candidates = self._by_last_part.get(name.rpartition("/")[2], [])
        found = {video_id for path, video_id in candidates if path.endswith(f"/{name}")}
        if not found:
            raise NotFoundError(f"{name}, named in {self._file}, is not in this library: ingest it first")
        if len(found) > 1:
            raise InvalidQueryError(
                f"{name}, named in {self._file}, is the name of {len(found)} videos: give paths"
            )
        return found.pop()
