"""`indexer backup` and `indexer restore`: the catalog in one file, with a record of what it must be.

The index and the previews are caches and are made anew; the videos themselves are the user's.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from encoders.errors import BackupError, LibraryBusyError, LibraryError
from encoders.weights.files import being_written, is_abandoned, make_private_folder, sync
from indexer.ingest.walk import content_digest, is_below
from search.catalog import copies, sqlite_files
from search.catalog.database import newest_revision
from search.library import Library

FORMAT = 1
RECORD_NAME = "backup.json"
CATALOG_NAME = "catalog.sqlite3"


def back_up(library: Library, folder: Path) -> dict[str, Any]:
    """Copies a library's catalog, as it is at one moment, into a new folder.

    Searches and ingests may go on meanwhile. The folder appears whole or not at all.

    Args:
        library: On SQLite or PostgreSQL.
        folder: That does not exist yet, or is empty; outside the library's own.

    Returns:
        The record that is written beside the copy.

    Raises:
        BackupError: There is something in the folder, or it is the library's.
        LibraryError: Reading or writing failed.
    """
    folder = folder.expanduser().absolute()
    there_already = f"{folder} is there already and is not empty; name a new folder for each backup"
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BackupError(there_already)
    if is_below(str(folder), [os.path.realpath(library.folder)]):
        raise BackupError(f"{folder} lies in the library that is to be backed up; name a folder elsewhere")
    partial = folder.with_name(f".{folder.name}.copying-{os.getpid()}")
    try:
        _clear_leftovers(folder.parent)
        make_private_folder(partial)  # one of this number had died
        with being_written(partial / RECORD_NAME):
            return _write(library, folder, partial)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):  # another backup was done first
            raise BackupError(there_already) from error
        raise BackupError(f"the backup could not be written to {folder}: {error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write(library: Library, folder: Path, partial: Path) -> dict[str, Any]:
    """Fills the unfinished folder, and gives it its name."""
    copy = partial / CATALOG_NAME
    copies.copy_to_file(library.database, copy)
    record = {
        "format": FORMAT,
        "reelseek": _version(),
        "made_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "engine": library.database.url.get_backend_name(),
        **copies.describe(copy),
        "file": CATALOG_NAME,
        "size_bytes": copy.stat().st_size,
        "sha256": content_digest(str(copy)),
    }
    (partial / RECORD_NAME).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    sync(partial / RECORD_NAME)
    sync(partial)
    if folder.exists():
        shutil.copymode(folder, partial)
        folder.rmdir()
    partial.rename(folder)
    sync(folder.parent)
    return record


def _clear_leftovers(folder: Path) -> None:
    """Deletes the backups that killed programs left half made in a folder, whatever their names."""
    for record in folder.glob(f".*.copying-*/{RECORD_NAME}"):
        if is_abandoned(record):
            shutil.rmtree(record.parent, ignore_errors=True)


def read_record(folder: Path) -> dict[str, Any]:
    """Reads the record that `back_up` wrote beside a copy, and checks the copy against it.

    Raises:
        BackupError: There is none, or the copy is not what was written then.
    """
    try:
        record: dict[str, Any] = json.loads((folder / RECORD_NAME).read_text(encoding="utf-8"))
        file = folder / Path(str(record["file"])).name
        wanted = (int(record["size_bytes"]), str(record["sha256"]))
        is_known = record["format"] == FORMAT
    except FileNotFoundError as error:
        raise BackupError(
            f"{folder} holds no backup (no {RECORD_NAME}); name a folder that `indexer backup` wrote"
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BackupError(f"{folder / RECORD_NAME} cannot be read: {error}") from error
    if not is_known:
        raise BackupError(
            f"the backup in {folder} is of format {record['format']}; upgrade reelseek to read it"
        )
    try:
        found = (file.stat().st_size, content_digest(str(file)))
    except OSError as error:
        raise BackupError(f"the backup in {folder} cannot be read: {error}") from error
    if found != wanted:
        raise BackupError(
            f"{file} is not what was backed up: {found[0]} bytes of SHA-256 {found[1][:12]}..., expected "
            f"{wanted[0]} bytes of {wanted[1][:12]}...; take another backup"
        )
    return record


def restore(
    folder: Path,
    library: Path,
    *,
    database_url: str | None = None,
    force: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Puts a backup in the place of a library, all of it or nothing; keys that are revoked there stay so.

    Args:
        folder: That `back_up` wrote.
        library: The library's folder.
        database_url: Where its catalog is to be; None means SQLite in the folder. It need not be the
            engine that the backup was made of.
        force: Replace a library that is there, also a damaged one, or one of a newer Reelseek.
        say: Told what became of the keys.

    Returns:
        The backup's record.

    Raises:
        BackupError: The backup is damaged or from a newer Reelseek, or a library is there.
        LibraryBusyError: An ingest is going on there.
    """
    folder = folder.expanduser().absolute()
    record = read_record(folder)
    opened = Library(library, database_url=database_url, create=True, migrate=False)
    prepared = opened.folder / f"{CATALOG_NAME}.restoring-{os.getpid()}"
    try:
        with opened.ingest_lock(wait=False):
            opened.clear_leftovers()
            if not force:
                _refuse_to_overwrite(opened)
            with being_written(prepared):
                shutil.copyfile(folder / record["file"], prepared)
                _bring_up_to_date(prepared)
                taken = copies.count_keys(prepared)
                kept = _replace(opened, prepared)
        # Of the library that was here; the new one's is made from its catalog.
        shutil.rmtree(opened.folder / "index", ignore_errors=True)
    except OSError as error:
        raise BackupError(f"{opened.folder} could not be restored: {error}") from error
    finally:
        opened.close()
        for path in opened.folder.glob(f"{prepared.name}*"):
            path.unlink(missing_ok=True)
    if kept:
        say(f"keys that were revoked since the backup, and stay revoked: {kept}")
    elif kept is None and taken:
        say(
            f"keys that are taken as they were at the time of the backup: {taken}. No catalog was there to "
            "tell which were revoked since: look at `indexer keys list`, and revoke those again"
        )
    return record


