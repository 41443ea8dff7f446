"""Vector indexes on disk: a file or folder of vectors, and beside it `index.json`, which says of what."""

from __future__ import annotations

import errno
import json
import os
import shutil
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from encoders.errors import EncoderMismatchError, IndexFileError, LibraryError
from encoders.weights.files import make_private_folder, sync
from search.catalog.record import LibraryRecord
from search.index.mirror import Mirror, space_of
from search.index.registry import INDEXES
from search.index.row_store import is_left_behind

RECORD_NAME = "index.json"
BYTES_PER_READ = 2**20


@dataclass(frozen=True, slots=True)
class SavedIndex:
    """A saved index, by its record alone.

    Attributes:
        family: The name of its `IndexFamily`.
        kind: As `VectorIndex.kind`.
        clips: How many vectors it holds.
        catalog_id, revision: The state of which catalog it mirrors.
        file: Where its vectors are, a file or a folder; they may be gone.
    """

    family: str
    kind: str
    clips: int
    catalog_id: str
    revision: int
    file: Path


def describe_index(folder: Path) -> SavedIndex | None:
    """Reads the record of the index that was saved to a folder; None where there is none that can be read."""
    try:
        record = json.loads((folder / RECORD_NAME).read_text())
        kind, clips, revision = record["kind"], int(record["clips"]), int(record["revision"])
        name = str(record["file"])
        return SavedIndex(_family_of(name), kind, clips, record["catalog_id"], revision, folder / name)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def save_index(mirror: Mirror, folder: Path) -> None:
    """Writes an index and what it mirrors to a folder; a crash leaves the old one or the new one.

    Raises:
        IndexFileError: It cannot be written there; nothing of it stays.
    """
    home = _home_of(mirror, folder)
    name = home or f"vectors-{mirror.revision}-{os.getpid()}.{mirror.family.name}"
    temporary = folder / f"index-{os.getpid()}.tmp"
    try:
        make_private_folder(folder)
        if home is None:
            _clear(folder / name)
        _write(mirror, folder, name, temporary)
    except (OSError, RuntimeError) as error:  # FAISS raises the latter
        with suppress(OSError):
            _clear(temporary)
            saved = describe_index(folder)
            if saved is None or saved.file.name != name:
                _clear(folder / name)
        raise IndexFileError(
            f"the index cannot be written to {folder} ({_reason(error)}): make room there, or see to its "
            "mode and owner; the catalog is whole, and `indexer rebuild` makes the index from it"
        ) from error
    for stale in [*folder.glob("vectors-*"), *folder.glob("index-*.tmp")]:
        if stale.name != name and is_left_behind(stale):
            _clear(stale)


def _home_of(mirror: Mirror, folder: Path) -> str | None:
    """The name by which an index is saved but for what has changed since; else None."""
    try:
        facts = json.loads((folder / RECORD_NAME).read_text())
        home, name = mirror.index.home(facts), str(facts["file"])
        return name if home is not None and home == folder / name and home.exists() else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def is_at_home(mirror: Mirror, folder: Path) -> bool:
    """True where `save_index` would write no more than what has changed since."""
    return _home_of(mirror, folder) is not None


def _write(mirror: Mirror, folder: Path, name: str, temporary: Path) -> None:
    facts = mirror.index.write(folder / name)
    sync(folder / name)
    if (folder / name).is_file():
        facts |= {"size_bytes": (folder / name).stat().st_size, "crc32": _checksum(folder / name)}
    record = {
        "encoder_id": mirror.encoder_id,
        "catalog_id": mirror.catalog_id,
        "dim": mirror.index.dim,
        "revision": mirror.revision,
        **facts,
        "kind": mirror.index.kind,
        "clips": len(mirror.index),
        "file": name,
    }
    temporary.write_text(json.dumps({**record, "own_crc32": _own_checksum(record)}))
    sync(temporary)
    if (folder / RECORD_NAME).is_dir():
        _clear(folder / RECORD_NAME)
    temporary.replace(folder / RECORD_NAME)
    sync(folder)


def load_index(folder: Path, library: LibraryRecord) -> Mirror:
    """Reads the index that was saved to a folder, of whichever family it is.

    Args:
        folder: Given to `save_index`.
        library: Whose index it must be.

    Raises:
        FileNotFoundError: Nothing was saved here.
        EncoderMismatchError: The vectors are those of another encoder.
        IndexFileError: The files are broken, or mirror another catalog.
    """
    try:
        record = json.loads((folder / RECORD_NAME).read_text())
        if record["catalog_id"] != library.catalog_id:
            raise IndexFileError(f"the index in {folder} mirrors another catalog")
        if record["encoder_id"] != library.encoder_id or record["dim"] != library.dim:
            raise EncoderMismatchError(
                f"the index in {folder} was made with {record['encoder_id']} "
                f"({record['dim']} dimensions), the library uses {library.encoder_id} ({library.dim}); "
                "run `indexer rebuild` to make it anew from the catalog"
            )
        path = folder / record["file"]
        size_bytes, written = path.stat().st_size, record.get("size_bytes")
        if written not in (None, size_bytes):
            raise ValueError(f"{path.name} has {size_bytes} bytes, and was written with {written}")
        family = INDEXES.find(_family_of(path.name))
        index = family.read(path, space_of(library), record)
        return Mirror(family, index, library.encoder_id, library.catalog_id, record["revision"])
    except (FileNotFoundError, IndexFileError, EncoderMismatchError):
        raise
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, EOFError, LibraryError) as error:
        raise IndexFileError(f"the index in {folder} cannot be read: {error}") from error


def verify_index(folder: Path, library: LibraryRecord) -> str | None:
    """Compares a saved index with its checksums, bit for bit; None where it is as written, or has none.

    Returns:
        What has changed.

    Raises:
        OSError, ValueError: It cannot be read.
        IndexFileError, EncoderMismatchError: As `load_index`.
    """
    record = json.loads((folder / RECORD_NAME).read_text())
    own = record.pop("own_crc32", None)
    if own is None and not {"crc32", "size_bytes"} & record.keys():  # of a version that kept none
        return None
    if own != _own_checksum(record):
        return f"{RECORD_NAME} is not as it was written"
    path = folder / record["file"]
    if path.is_dir():
        return load_index(folder, library).index.find_changes(record)
    if record.get("crc32") != _checksum(path):
        return f"{record['file']} is not as it was written"
    return None


def _family_of(name: str) -> str:
    """The family of a file of vectors: what its name ends in."""
    return name.rpartition(".")[2]


def _checksum(path: Path) -> int:
    """CRC-32 of a file: it tells every change of up to 32 bits in a row (Peterson and Brown 1961)."""
    value = 0
    with path.open("rb") as file:
        while block := file.read(BYTES_PER_READ):
            value = zlib.crc32(block, value)
    return value


def _own_checksum(record: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(record, sort_keys=True).encode())


def _reason(error: Exception) -> str:
    """The reason of a failure to write; FAISS wraps what the system said in the names of its functions."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    known = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EIO)
    said = [os.strerror(number) for number in known if os.strerror(number) in str(error)]
    return said[0] if said else "writing failed"


def _clear(path: Path) -> None:
    """Deletes what is there: a file, or a folder that somebody made in its place."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
