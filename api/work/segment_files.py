"""Segments as files to download, written whole before the first byte is sent."""

from __future__ import annotations

import re
import tempfile
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO, Literal

from encoders.errors import InvalidQueryError
from search.actions.finding import FoundSegments
from search.catalog.catalog import Catalog
from search.documents.exports.activitynet import to_activitynet
from search.documents.exports.csv_table import to_csv
from search.documents.exports.edl import to_edl
from search.documents.exports.otio import to_otio
from search.documents.exports.webvtt import to_webvtt
from search.library import Library

ExportFormat = Literal["csv", "activitynet", "json", "otio", "edl", "vtt"]

IN_MEMORY_BYTES = 4 * 2**20
CHUNK_BYTES = 256 * 2**10


@dataclass(frozen=True, slots=True)
class FileKind:
    """A format as it is sent."""

    suffix: str
    media_type: str


# OpenTimelineIO and EDL have no registered media type.
FILE_KINDS: dict[ExportFormat, FileKind] = {
    "csv": FileKind(".csv", "text/csv"),
    "activitynet": FileKind(".json", "application/json"),
    "json": FileKind(".json", "application/json"),
    "otio": FileKind(".otio", "application/json"),
    "edl": FileKind(".edl", "text/plain"),
    "vtt": FileKind(".vtt", "text/vtt"),
}


def write_segments(library: Library, found: FoundSegments, format: ExportFormat) -> IO[bytes]:
    """Writes an answer's segments to a file without a name, small ones to memory.

    Not straight to the client: a slow one would keep the catalog's transaction open as long as it
    likes, and what cannot be written must be refused before the first byte is sent.

    Returns:
        The file at its beginning; the caller closes it.

    Raises:
        InvalidQueryError: The format cannot hold these segments.
    """
    # Closed with the last reference to it, too, if the client does not wait for the first byte.
    file: IO[bytes] = tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES, prefix="reelseek-")  # noqa: SIM115
    try:
        with library.read() as catalog:
            for text in _texts(catalog, found, format):
                file.write(text.encode())
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file


def read_chunks(file: IO[bytes]) -> Iterator[bytes]:
    """Yields a file's bytes; closes it at the end."""
    with file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def attachment(action: str, format: ExportFormat) -> str:
    """Makes a Content-Disposition with a file name of letters, digits and dashes only."""
    plain = unicodedata.normalize("NFKD", action).encode("ascii", "ignore").decode()
    stem = re.sub(r"[^A-Za-z0-9]+", "-", plain).strip("-") or "segments"
    return f'attachment; filename="{stem}{FILE_KINDS[format].suffix}"'


def _texts(catalog: Catalog, found: FoundSegments, format: ExportFormat) -> Iterable[str]:
    if format == "csv":
        return to_csv(found.segments(catalog))
    ids = sorted({segment.video_id for segment in found.segments(catalog)})
    origins = {video_id: start for video_id, (start, _) in catalog.extents(ids).items()}
    if format == "vtt":
        if len(ids) > 1:
            raise InvalidQueryError(
                f"WebVTT describes one video, and these are segments of {len(ids)}: narrow it with "
                f"video_id, for example video_id={ids[0]}"
            )
        origin = origins.get(ids[0], 0.0) if ids else 0.0
        return [to_webvtt(found.segments(catalog), origin_seconds=origin)]
    videos = [catalog.video(video_id) for video_id in ids]
    segments = found.segments(catalog)
    if format in ("activitynet", "json"):
        return to_activitynet(segments, videos)
    if format == "otio":
        return to_otio(segments, videos, name=found.action, origins=origins)
    return [to_edl(segments, videos, name=found.action, origins=origins)]
