"""Loads, updates, saves and repairs the index of a library."""

from __future__ import annotations

import fcntl
import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from encoders.errors import IndexFileError
from encoders.weights.files import make_private_file, make_private_folder
from search.catalog.catalog import Catalog
from search.catalog.record import LibraryRecord, open_record
from search.index.files import describe_index, is_at_home, load_index, save_index
from search.index.mirror import Mirror
from search.index.registry import IndexFamily
from search.index.shared_lock import SharedLock
from search.index.vector_index import VectorIndex

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Opened:
    """A catalog and its index at one state.

    Attributes:
        catalog: In one transaction.
        record: Its library row.
        mirror: Of that revision, and not changed while `holding` is open.
        holding: What keeps others from changing the index; may be closed early.
    """

    catalog: Catalog
    record: LibraryRecord
    mirror: Mirror
    holding: ExitStack


class IndexKeeper:
    """Keeps one index for all threads of a program.

    Args:
        folder: Where the index is saved.
        read: Opens the catalog at one moment.
        family: Of the indexes that are made; a saved one of another family is made anew.

    Attributes:
        lock: Held by whoever uses the index, alone by who brings it up to date.
    """

    def __init__(
        self, folder: Path, read: Callable[[], AbstractContextManager[Catalog]], family: IndexFamily
    ) -> None:
        self.folder = folder
        self.lock = SharedLock()
        self._read = read
        self._family = family
        self._mirror: Mirror | None = None
        self._saved_revision = -1
        self._is_saved_broken = False  # what was found on disk: it is written anew, whatever its revision
        self._being_saved: VectorIndex | None = None  # by another thread: it must not change meanwhile
        self._save_lock = threading.Lock()
        self._mending: threading.Thread | None = None

    @contextmanager
    def open(self) -> Iterator[Opened]:
        """Opens catalog and index at the catalog's last revision; others may search the index meanwhile."""
        with ExitStack() as reading, ExitStack() as holding:
            opened = None if self._mirror is None else self._look(reading, holding)
            if opened is None:
                reading.close()
                holding.close()
                share = holding.enter_context(self.lock.exclusive())
                catalog = reading.enter_context(self._read())
                record = open_record(catalog)
                opened = Opened(catalog, record, self.bring_up(catalog, record), holding)
                share()
            yield opened

    def _look(self, reading: ExitStack, holding: ExitStack) -> Opened | None:
        """Opens catalog and index as they are; None where the index is of another state."""
        holding.enter_context(self.lock.shared())
        catalog = reading.enter_context(self._read())
        record, mirror = open_record(catalog), self._mirror
        if mirror is None or (mirror.catalog_id, mirror.revision) != (record.catalog_id, record.revision):
            return None
        return Opened(catalog, record, mirror, holding)

    def bring_up(self, catalog: Catalog, record: LibraryRecord) -> Mirror:
        """Brings the index to the state of a catalog; the lock must be held alone since before that was read.

        Args:
            catalog: At one moment.
            record: Its library row.

        Raises:
            EncoderMismatchError: The saved index is of another encoder.
        """
        is_loaded_now = self._mirror is None
        mirror = self._load(record) if self._mirror is None else self._mirror
        # A restored catalog: an older one, or one that has gone on otherwise since.
        if mirror.revision > record.revision or mirror.catalog_id != record.catalog_id:
            mirror = Mirror.make(self._family, record)
        if mirror.revision < record.revision:
            if mirror.index is self._being_saved:
                mirror = mirror.copy()
            self._mirror = None  # half of an update must not be taken for the whole
            mirror = mirror.catch_up(
                catalog, record, restructure=is_loaded_now or not len(mirror.index), folder=self._writable()
            )
            # A catalog that was put back by hand and went on by itself.
            if is_loaded_now and len(mirror.index) != record.clip_count:
                mirror = Mirror.make(self._family, record)
                mirror = mirror.catch_up(catalog, record, folder=self._writable())
        self._mirror = mirror
        if is_loaded_now and self._is_saved_broken:
            self._mending = threading.Thread(target=self.save, name="index")
            self._mending.start()
        # Searches do not wait for it: until it has been done, this index finds as much, in more time.
        if (
            mirror.index.is_outgrown
            and self._being_saved is not mirror.index
            and not self._save_lock.locked()
        ):
            threading.Thread(target=self.save, name="index", daemon=True).start()
        return mirror

    def _load(self, record: LibraryRecord) -> Mirror:
        saved = describe_index(self.folder)
        if saved is not None and saved.family != self._family.name:
            return Mirror.make(self._family, record)
        try:
            mirror = load_index(self.folder, record)
        except FileNotFoundError:
            return Mirror.make(self._family, record)
        except IndexFileError as error:
            logger.warning("%s; making it anew from the catalog", error)
            self._is_saved_broken = True
            return Mirror.make(self._family, record)
        self._saved_revision = mirror.revision
        return mirror

    def _writable(self) -> Path | None:
        """The folder, where files can be made in it."""
        try:
            make_private_folder(self.folder)
        except OSError:
            return None
        return self.folder if os.access(self.folder, os.W_OK) else None

    def state(self) -> tuple[int, int] | None:
        """Number of clips and revision of the index in memory; None where none is loaded. Never waits."""
        mirror = self._mirror
        return None if mirror is None else (len(mirror.index), mirror.revision)

    def file(self) -> Path | None:
        """The file of the vectors that the saved index names, there or not; None where none was saved."""
        saved = describe_index(self.folder)
        return None if saved is None else saved.file

    def rebuild(self) -> None:
        """Throws the saved index away and makes it anew from the catalog."""
        with self.lock.exclusive(), self._read() as catalog:
            record = open_record(catalog)
            self._mirror = Mirror.make(self._family, record)
            mirror = self.bring_up(catalog, record)
            with self._only_saver():
                save_index(mirror, self.folder)
                self._saved_revision = mirror.revision

    def save(self, *, bring_up: bool = True) -> None:
        """Writes the index for the next program; a folder that cannot be written to is no harm.

        An index that has outgrown its structure gets another first. Searches go on meanwhile, in this program
        and in others.

        Args:
            bring_up: Take in what has changed in the catalog, even if the index in memory is saved already.
        """
        with self._save_lock:
            if not bring_up and self._is_saved():
                return
            if self._save_changes():
                return
            with self.open() as opened:
                if self._is_saved():
                    return
                mirror = opened.mirror
                self._being_saved = mirror.index
            is_outgrown = mirror.index.is_outgrown
            try:
                if is_outgrown:
                    mirror = self._restructure(mirror)
                with self._only_saver() as saved_revision:
                    if self._is_saved_broken or saved_revision < mirror.revision + is_outgrown:
                        save_index(mirror, self.folder)
                        self._is_saved_broken = False
                self._saved_revision = mirror.revision
            except (OSError, RuntimeError, IndexFileError) as error:  # FAISS raises the second
                logger.warning("the index could not be saved: %s", error)
            finally:
                self._being_saved = None

    def save_effort(self) -> None:
        """Writes the index with the effort that was set, whether it is saved already or not.

        Raises:
            IndexFileError: It cannot be written.
        """
        with self._save_lock, self._only_saver(), self.open() as opened:
            save_index(opened.mirror, self.folder)

    def _save_changes(self) -> bool:
        """Adds what is new to files that grow; False where they do not, or all must be written anew.

        Searches wait for it: it takes as long as there is much new.
        """
        saved = describe_index(self.folder)
        if saved is None or not saved.file.is_dir() or self._is_saved_broken:
            return False
        try:
            with self._only_saver() as saved_revision, self.lock.exclusive(), self._read() as catalog:
                if self._mirror is not None and saved_revision > self._saved_revision:
                    self._mirror = None  # another program went on with the files: so does this one
                mirror = self.bring_up(catalog, open_record(catalog))
                if mirror.index.is_outgrown or not is_at_home(mirror, self.folder):
                    return False
                if saved_revision < mirror.revision:
                    save_index(mirror, self.folder)
                self._saved_revision = mirror.revision
        except (OSError, RuntimeError, IndexFileError) as error:
            logger.warning("the index could not be saved: %s", error)
        return True

    def _is_saved(self) -> bool:
        mirror = self._mirror
        return (
            mirror is not None
            and mirror.revision == self._saved_revision
            and not mirror.index.is_outgrown
            and not self._is_saved_broken
        )

    def _restructure(self, mirror: Mirror) -> Mirror:
        """Puts an index of another structure in the place of one; the next who wants it catches it up."""
        grown = mirror.restructured(self.folder)
        with self.lock.exclusive():
            self._being_saved, self._mirror = grown.index, grown
        return grown

    @contextmanager
    def _only_saver(self) -> Iterator[int]:
        """Keeps other programs from saving meanwhile; yields the revision that is saved already, or -1."""
        make_private_folder(self.folder)
        make_private_file(self.folder / "save.lock")
        with (self.folder / "save.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield self._revision_on_disk()

    def _revision_on_disk(self) -> int:
        saved = describe_index(self.folder)
        if saved is None or saved.family != self._family.name or not saved.file.exists():
            return -1
        with self._read() as catalog:
            return saved.revision if saved.catalog_id == open_record(catalog).catalog_id else -1

    def close(self) -> None:
        """Waits until an index that was broken on disk is written anew."""
        if self._mending is not None:
            self._mending.join()
