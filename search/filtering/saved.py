"""Columns on disk, beside the index: a program need not read a million rows for its first filter."""

from __future__ import annotations

import os
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np

from encoders.weights.files import make_private_file, make_private_folder
from search.filtering.columns import ClipColumns

COLUMNS = {"ids": np.int64, "video_ids": np.int64, "starts": np.float64, "ends": np.float64}


def save_columns(columns: ClipColumns, path: Path, catalog_id: str, revision: int) -> None:
    """Writes columns as NumPy's archive, which has checksums; where that cannot be done there is no file."""
    temporary = path.with_name(f"columns-{os.getpid()}.tmp")
    try:
        make_private_folder(path.parent)
        make_private_file(temporary)
        with temporary.open("wb") as file:
            state = {"catalog_id": np.array(catalog_id), "revision": np.array(revision)}
            np.savez(file, allow_pickle=False, **state, **{name: getattr(columns, name) for name in COLUMNS})
        temporary.replace(path)
    except OSError:
        for half in (temporary, path):
            with suppress(OSError):
                half.unlink()


def load_columns(path: Path, catalog_id: str) -> tuple[ClipColumns, int] | None:
    """Reads the columns of a catalog and their revision; None where none of it were saved, or are whole."""
    try:
        with np.load(path, allow_pickle=False) as saved:
            if str(saved["catalog_id"]) != catalog_id:
                return None
            parts = {name: saved[name] for name in COLUMNS}
            revision = int(saved["revision"])
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        return None
    shape = (len(parts["ids"]),)
    if any((part.dtype, part.shape) != (COLUMNS[name], shape) for name, part in parts.items()):
        return None
    return ClipColumns(**parts), revision
