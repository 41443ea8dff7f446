"""A library on disk: its catalog, its encoder, its vector index, and who may write."""

from __future__ import annotations

import fcntl
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from encoders import Encoder, open_encoder
from encoders.embedding.encoder import check_pooling
from encoders.errors import (
    EncoderMismatchError,
    IndexFileError,
    LibraryBusyError,
    LibraryError,
    LibraryNotFoundError,
)
from encoders.weights.files import is_abandoned, make_private_file, make_private_folder
from search.calibration.background_texts import BACKGROUND_TEXTS
from search.calibration.probabilities import is_fitted
from search.calibration.sample import Sample, choose_clips, measure_sample
from search.catalog.catalog import Catalog
from search.catalog.database import INGEST_LOCK, JOBS_LOCK, Database
from search.catalog.record import LibraryRecord, open_record
from search.types import Filters

if TYPE_CHECKING:
    from search.documents.videos import LibraryStatus
    from search.index.faiss_index import FaissIndex

logger = logging.getLogger(__name__)

LOCK_RETRY_SECONDS = 0.5
# Copies of the catalog under way, by restores and before migrations, with what SQLite keeps beside them.
_HALF_MADE = re.compile(r"(catalog.*\.(?:restoring|copying)-\d+)(?:-wal|-shm|-journal)?")


