"""`indexer backup` and `indexer restore`: the catalog in one file, with a record of what it must be.

The index and the previews are caches and are made anew; the videos themselves are the user's.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from encoders.errors import BackupError, LibraryError, LibraryNotFoundError
from encoders.whole_files import make_private_file, make_private_folder, sync
from indexer.walk import content_digest
from search import copies
from search.library import Library

FORMAT = 1
RECORD_NAME = "backup.json"
CATALOG_NAME = "catalog.sqlite3"


def back_up(library: Library, folder: Path) -> dict[str, Any]:
    """Copies a library's catalog, as it is at one moment, into a new folder.

    Searches and ingests may go on meanwhile. The folder appears whole or not at all.

    Args:
        library: On SQLite or PostgreSQL.
        folder: That does not exist yet, or is empty.

    Returns:
        The record that is written beside the copy.

    Raises:
        BackupError: There is something in the folder.
        LibraryError: Reading or writing failed.
    """
    folder = folder.expanduser().absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BackupError(f"{folder} is there already and is not empty; name a new folder for each backup")
    partial = folder.with_name(f".{folder.name}.copying-{os.getpid()}")
    try:
        for stale in folder.parent.glob(f".{folder.name}.copying-*"):
            if not _is_alive(stale.name.rpartition("-")[2]):
                shutil.rmtree(stale, ignore_errors=True)
        make_private_folder(partial)
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
        make_private_file(partial / RECORD_NAME)
        (partial / RECORD_NAME).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        sync(partial / RECORD_NAME)
        sync(partial)
        if folder.exists():
            shutil.copymode(folder, partial)
            folder.rmdir()
        partial.rename(folder)
        sync(folder.parent)
    except OSError as error:
        raise BackupError(f"the backup could not be written to {folder}: {error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return record


def read_record(folder: Path) -> dict[str, Any]:
    """What `back_up` wrote beside a copy, the copy checked against it.

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
    folder: Path, library: Path, *, database_url: str | None = None, force: bool = False
) -> dict[str, Any]:
    """Puts a backup in the place of a library, all of it or nothing.

    Args:
        folder: That `back_up` wrote.
        library: The library's folder.
        database_url: Where its catalog is to be; None means SQLite in the folder. It need not be the
            engine that the backup was made of.
        force: Replace a library that is there.

    Returns:
        The backup's record.

    Raises:
        BackupError: The backup is damaged or from a newer Reelseek, or a library is there.
        LibraryBusyError: An ingest is going on there.
    """
    folder, library = folder.expanduser().absolute(), library.expanduser().absolute()
    record = read_record(folder)
    catalog = library / CATALOG_NAME
    _refuse_to_overwrite(library, database_url, force)
    make_private_folder(library)
    prepared = library / f"{CATALOG_NAME}.restoring-{os.getpid()}"
    try:
        make_private_file(prepared)
        shutil.copyfile(folder / record["file"], prepared)
        _bring_up_to_date(prepared)
        if database_url is None and not catalog.exists():
            sync(prepared)
            prepared.rename(catalog)
            sync(library)
        else:
            _replace(library, database_url, prepared)
        # Of the library that was here; the new one's is made from its catalog.
        shutil.rmtree(library / "index", ignore_errors=True)
    except OSError as error:
        raise BackupError(f"{library} could not be restored: {error}") from error
    finally:
        for path in library.glob(f"{prepared.name}*"):
            path.unlink(missing_ok=True)
    return record


def _refuse_to_overwrite(library: Path, database_url: str | None, force: bool) -> None:
    if force or (database_url is None and not (library / CATALOG_NAME).exists()):
        return
    try:
        opened = Library(library, database_url=database_url, migrate=False)
    except LibraryNotFoundError:
        return
    try:
        if opened.database.schema_revision() is None:
            return
        with opened.read() as catalog:
            is_empty = catalog.library_record() is None and catalog.count_videos() == 0
    finally:
        opened.close()
    if not is_empty:
        raise BackupError(f"there is a library in {opened.database.shown_url}: --force replaces it")


def _bring_up_to_date(prepared: Path) -> None:
    """Migrates the copy, gives it an identity of its own, and checks it once more."""
    opened = Library(prepared.parent, database_url=f"sqlite:///{prepared}", migrate=False)
    try:
        opened.database.migrate(keep_copy=False)
    finally:
        opened.close()
    copies.renew_identity(prepared)
    copies.describe(prepared)
    copies.fold(prepared)


def _replace(library: Path, database_url: str | None, prepared: Path) -> None:
    """Puts the copy's rows in the place of a catalog's, which others may be reading."""
    opened = Library(library, database_url=database_url, create=True, migrate=False)
    try:
        with opened.ingest_lock(wait=False):
            try:
                copies.copy_from_file(prepared, opened.database)
            except LibraryError:
                if not opened.database.is_sqlite or not _is_damaged(opened):
                    raise
                opened.close()  # nothing in it can be used, so nothing is lost
                for suffix in ("-wal", "-shm"):
                    (library / f"{CATALOG_NAME}{suffix}").unlink(missing_ok=True)
                prepared.rename(library / CATALOG_NAME)
                sync(library)
    finally:
        opened.close()


def _is_damaged(opened: Library) -> bool:
    try:
        return bool(opened.database.damage())
    except LibraryError:
        return True


def _is_alive(pid: str) -> bool:
    """Whether a program of this machine that has this number may still be writing."""
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return False
    except OSError:
        pass
    return True


def _version() -> str:
    try:
        return version("reelseek")
    except PackageNotFoundError:
        return "unknown"
