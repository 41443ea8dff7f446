"""A library on disk: its catalog, its encoder, its vector index, and the locks of those who write."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from encoders import Encoder, open_encoder
from encoders.embedding.encoder import check_pooling
from encoders.errors import EncoderMismatchError, LibraryBusyError, LibraryError, LibraryNotFoundError
from encoders.weights.files import is_abandoned, make_private_folder
from search.calibration.background_texts import BACKGROUND_TEXTS
from search.calibration.drawing import draw_sample
from search.calibration.sample import Sample
from search.catalog.catalog import Catalog
from search.catalog.database import INGEST_LOCK, JOBS_LOCK, Database
from search.catalog.record import LibraryRecord, open_record
from search.filtering.allowed import AllowedSets
from search.index.files import describe_index
from search.index.keeper import IndexKeeper
from search.index.registry import DEFAULT_INDEX, INDEXES
from search.index.vector_index import VectorIndex
from search.locks import hold_lock
from search.view import View

if TYPE_CHECKING:
    from search.documents.videos import LibraryStatus

LOCK_RETRY_SECONDS = 0.5
# Copies of the catalog under way, by restores and before migrations, with what SQLite keeps beside them.
_HALF_MADE = re.compile(r"(catalog.*\.(?:restoring|copying)-\d+)(?:-wal|-shm|-journal)?")


class Library:
    """A catalog, an encoder and an index that belong together; safe to share between threads.

    Args:
        folder: Holds the catalog (unless it is on PostgreSQL) and the index.
        database_url: Where the catalog is; None means SQLite in the folder.
        device: For the encoder: "auto", "cpu", "cuda", "mps".
        index: The name of the `IndexFamily` by which vectors are searched.
        create: Make the folder and the catalog where there are none.
        migrate: Bring an older catalog up to date; without it, nothing but `schema_revision` may be asked.

    Raises:
        LibraryNotFoundError: There is no library and `create` is false.
        SchemaError: The catalog is from a newer Reelseek.
        LibraryError: No index has that name, or the plug-in that offers it is broken.
    """

    def __init__(
        self,
        folder: Path,
        *,
        database_url: str | None = None,
        device: str = "auto",
        index: str = DEFAULT_INDEX,
        create: bool = False,
        migrate: bool = True,
    ) -> None:
        family = INDEXES.find(index)  # before anything is made or changed
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
        self.index_keeper = IndexKeeper(self.folder / "index", self.read, family)
        self._traces_left = False
        self._sample: Sample | None = None
        self._sample_lock = threading.Lock()
        self._allowed = AllowedSets(self.folder / "index" / "columns.npz")

    # --- catalog ---------------------------------------------------------------------------

    @contextmanager
    def read(self) -> Iterator[Catalog]:
        """Opens the catalog at one moment."""
        with self.database.read() as connection:
            yield Catalog(connection)

    @contextmanager
    def write(self) -> Iterator[Catalog]:
        """Opens the catalog in one transaction, committed at the end of the block."""
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
        """Reads the library's row. Raises LibraryError while it is empty."""
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
        is_told = False
        while True:
            with hold_lock(self.folder / "ingest.lock", self.database, INGEST_LOCK) as held:
                if held:
                    yield
                    return
            if not wait or should_stop():
                raise LibraryBusyError(busy)
            if not is_told:
                on_wait(f"{busy}; waiting")
                is_told = True
            time.sleep(LOCK_RETRY_SECONDS)

    @contextmanager
    def jobs_lock(self) -> Iterator[bool]:
        """Holds the right to run jobs, of which one server of a library has it at a time; or False."""
        with hold_lock(self.folder / "jobs.lock", self.database, JOBS_LOCK) as held:
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
        """Opens the library's own encoder; it is loaded once.

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

    @contextmanager
    def index(self) -> Iterator[VectorIndex]:
        """Opens the vector index to search it, brought up to the catalog's last revision."""
        with self.index_keeper.open() as opened:
            yield opened.mirror.index

    @contextmanager
    def view(self) -> Iterator[View]:
        """Opens the library at one moment, for one query.

        The index is held for it from the beginning to the end of the first `View.index` block.

        Raises:
            LibraryError: Nothing has been indexed yet.
        """
        with self.index_keeper.open() as opened:
            record, catalog = opened.record, opened.catalog
            with self._sample_lock:
                self._sample = sample = draw_sample(opened.mirror, catalog, record, self._sample)
            held: AbstractContextManager[object] = opened.holding
            turns = chain((held,), iter(self.index_keeper.lock.shared, None))
            yield View(record, catalog, sample, opened.mirror.index, turns, self._allowed)

    def sample(self) -> Sample:
        """Draws clips that stand for the library as it is now; those that stay are not read again."""
        with self.view() as view:
            return view.sample

    def rebuild_index(self) -> None:
        """Throws the saved index away and makes it anew from the catalog."""
        self.index_keeper.rebuild()
        with self._sample_lock:
            self._sample = None

    # --- the whole -------------------------------------------------------------------------

    def status(self) -> LibraryStatus:
        """Counts videos and clips and names encoder and index, as `indexer status --json` prints them."""
        with self.read() as catalog:
            record = catalog.library_record()
            by_status = {status: catalog.count_videos(status) for status in ("indexed", "failed", "missing")}
        clips = 0 if record is None else record.clip_count
        saved = None if record is None else describe_index(self.index_keeper.folder)
        index: dict[str, object] = {"kind": None, "clips": 0}
        if saved is not None:
            index = {"kind": saved.kind, "clips": saved.clips}
        is_current = saved is not None and record is not None and saved.revision == record.revision
        index["up_to_date"] = is_current or clips == 0
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
        self.index_keeper.close()
        self.database.close()
