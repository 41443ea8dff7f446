"""Opens the catalog's database, brings its schema up to date, and hands out transactions."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, NullPool, QueuePool, create_engine, event, func, inspect, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from encoders.errors import CatalogUnavailableError, LibraryBusyError, LibraryError, SchemaError
from encoders.weights.files import being_written, make_private_file, sync
from search.catalog.sqlite_files import copy_sqlite, read_only_address
from search.catalog.tables import clips, key_frames, library

logger = logging.getLogger(__name__)

BUSY_SECONDS = 30
MOST_CONNECTIONS = 100
PROBE_SECONDS = 5
WIPE_SECONDS = 1.0
WRITING_PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",  # a saved index must never be newer than its catalog
    "foreign_keys=ON",
    "secure_delete=ON",  # a deleted video leaves no bytes behind
)
# PostgreSQL's locks by number: ours, one after the other.
MIGRATION_LOCK, INGEST_LOCK, JOBS_LOCK = 7_165_001, 7_165_002, 7_165_003


def migrations_folder() -> Path:
    """Finds the folder of migrations: inside the installed package, or at the top of a checkout."""
    here = Path(__file__).resolve().parent.parent  # the package `search`
    installed = here / "alembic"
    return installed if installed.is_dir() else here.parent / "alembic"


def known_revisions() -> set[str]:
    """Lists the migrations that this program has, by the numbers that their files' names begin with."""
    return {path.name.partition("_")[0] for path in (migrations_folder() / "versions").glob("*_*.py")}


def newest_revision() -> str:
    """Returns the last migration."""
    return max(known_revisions())


