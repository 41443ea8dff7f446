"""Names of files as the catalog keeps them: text, also where the name on the disk is no text.

A name on Linux is bytes, and old ones may be no UTF-8. Python reads a byte that is none as a lone surrogate
(PEP 383), which neither a database, JSON nor a terminal takes. The catalog keeps such a byte 0xNN as the
private character U+FDCNN, so that every name can be stored, sent and typed back, and opened again.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from search.catalog.catalog import Catalog
    from search.types import Video

_SURROGATES = range(0xDC80, 0xDD00)  # what PEP 383 makes of the bytes 0x80 to 0xFF
_AS_STORED = {code: 0xF0000 + code for code in _SURROGATES}
_AS_OPENED = {stored: code for code, stored in _AS_STORED.items()}
_PRIVATE = frozenset(map(chr, _AS_OPENED))


def stored_path(path: str) -> str:
    """A path of the disk as the catalog keeps it; most are the same."""
    return path.translate(_AS_STORED)


def os_path(path: str) -> str:
    """A path of the catalog as the disk knows it, to be opened; most are the same."""
    return path.translate(_AS_OPENED)


def is_ambiguous(path: str) -> bool:
    """Whether a path of the disk holds characters by which the catalog would take it for another."""
    return not _PRIVATE.isdisjoint(path)


def spelled_out(path: str) -> str:
    """An ambiguous path of the disk for people: "<U+FDC80>" for what the catalog would take for a byte."""
    return path.translate({code: f"<U+{code:X}>" for code in _AS_OPENED})


def shown_path(path: str) -> str:
    r"""A path for people: bytes that are no UTF-8 as \xNN."""
    return os_path(path).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def find_named(catalog: Catalog, path: str) -> list[Video]:
    """The video of this name, or those in the folder: as catalogued, or by another name of the same file.

    Another spelling of Unicode, a link of either kind. The disk is asked only where the catalog knows none
    of that name.

    Args:
        catalog: To look in.
        path: Absolute.
    """
    found = catalog.videos_below(path)
    if found:
        return found
    real = os.path.realpath(os_path(path))
    try:
        state = os.stat(real)
    except (OSError, ValueError):
        return []
    if stat.S_ISDIR(state.st_mode):
        folder = real.rstrip("/") + "/"
        return catalog.videos_below(real) or [
            video
            for video in catalog.videos_below("/")
            if os.path.realpath(os_path(video.path)).startswith(folder)
        ]
    return [
        video
        for video in catalog.videos_by_state(state.st_size, state.st_mtime_ns)
        if is_same_file(stored_path(real), video.path)
    ]


def catalogued_prefix(catalog: Catalog, prefix: str) -> str:
    """A filter's path, or the name by which the catalog knows the file or folder that it leads to.

    Links of either kind are followed where the catalog knows none of the name that was given, at the cost of
    a few look-ups; only for a file that has several hard links is every video looked at. A star at the end,
    for any beginning, stays.

    Raises:
        InvalidQueryError: The prefix cannot be a path on any system.
    """
    if catalog.knows_below(prefix) or not prefix.startswith("/"):
        return prefix
    beginning = ""
    path = prefix
    if prefix.endswith("*"):
        path, beginning = prefix.rsplit("/", 1)
        beginning = f"/{beginning}"
    try:
        real = os.path.realpath(os_path(path))
        state = os.stat(real)
    except (OSError, ValueError):
        return prefix
    named = stored_path(real) + beginning
    if named != prefix and catalog.knows_below(named):
        return named
    if stat.S_ISREG(state.st_mode) and state.st_nlink > 1 and not beginning:
        for video in catalog.videos_by_state(state.st_size, state.st_mtime_ns):
            if is_same_file(stored_path(real), video.path):
                return video.path
    return prefix


def is_same_file(one: str, other: str) -> bool:
    """Whether two paths of the catalog lead to one file, as by links of either kind."""
    try:
        return os.path.samefile(os_path(one), os_path(other))
    except OSError:
        return False


def has_other_names(path: str) -> bool:
    """Whether a file may have another name than this path of the catalog, by links of either kind."""
    opened = os_path(path)
    try:
        return os.path.realpath(opened) != opened or os.stat(opened).st_nlink > 1
    except OSError:
        return False