def _refuse_to_overwrite(opened: Library) -> None:
    """Raises BackupError where there is a library, in whatever state."""
    database = opened.database
    if database.is_sqlite and not (opened.folder / CATALOG_NAME).exists():
        return
    try:
        revision = database.schema_revision()
        if revision is None:
            return
        if revision == newest_revision():
            with opened.read() as catalog:
                if catalog.library_record() is None and catalog.count_videos() == 0:
                    return
    except LibraryError as error:
        if not database.is_sqlite or not _is_damaged(opened):
            raise
        raise BackupError(f"{error}; to replace it with the backup, add --force") from error
    raise BackupError(f"there is a library in {database.shown_url}: --force replaces it")


def _bring_up_to_date(prepared: Path) -> None:
    """Migrates the copy, gives it an identity of its own, and checks it once more."""
    opened = Library(prepared.parent, database_url=f"sqlite:///{prepared}", migrate=False)
    try:
        opened.database.migrate(keep_copy=False)
    finally:
        opened.close()
    copies.renew_identity(prepared)
    copies.describe(prepared)
    sqlite_files.fold(prepared)


def _replace(opened: Library, prepared: Path) -> int | None:
    """Puts the copy in the place of a catalog, which others may be reading; returns as `copy_from_file`."""
    database, catalog = opened.database, opened.folder / CATALOG_NAME
    kept = None
    if not database.is_sqlite or catalog.exists():
        try:
            return copies.copy_from_file(prepared, database)
        except LibraryError:
            if not database.is_sqlite or not _is_damaged(opened):
                raise
        revoked = copies.revoked_in_damaged(database)
        if revoked is not None:
            kept = copies.revoke_keys(prepared, revoked)
            sqlite_files.fold(prepared)
        database.close()  # nothing else in it can be used, so nothing is lost
        for suffix in ("-wal", "-shm"):
            (opened.folder / f"{CATALOG_NAME}{suffix}").unlink(missing_ok=True)
    sync(prepared)
    prepared.rename(catalog)
    sync(opened.folder)
    return kept


def _is_damaged(opened: Library) -> bool:
    try:
        return bool(opened.database.damage())
    except LibraryBusyError:
        return False
    except LibraryError:
        return True


def _version() -> str:
    try:
        return version("reelseek")
    except PackageNotFoundError:
        return "unknown"