class Database:
    """One catalog database: SQLite (WAL) or PostgreSQL.

    Args:
        url: A SQLAlchemy URL. `postgresql://` means psycopg 3.

    Raises:
        LibraryError: The URL is not one of SQLite or PostgreSQL.
    """

    def __init__(self, url: str) -> None:
        try:
            parsed = make_url(url)
        except (ArgumentError, ValueError) as error:
            raise LibraryError(
                f"the database URL cannot be read ({error}); expected postgresql://user:password@host/name"
            ) from error
        if parsed.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
            parsed = parsed.set(drivername="postgresql+psycopg")
        elif parsed.drivername != "sqlite":
            raise LibraryError(
                f"the catalog runs on SQLite or PostgreSQL, got {parsed.drivername!r}; "
                "expected postgresql://user:password@host/name"
            )
        self.url = parsed
        self.is_sqlite = parsed.drivername == "sqlite"
        self.engine = self._create_engine()

    def _create_engine(self) -> Engine:
        if not self.is_sqlite:
            return create_engine(self.url, pool_pre_ping=True)
        options = self._read_only_options()
        # More than a server has threads that read, so that none waits for another's connection. (A catalog in
        # memory has one for each thread, and no room to be told.)
        in_memory = self.url.database in (None, "", ":memory:")
        room = {} if in_memory else {"max_overflow": MOST_CONNECTIONS}
        engine = create_engine(self.url, connect_args={"timeout": BUSY_SECONDS}, **room, **options)
        pragmas = () if options else WRITING_PRAGMAS

        @event.listens_for(engine, "connect")
        def configure(connection: sqlite3.Connection, _record: object) -> None:
            connection.isolation_level = None  # SQLAlchemy's BEGIN below decides, not the driver
            for pragma in pragmas:
                connection.execute(f"PRAGMA {pragma}")

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            # A write takes its lock at once: upgrading a read later can fail for good.
            write = connection.get_execution_options().get("reelseek_write", False)
            connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

        return engine

    def _read_only_options(self) -> dict[str, Any]:
        """For a catalog on media or in a folder that cannot be written to; else empty."""
        path = Path(str(self.url.database or ""))
        if not path.is_file() or os.access(path.parent, os.W_OK):
            return {}
        address = read_only_address(path)

        def connect() -> sqlite3.Connection:
            return sqlite3.connect(address, uri=True, timeout=BUSY_SECONDS, check_same_thread=False)

        return {"creator": connect, "poolclass": QueuePool}

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Opens a transaction that sees one state of the catalog and changes nothing."""
        with self._errors(), self.engine.connect() as connection:
            if not self.is_sqlite:  # whose statements else each see a state of their own
                connection = connection.execution_options(isolation_level="REPEATABLE READ")
            with connection.begin():
                yield connection

    def probe(self) -> None:
        """Asks the catalog for its last rows, over a connection of its own: pooled ones remember pages.

        Raises:
            LibraryError: There is no right answer.
        """
        last = [select(func.max(table.c.id)).scalar_subquery() for table in (clips, key_frames)]
        with self._errors(), self._prober.connect() as connection:
            connection.execute(select(func.max(library.c.revision), *last)).one()

    @cached_property
    def _prober(self) -> Engine:
        if not self.is_sqlite:
            return create_engine(
                self.url, poolclass=NullPool, connect_args={"connect_timeout": PROBE_SECONDS}
            )
        address = read_only_address(Path(str(self.url.database)))

        def connect() -> sqlite3.Connection:
            return sqlite3.connect(address, uri=True, timeout=PROBE_SECONDS, check_same_thread=False)

        return create_engine("sqlite://", creator=connect, poolclass=NullPool)

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Opens a transaction that commits on leaving the block and rolls back on an error."""
        with self._errors(), self.engine.connect() as connection:
            connection = connection.execution_options(reelseek_write=True)
            with connection.begin():
                yield connection

    def wipe(self) -> bool:
        """Empties SQLite's log of what it held of deleted rows; False while readers keep it in use.

        In the database itself they are overwritten when they are deleted (`secure_delete`). PostgreSQL
        keeps dead rows until a VACUUM, and says so in its own manual.
        """
        if not self.is_sqlite or not Path(str(self.url.database or "")).is_file():
            return True
        connection = sqlite3.connect(str(self.url.database), timeout=WIPE_SECONDS)
        try:
            busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            return not busy
        except sqlite3.OperationalError:  # locked: the next write tries again
            return False
        finally:
            connection.close()

    @contextmanager
    def advisory_lock(self, number: int) -> Iterator[bool]:
        """Holds one of PostgreSQL's locks by number; False where another program has it. SQLite: True."""
        if self.is_sqlite:
            yield True
            return
        with self._errors(), self.engine.connect() as connection:
            connection = connection.execution_options(isolation_level="AUTOCOMMIT")
            held = bool(connection.exec_driver_sql(f"SELECT pg_try_advisory_lock({number})").scalar())
            try:
                yield held
            finally:
                if held:
                    connection.exec_driver_sql(f"SELECT pg_advisory_unlock({number})")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OperationalError as error:
            reason = " ".join(str(error.orig).split())
            if not self.is_sqlite:
                raise CatalogUnavailableError(
                    f"the catalog at {self.shown_url} cannot be used: {reason}"
                ) from error
            if "locked" in reason:
                raise LibraryBusyError(
                    f"the catalog stayed locked for {BUSY_SECONDS} s: another program is writing to it; "
                    "try again when it is done"
                ) from error
            if "full" in reason:
                raise LibraryError(
                    f"there is no room left for the catalog {self.shown_url} ({reason}): make room and do "
                    "it again; nothing that was finished is lost"
                ) from error
            if "readonly" in reason:
                raise LibraryError(
                    f"the catalog {self.shown_url} cannot be written to ({reason}): it can be searched, "
                    "but not changed"
                ) from error
            raise CatalogUnavailableError(
                f"the catalog at {self.shown_url} cannot be used: {reason}"
            ) from error
        except PoolTimeoutError as error:
            raise CatalogUnavailableError(
                f"every connection to the catalog at {self.shown_url} is in use: try again"
            ) from error
        except DBAPIError as error:
            if error.connection_invalidated:
                raise CatalogUnavailableError(
                    f"the connection to the catalog at {self.shown_url} was lost: {error.orig}"
                ) from error
            if isinstance(error.orig, sqlite3.DatabaseError) and "not a database" in str(error.orig):
                raise CatalogUnavailableError(
                    f"{self.shown_url} is not a Reelseek catalog; choose another --library"
                ) from error
            if isinstance(error.orig, sqlite3.DatabaseError) and "malformed" in str(error.orig):
                raise CatalogUnavailableError(
                    f"the catalog {self.shown_url} is damaged ({error.orig}): put a copy of it back, or "
                    "index into a new --library"
                ) from error
            raise

    @property
    def shown_url(self) -> str:
        """The URL without its password."""
        return str(self.url.database) if self.is_sqlite else self.url.render_as_string()

    def schema_revision(self) -> str | None:
        """Reads the migration that the database is at; None when it has none of our tables."""
        with self.read() as connection:
            if not inspect(connection).has_table("alembic_version"):
                return None
            return connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()

    def damage(self) -> list[str]:
        """Returns what SQLite finds wrong with its own file, reading all of it; nothing on PostgreSQL."""
        if not self.is_sqlite:
            return []
        with self._errors(), self.engine.connect() as connection:
            rows = connection.exec_driver_sql("PRAGMA integrity_check(20)").scalars().all()
        return [str(row) for row in rows if row != "ok"]

    def migrate(self, revision: str = "head", *, keep_copy: bool = True) -> None:
        """Runs the migrations up to `revision`, all of them or none.

        Args:
            revision: "head" for the newest.
            keep_copy: On SQLite, first keep a copy of an older catalog beside it, named by its schema.

        Raises:
            SchemaError: The catalog was written by a newer Reelseek.
            LibraryError: The copy cannot be written; then nothing was changed.
        """
        if self.is_sqlite and self.url.database not in (None, "", ":memory:"):
            with suppress(OSError):  # SQLite, which would make it as the umask has it, says what is wrong
                make_private_file(Path(str(self.url.database)))
        current = self.schema_revision()
        if current == newest_revision() and revision == "head":
            return  # as nearly always; Alembic itself takes a tenth of a second to import
        if current is not None and current not in known_revisions():
            raise SchemaError(
                f"this catalog has schema {current}, newer than this Reelseek knows (up to "
                f"{newest_revision()}); upgrade reelseek, put a backup of before in its place by "
                "`indexer restore DIR --force`, or use another --library"
            )
        kept = self._keep_copy(current) if keep_copy and current is not None else None
        with self.migration() as connection:
            self.upgrade(connection, revision)
        if current is not None:
            logger.warning(
                "the catalog was brought from schema %s to %s%s",
                current,
                self.schema_revision(),
                f"; as it was before it is kept in {kept}" if kept else "",
            )

    def _keep_copy(self, revision: str) -> Path | None:
        """Copies a SQLite catalog before its migration; None on PostgreSQL, and in memory."""
        path = Path(str(self.url.database))
        if not self.is_sqlite or not path.is_file():
            return None
        kept = path.with_name(f"{path.stem}-schema-{revision}{path.suffix}")
        partial = path.with_name(f"{kept.name}.copying-{os.getpid()}")
        with being_written(partial):
            copy_sqlite(path, partial)
            partial.replace(kept)
        sync(kept.parent)
        return kept

    @contextmanager
    def migration(self) -> Iterator[Connection]:
        """Opens a transaction in which SQLite lets a table be made anew without emptying those below it.

        Raises:
            SchemaError: A row would be left without its owner; nothing is changed then.
        """
        if not self.is_sqlite:
            with self.write() as connection:
                # Two programs that start at once migrate one after the other.
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")
                yield connection
            return
        with self._errors(), self.engine.connect() as connection:
            dbapi = connection.connection.dbapi_connection
            assert dbapi is not None
            dbapi.execute("PRAGMA foreign_keys=OFF")
            try:
                connection = connection.execution_options(reelseek_write=True)
                with connection.begin():
                    yield connection
                    orphans = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
                    if orphans is not None:
                        raise SchemaError(f"the migration would leave rows of {orphans[0]} without owners")
            finally:
                dbapi.execute("PRAGMA foreign_keys=ON")

    def upgrade(self, connection: Connection, revision: str = "head") -> None:
        """Runs the migrations up to `revision` within a `migration`."""
        from alembic import command

        command.upgrade(self._alembic_config(connection), revision)

    def downgrade(self, revision: str) -> None:
        """Runs the migrations down to `revision` ("base" for none)."""
        from alembic import command

        with self.migration() as connection:
            command.downgrade(self._alembic_config(connection), revision)

    def _alembic_config(self, connection: Connection) -> Any:
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
        config.attributes["connection"] = connection
        return config

    def close(self) -> None:
        """Closes every pooled connection."""
        self.engine.dispose()