class Library:
    """Everything that a search or an ingest needs; safe to share between threads.

    Args:
        folder: Holds the catalog (unless it is on PostgreSQL) and the index.
        database_url: Where the catalog is; None means SQLite in the folder.
        device: For the encoder: "auto", "cpu", "cuda", "mps".
        create: Make the folder and the catalog where there are none.
        migrate: Bring an older catalog up to date; without it, nothing but `schema_revision` may be asked.

    Raises:
        LibraryNotFoundError: There is no library and `create` is false.
        SchemaError: The catalog is from a newer Reelseek.
    """

    def __init__(
        self,
        folder: Path,
        *,
        database_url: str | None = None,
        device: str = "auto",
        create: bool = False,
        migrate: bool = True,
    ) -> None:
        self.folder = Path(folder).expanduser().absolute()
        catalog_path = self.folder / "catalog.sqlite3"
        if not create and database_url is None and not catalog_path.exists():
            raise LibraryNotFoundError(
                f"there is no library in {self.folder}: make one with `indexer ingest PATH`, "
                "or name another with --library"
            )
        try:
            make_private_folder(self.folder)
        except FileExistsError as error:
            raise LibraryError(f"{self.folder} is no folder; name another with --library") from error
        except OSError as error:
            raise LibraryError(f"the folder {self.folder} cannot be made: {error}") from error
        self.database = Database(database_url or f"sqlite:///{catalog_path}")
        if migrate:
            self.database.migrate()
        self.device = device
        self._encoder: Encoder | None = None
        self._encoder_lock = threading.Lock()
        self._index: FaissIndex | None = None
        self._saved_revision = -1
        self._mending: threading.Thread | None = None
        self._is_saved_broken = False  # what was found on disk: it is written anew, whatever its revision
        self._being_saved: FaissIndex | None = None  # by another thread: it must not change meanwhile
        self._index_lock = threading.RLock()
        self._save_lock = threading.Lock()
        self._traces_left = False
        self._clip_sample: Sample | None = None

    # --- catalog ---------------------------------------------------------------------------

    @contextmanager
    def read(self) -> Iterator[Catalog]:
        """The catalog at one moment."""
        with self.database.read() as connection:
            yield Catalog(connection)

    @contextmanager
    def write(self) -> Iterator[Catalog]:
        """The catalog in one transaction, committed at the end of the block."""
        with self.database.write() as connection:
            catalog = Catalog(connection)
            yield catalog
        if catalog.has_removed:
            self.clear_leftovers()
        self._traces_left |= catalog.has_removed
        if self._traces_left:
            self._traces_left = not self.database.wipe()

    def clear_leftovers(self) -> None:
        """Deletes the copies of the catalog that killed programs left half made: no removal reaches those."""
        # Shortest names first: what lies beside a copy goes when that has gone.
        for path in sorted(self.folder.glob("catalog*"), key=lambda path: len(path.name)):
            found = _HALF_MADE.fullmatch(path.name)
            if found is None:
                continue
            copy = path.with_name(found[1])
            if not copy.exists() or is_abandoned(copy):
                with suppress(OSError):
                    path.unlink()

    def record(self) -> LibraryRecord:
        """What the library was made with. Raises LibraryError while it is empty."""
        with self.read() as catalog:
            return open_record(catalog)

    @contextmanager
    def ingest_lock(
        self,
        *,
        wait: bool,
        on_wait: Callable[[str], None] = lambda _: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Iterator[None]:
        """Holds the right to ingest; other programs may go on searching.

        Args:
            wait: Until another program is done.
            on_wait: Told once that there is one.
            should_stop: True ends the waiting.

        Raises:
            LibraryBusyError: Another program holds it, and `wait` is false or the waiting was ended.
            LibraryError: The folder cannot be written to.
        """
        where = self.folder if self.database.is_sqlite else "this catalog, here or on another machine"
        busy = f"another ingest is writing to {where}; wait for it to end"
        told = False
        while True:
            with self._only_one("ingest.lock", INGEST_LOCK) as held:
                if held:
                    yield
                    return
            if not wait or should_stop():
                raise LibraryBusyError(busy)
            if not told:
                on_wait(f"{busy}; waiting")
                told = True
            time.sleep(LOCK_RETRY_SECONDS)

    @contextmanager
    def jobs_lock(self) -> Iterator[bool]:
        """Holds the right to run jobs, of which one server of a library has it at a time; or False."""
        with self._only_one("jobs.lock", JOBS_LOCK) as held:
            yield held

    @contextmanager
    def _only_one(self, name: str, number: int) -> Iterator[bool]:
        """Holds a file in the folder and, for programs on other machines, a lock of PostgreSQL's.

        Raises:
            LibraryError: The folder cannot be written to.
        """
        try:
            make_private_file(self.folder / name)
            lock = (self.folder / name).open("w")
        except OSError as error:
            raise LibraryError(f"the library in {self.folder} cannot be written to: {error}") from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            with self.database.advisory_lock(number) as held:
                yield held

    # --- encoder ---------------------------------------------------------------------------

    def create(self, encoder: Encoder, *, pooling: str, sampling: str) -> None:
        """Fixes the library's encoder; stores the background texts that its words are held against."""
        with self.write() as catalog:
            if catalog.library_record() is not None:
                return
            catalog.create_library(
                encoder_spec=encoder.spec,
                encoder_id=encoder.encoder_id,
                pooling=pooling,
                dim=encoder.dim,
                sampling=sampling,
            )
            if encoder.has_text:
                texts = list(dict.fromkeys(text.strip() for text in BACKGROUND_TEXTS))
                catalog.set_library(background=encoder.encode_text(texts).vectors)
        with self._encoder_lock:
            self._encoder = encoder

    def encoder(self) -> Encoder:
        """The library's own encoder, loaded once.

        Raises:
            EncoderUnavailableError: Its weights cannot be had here.
            EncoderMismatchError: What can be had has other weights than the library was made with.
        """
        with self._encoder_lock:
            if self._encoder is None:
                record = self.record()
                encoder = open_encoder(
                    record.encoder_spec, device=self.device, pooling=check_pooling(record.pooling)
                )
                if encoder.encoder_id != record.encoder_id:
                    raise EncoderMismatchError(
                        f"this library was made with {record.encoder_id}, but {record.encoder_spec} "
                        f"is now {encoder.encoder_id}: restore the weights or the version that it was "
                        "made with, or index into a new library with --library"
                    )
                self._encoder = encoder
            return self._encoder

    # --- index -----------------------------------------------------------------------------

    @property
    def index_folder(self) -> Path:
        return self.folder / "index"

    def index_file(self) -> Path | None:
        """The file of the vectors that the saved index names; None where none was saved."""
        from search.index.faiss_index import FaissIndex

        described = FaissIndex.describe(self.index_folder)
        return None if described is None else self.index_folder / str(described["file"])

    def index_file_exists(self) -> bool:
        """Whether the vectors that the saved index names are there."""
        path = self.index_file()
        return path is not None and path.exists()

    @contextmanager
    def index(self) -> Iterator[FaissIndex]:
        """The vector index, brought up to the catalog's last revision, for use by one thread."""
        with self._index_lock, self.read() as catalog:
            record = open_record(catalog)
            is_loaded_now = self._index is None
            index = self._load_index(record) if self._index is None else self._index
            # A restored catalog: an older one, or one that has gone on otherwise since.
            if index.revision > record.revision or index.catalog_id != record.catalog_id:
                index = self._new_index(record)
            if index.revision < record.revision:
                if index is self._being_saved:
                    index = index.copy()
                self._index = None  # half of an update must not be taken for the whole
                self.catch_up(index, catalog, record, restructure=is_loaded_now or not len(index))
                # A catalog that was put back by hand and went on by itself; counting takes a while.
                if is_loaded_now and len(index) != catalog.count_clips():
                    index = self._new_index(record)
                    self.catch_up(index, catalog, record)
            self._index = index
            if is_loaded_now and self._is_saved_broken:
                self._mending = threading.Thread(target=self.save_index, name="index")
                self._mending.start()
            # Searches do not wait for it: until it has been done, this index finds as much, in more time.
            if index.is_outgrown and self._being_saved is not index and not self._save_lock.locked():
                threading.Thread(target=self.save_index, name="index", daemon=True).start()
            yield index

    def _give_structure(self, index: FaissIndex) -> FaissIndex:
        """Puts inverted lists in an index's place; it is caught up with by the next who wants it."""
        grown = index.restructured()
        with self._index_lock:
            self._being_saved = self._index = grown
        return grown

    def index_state(self) -> tuple[int, int] | None:
        """How many clips the index in memory holds, and its revision; None for no index. Never waits."""
        index = self._index
        return None if index is None else (len(index), index.revision)

    @staticmethod
    def catch_up(
        index: FaissIndex, catalog: Catalog, record: LibraryRecord, *, restructure: bool = True
    ) -> None:
        """Takes in what the catalog has shown and hidden since the index's revision."""
        index.remove(catalog.removed_since(index.revision))
        for ids, embeddings in catalog.embeddings_since(index.revision, record.dim):
            index.add(ids, embeddings, restructure=restructure)
        index.revision = record.revision

    def _load_index(self, record: LibraryRecord) -> FaissIndex:
        from search.index.faiss_index import FaissIndex  # only where vectors are searched: it takes a while

        try:
            index = FaissIndex.load(self.index_folder, record.dim, record.encoder_id, record.catalog_id)
        except FileNotFoundError:
            return self._new_index(record)
        except IndexFileError as error:
            logger.warning("%s; making it anew from the catalog", error)
            self._is_saved_broken = True
            return self._new_index(record)
        self._saved_revision = index.revision
        return index

    @staticmethod
    def _new_index(record: LibraryRecord) -> FaissIndex:
        from search.index.faiss_index import FaissIndex

        return FaissIndex(record.dim, record.encoder_id, record.catalog_id)

    def rebuild_index(self) -> None:
        """Throws the saved index away and makes it anew from the catalog."""
        with self._index_lock:
            self._index = self._new_index(self.record())
            self._clip_sample = None
            with self.index() as index, self._one_saver():
                index.save(self.index_folder)
                self._saved_revision = index.revision

    def save_index(self) -> None:
        """Writes the index for the next program; a folder that cannot be written to is no harm.

        An index that has outgrown its structure gets another first. Searches go on meanwhile, in this program
        and in others.
        """
        with self._save_lock:
            with self.index() as index:
                if (
                    index.revision == self._saved_revision
                    and not index.is_outgrown
                    and not self._is_saved_broken
                ):
                    return
                self._being_saved = index
            is_outgrown = index.is_outgrown
            try:
                if is_outgrown:
                    index = self._give_structure(index)
                with self._one_saver() as saved_revision:
                    if self._is_saved_broken or saved_revision < index.revision + is_outgrown:
                        index.save(self.index_folder)
                        self._is_saved_broken = False
                self._saved_revision = index.revision
            except (OSError, RuntimeError, IndexFileError) as error:  # FAISS raises the second
                logger.warning("the index could not be saved: %s", error)
            finally:
                self._being_saved = None

    @contextmanager
    def _one_saver(self) -> Iterator[int]:
        """Keeps programs from deleting each other's files; the revision that is saved already, or -1."""
        make_private_folder(self.index_folder)
        make_private_file(self.index_folder / "save.lock")
        with (self.index_folder / "save.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield self._revision_on_disk()

    def _revision_on_disk(self) -> int:
        from search.index.faiss_index import FaissIndex

        described = FaissIndex.describe(self.index_folder)
        if described is None or described["catalog_id"] != self.record().catalog_id:
            return -1
        return int(str(described["revision"])) if self.index_file_exists() else -1

    def sample(self) -> Sample:
        """Clips that stand for the library as it is now; those that stay are not read again."""
        with self.index() as index:
            known = self._clip_sample
            place = (index.catalog_id, index.revision)
            if known is not None and (known.catalog_id, known.revision) == place:
                return known
            with self.read() as catalog:
                self._clip_sample = self._choose_sample(catalog, index, known)
            return self._clip_sample

    @staticmethod
    def _choose_sample(catalog: Catalog, index: FaissIndex, known: Sample | None) -> Sample:
        record = open_record(catalog)
        chosen = choose_clips(index.ids())
        if known is None or known.catalog_id != index.catalog_id:
            rows: dict[int, NDArray[np.float32]] = {}
        else:
            rows = dict(zip(known.clip_ids.tolist(), known.embeddings, strict=True))
        # What went away since the index was brought up to date is left out.
        new = list(catalog.clips([clip_id for clip_id in chosen.tolist() if clip_id not in rows]))
        if new:
            rows.update(zip(new, catalog.embeddings(new, record.dim), strict=True))
        there = [clip_id for clip_id in chosen.tolist() if clip_id in rows]
        embeddings = np.zeros((len(there), record.dim), np.float32)
        for number, clip_id in enumerate(there):
            embeddings[number] = rows[clip_id]
        return measure_sample(
            index.catalog_id,
            index.revision,
            len(index),
            np.array(there, np.int64),
            embeddings,
            None if is_fitted(record.encoder_id) else catalog.background(),
        )

    # --- the whole -------------------------------------------------------------------------

    def status(self) -> LibraryStatus:
        """Counts and names, as `indexer status --json` prints them; loads no model."""
        with self.read() as catalog:
            record = catalog.library_record()
            by_status = {status: catalog.count_videos(status) for status in ("indexed", "failed", "missing")}
            clips = catalog.count_clips(Filters())
        index: dict[str, object] = {"kind": None, "clips": 0, "up_to_date": clips == 0}
        if record is not None:
            from search.index.faiss_index import FaissIndex

            index = FaissIndex.describe(self.index_folder) or index
            for name in ("file", "catalog_id"):
                index.pop(name, None)
            index["up_to_date"] = index.pop("revision", 0) == record.revision or clips == 0
        return {
            "library": str(self.folder),
            "database": self.database.shown_url,
            "videos": by_status,
            "clips": clips,
            "encoder": record.encoder_id if record else None,
            "sampling": record.sampling if record else None,
            "index": index,
        }

    def close(self) -> None:
        """Lets go of the database, once an index that was broken on disk is written anew."""
        if self._mending is not None:
            self._mending.join()
        self.database.close()
