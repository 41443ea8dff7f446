"""Names of files as the catalog keeps them: text, also where the name on the disk is no text.

A name on Linux is bytes, and old ones may be no UTF-8. Python reads a byte that is none as a lone surrogate
(PEP 383), which neither a database, JSON nor a terminal takes. The catalog keeps such a byte 0xNN as the
private character U+FDCNN, so that every name can be stored, sent and typed back, and opened again.
"""

from __future__ import annotations

import os

_SURROGATES = range(0xDC80, 0xDD00)  # what PEP 383 makes of the bytes 0x80 to 0xFF
_AS_STORED = {code: 0xF0000 + code for code in _SURROGATES}
_AS_OPENED = {stored: code for code, stored in _AS_STORED.items()}
_PRIVATE = frozenset(map(chr, _AS_OPENED))


def stored_path(path: str) -> str:
    """Returns a path of the disk as the catalog keeps it; most are the same."""
    return path.translate(_AS_STORED)


def os_path(path: str) -> str:
    """Returns a path of the catalog as the disk knows it, to be opened; most are the same."""
    return path.translate(_AS_OPENED)


def is_ambiguous(path: str) -> bool:
    """Checks that a path of the disk holds characters by which the catalog would take it for another."""
    return not _PRIVATE.isdisjoint(path)


def spelled_out(path: str) -> str:
    """Spells an ambiguous path for people: "<U+FDC80>" for what the catalog would take for a byte."""
    return path.translate({code: f"<U+{code:X}>" for code in _AS_OPENED})


def shown_path(path: str) -> str:
    r"""Spells a path for people: bytes that are no UTF-8 as \xNN."""
    return os_path(path).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def is_same_file(one: str, other: str) -> bool:
    """Checks that two paths of the catalog lead to one file, as by links of either kind."""
    try:
        return os.path.samefile(os_path(one), os_path(other))
    except OSError:
        return False


def has_other_names(path: str) -> bool:
    """Checks that a file may have another name than this path of the catalog, by links of either kind."""
    opened = os_path(path)
    try:
        return os.path.realpath(opened) != opened or os.stat(opened).st_nlink > 1
    except OSError:
        return False
