"""SQLite databases as files: read where they lie, copied, folded into one."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from encoders.errors import LibraryError
from encoders.weights.files import make_private_file, sync


def read_only_address(path: Path) -> str:
    """Returns the URI under which SQLite reads a catalog and changes nothing.

    In a folder that cannot be written to, SQLite makes no file beside the catalog. What the last writer
    left in the -wal can be read there only where its -shm lies beside it.

    Raises:
        LibraryError: The last writer left changes in the -wal that cannot be read so.
    """
    address = f"file:{quote(str(path))}?mode=ro"
    if os.access(path.parent, os.W_OK):
        return address
    log, shared = (path.with_name(path.name + suffix) for suffix in ("-wal", "-shm"))
    if log.exists() and shared.exists():
        return address
    if log.exists() and log.stat().st_size:
        raise LibraryError(
            f"{path} was not closed, and its folder cannot be written to: open it once where it "
            "can (`indexer status`), then copy it again"
        )
    return f"{address}&immutable=1"


def copy_sqlite(source: Path, target: Path) -> None:
    """Copies a SQLite database as it is at one moment, whoever writes to it meanwhile.

    In one step: readers hold up no writer, and a copy in several begins anew whenever somebody writes.

    Raises:
        LibraryError: It cannot be read, or the copy cannot be written.
    """
    try:
        make_private_file(target)
        with (
            closing(sqlite3.connect(read_only_address(source), uri=True, timeout=30)) as from_,
            closing(sqlite3.connect(target)) as to,
        ):
            from_.backup(to, pages=-1)
            to.execute("PRAGMA journal_mode=DELETE")  # one file, with nothing beside it
    except (sqlite3.Error, OSError) as error:
        target.unlink(missing_ok=True)
        raise LibraryError(f"{source} could not be copied to {target}: {error}") from error
    sync(target)


def fold(path: Path) -> None:
    """Takes what SQLite keeps beside a database that nobody uses into its file, and that to the disk."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
    sync(path)
