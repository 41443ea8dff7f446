"""Files of labelled spans: CSV, JSON lists, what `indexer find` prints, ActivityNet's annotations."""

from __future__ import annotations

import csv
import functools
import io
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from encoders.errors import InvalidQueryError, NotFoundError
from search.catalog.catalog import Catalog

ACTIVITYNET_PREFIX = "v_"  # of its files; its annotations leave it out
COLUMNS = "path,start_seconds,end_seconds,action"


@dataclass(frozen=True, slots=True)
class SpanRow:
    """One labelled span, as it stands in its file.

    Attributes:
        values: By column.
        place: The file and the row's or entry's number there, to say in errors.
        name: By ActivityNet's annotations, what the video is called; else None.
    """

    values: Mapping[str, Any]
    place: str
    name: str | None = None

    def get(self, column: str) -> Any:
        """Returns a column's value; None where the row has no such column."""
        return self.values.get(column)

    def seconds(self, column: str) -> float:
        """Reads a number of seconds. Raises KeyError or ValueError."""
        value = self.values[column]
        if value is None:
            raise KeyError(column)
        try:
            return float(value)
        except (TypeError, ValueError, OverflowError):
            raise ValueError(f"{column} must be seconds, such as 3.5, got {value!r}") from None


@dataclass(frozen=True, slots=True)
class SpanFile:
    """Content of a file of labelled spans; `empty` names the videos in which nothing happens."""

    rows: tuple[SpanRow, ...]
    empty: tuple[str, ...] = ()


def read_spans(file: Path) -> SpanFile:
    """Reads a file's spans. Raises InvalidQueryError."""
    try:
        text = file.read_text(encoding="utf-8-sig")
        if file.suffix.lower() != ".json":
            return SpanFile(tuple(_csv_rows(text, file)))
        document = json.loads(text)
    except (OSError, ValueError, csv.Error, RecursionError) as error:
        raise InvalidQueryError(
            f"the spans in {file} cannot be read: {error}; expected CSV or JSON"
        ) from error
    if isinstance(document, dict) and isinstance(document.get("segments"), list):
        document = document["segments"]
    elif isinstance(document, dict):
        return _activitynet(document.get("database") or document.get("results") or {}, file)
    if not isinstance(document, list):
        raise InvalidQueryError(f"{file} holds {type(document).__name__}, expected a list of spans")
    rows = []
    for number, values in enumerate(document, start=1):
        place = f"{file}, entry {number}"
        if not isinstance(values, dict):
            raise InvalidQueryError(f"{place}: got {values!r}; expected an object with {COLUMNS}")
        rows.append(SpanRow(values, place))
    return SpanFile(tuple(rows))


def _csv_rows(text: str, file: Path) -> Iterator[SpanRow]:
    reader = csv.DictReader(io.StringIO(text, newline=""))
    columns = reader.fieldnames or []
    missing = {"start_seconds", "end_seconds"}.difference(columns)
    if columns and (missing or not {"path", "video_id"}.intersection(columns)):
        raise InvalidQueryError(f"{file}: expected columns {COLUMNS}; found {','.join(columns)}")
    for values in reader:
        yield SpanRow(values, f"{file}, row {reader.line_num}")


def _activitynet(videos: Any, file: Path) -> SpanFile:
    rows, empty = [], []
    try:
        for name, found in videos.items():
            entries = found["annotations"] if isinstance(found, dict) else found
            for number, entry in enumerate(entries, start=1):
                start, end = entry["segment"]
                values = {"start_seconds": start, "end_seconds": end, "action": entry["label"]}
                rows.append(SpanRow(values, f"{file}, entry {number} of {name}", name))
            # Results list what was found, which may be nothing where there is something.
            if not entries and isinstance(found, dict):
                empty.append(name)
    except (AttributeError, KeyError, ValueError, TypeError) as error:
        raise InvalidQueryError(
            f"{file} is no ActivityNet file ({error!r}); expected database -> video -> annotations -> "
            "segment and label"
        ) from error
    return SpanFile(tuple(rows), tuple(empty))


class VideoNames:
    """The videos that a file of spans names: by path, by number, or by the keys of ActivityNet's files.

    Such a key is a path, or the end of it, without the suffix or with, and with ActivityNet's prefix or
    without: its videos are files like v_QOlSCBRmfWY.mp4, and QOlSCBRmfWY in its annotations.
    """

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

    def video_of(self, row: SpanRow) -> int:
        """Finds the video of a row.

        Raises:
            NotFoundError, InvalidQueryError, KeyError, TypeError, ValueError: There is none, or no one.
        """
        if row.name:
            return self.video_id(row.name)
        if not row.get("path"):
            return self._catalog.video(int(row.values["video_id"])).id
        path = str(row.get("path"))
        # A path says more than a number, which may be that of another library.
        for candidate in (os.path.abspath(path), os.path.abspath(self._file.parent / path)):
            video = self._catalog.video_by_path(candidate)
            if video is not None and video.clips:
                return video.id
        if row.get("video_id"):  # a file that was moved, or whose name does not fit into a line of CSV
            video = self._catalog.video(int(row.values["video_id"]))
            if _file_name(video.path) == _file_name(path):
                return video.id
        raise NotFoundError(f"{path}, named in {self._file}, is not in this library: ingest it first")

    def holds(self, name: str) -> bool:
        """Checks that a video is called so."""
        return bool(self._called(name))

    def video_id(self, name: str) -> int:
        """Finds the one video of a name. Raises NotFoundError or InvalidQueryError for none or several."""
        found = self._called(name)
        if not found:
            raise NotFoundError(f"{name}, named in {self._file}, is not in this library: ingest it first")
        if len(found) > 1:
            raise InvalidQueryError(
                f"{name}, named in {self._file}, is the name of {len(found)} videos: give paths"
            )
        return min(found)

    def _called(self, name: str) -> set[int]:
        folder, slash, last = name.rpartition("/")
        bare = last.removeprefix(ACTIVITYNET_PREFIX)
        other = bare if bare != last else ACTIVITYNET_PREFIX + last
        for spelled in (last, other):
            candidates = self._by_last_part.get(spelled, [])
            whole = f"/{folder}{slash}{spelled}"
            if found := {video_id for path, video_id in candidates if path.endswith(whole)}:
                return found
        return set()


def _file_name(path: str) -> str:
    """Returns the last part of a path, in one line as exports write it."""
    return "".join(sign if sign.isprintable() else " " for sign in path).rpartition("/")[2]
