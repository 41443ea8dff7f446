"""Segments as files to download, written whole before the first byte is sent."""

from __future__ import annotations

import re
import tempfile
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from search.actions.exporting import ExportFormat, export_segments
from search.actions.finding import FoundSegments
from search.library import Library
from search.types import Video

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
            for text in export_segments(catalog, found, format, _narrow):
                file.write(text.encode())
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file


def _narrow(videos: list[Video]) -> str:
    return f"video_id, for example video_id={videos[0].id}"


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
