"""The whole catalog copied: into a SQLite file, from either engine, and out of one, into either."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Column, Connection, Integer, Table, func, insert, inspect, select, text, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.types import BigInteger

from encoders.errors import BackupError, LibraryError, SchemaError
from search.catalog.database import Database, known_revisions
from search.catalog.keys import Keys
from search.catalog.sqlite_files import copy_sqlite, fold
from search.catalog.tables import library as library_table
from search.catalog.tables import metadata

ROWS_PER_COPY = 500


def copy_to_file(database: Database, target: Path) -> None:
    """Writes the catalog, as it is at one moment, to a new SQLite file of the same schema.

    Args:
        database: Of either engine, at the newest migration.
        target: Where there is no file yet.

    Raises:
        LibraryError: Reading or writing failed.
    """
    if database.is_sqlite:
        copy_sqlite(Path(str(database.url.database)), target)
        return
    copied = Database(f"sqlite:///{target}")
    try:
        copied.migrate(database.schema_revision() or "head")
        with database.read() as source, copied.write() as to:
            _copy_rows(source, to)
            for name, last in _last_ids(source):
                _set_last_id(to, name, last)
    except BaseException:
        copied.close()
        target.unlink(missing_ok=True)
        raise
    copied.close()
    fold(target)


def copy_from_file(source: Path, database: Database) -> int | None:
    """Replaces everything in a catalog by what a SQLite file holds, in one transaction.

    A key that was revoked in the catalog stays revoked.

    Args:
        source: Of the newest schema.
        database: Of either engine; made where it is empty, made anew where it is from a newer Reelseek.

    Returns:
        How many keys stay revoked that are not in the file; None where there were no keys to look at.

    Raises:
        LibraryError: Reading or writing failed; then the catalog is as it was.
    """
    revision = database.schema_revision()
    is_newer = revision is not None and revision not in known_revisions()
    if not is_newer:
        database.migrate()
    copied = Database(f"sqlite:///{source}")
    try:
        with copied.read() as from_, database.migration() if is_newer else database.write() as to:
            revoked = _revoked(to)
            if is_newer:
                _drop_tables(to)
                database.upgrade(to)
            else:
                for table in reversed(metadata.sorted_tables):
                    to.execute(table.delete())
            _copy_rows(from_, to)
            for name, last in _last_ids(from_):
                _set_last_id(to, name, last)
            kept = None if revoked is None else Keys(to).revoke_all(revoked)
            return None if revision is None else kept
    finally:
        copied.close()


def revoked_in_damaged(database: Database) -> dict[str, float] | None:
    """Reads which keys a damaged catalog says were revoked, and when; None where it cannot be read so far."""
    try:
        with database.read() as connection:
            return _revoked(connection)
    except (LibraryError, SQLAlchemyError):
        return None


def _revoked(connection: Connection) -> dict[str, float] | None:
    """Reads which keys of a catalog of any schema were revoked, and when; None where it does not tell.

    On PostgreSQL no other is revoked until the transaction ends: it would be lost.
    """
    looked_at = inspect(connection)
    if not looked_at.has_table("keys"):
        return None
    if not {"id", "revoked_at"} <= {column["name"] for column in looked_at.get_columns("keys")}:
        return None
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("LOCK TABLE keys IN EXCLUSIVE MODE")
    rows = connection.execute(text("SELECT id, revoked_at FROM keys WHERE revoked_at IS NOT NULL"))
    return {str(row.id): float(row.revoked_at) for row in rows}


def revoke_keys(path: Path, revoked: Mapping[str, float]) -> int:
    """Has keys in a catalog's file taken no more; returns how many were taken until now."""
    database = Database(f"sqlite:///{path}")
    try:
        with database.write() as connection:
            return Keys(connection).revoke_all(revoked)
    finally:
        database.close()


def count_keys(path: Path) -> int:
    """Counts the keys of a catalog's file that are taken now."""
    database = Database(f"sqlite:///{path}")
    try:
        with database.read() as connection:
            return Keys(connection).count_valid()
    finally:
        database.close()


def renew_identity(path: Path) -> None:
    """Gives a catalog's file a new identity: an index of what it was before is not of what it will be."""
    database = Database(f"sqlite:///{path}")
    with database.write() as connection:
        connection.execute(update(library_table).values(catalog_id=uuid.uuid4().hex))
    database.close()


def describe(path: Path) -> dict[str, Any]:
    """Reads the schema, identity and numbers of rows of a catalog's file.

    Raises:
        BackupError: It is none, or a damaged one.
    """
    database = Database(f"sqlite:///{path}")
    try:
        faults = database.damage()
        if faults:
            raise BackupError(f"{path} is damaged: {faults[0]}")
        with database.read() as connection:
            tables = set(inspect(connection).get_table_names())
            counts = {
                table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
                for table in metadata.sorted_tables
                if table.name in tables
            }
            row = None
            if "library" in tables:
                row = connection.execute(text("SELECT catalog_id, revision FROM library")).first()
        return {
            "schema": database.schema_revision(),
            "catalog_id": row.catalog_id if row else None,
            "revision": row.revision if row else 0,
            "rows": counts,
        }
    finally:
        database.close()


def _drop_tables(connection: Connection) -> None:
    """Drops every table of a catalog of any schema.

    Raises:
        SchemaError: On PostgreSQL, where others may have tables in the same database, it has some that this
            program does not know.
    """
    names = inspect(connection).get_table_names()
    quote = connection.dialect.identifier_preparer.quote
    if connection.dialect.name == "postgresql":
        unknown = sorted(set(names) - {*metadata.tables, "alembic_version"})
        if unknown:
            statement = f"DROP TABLE {', '.join(map(quote, unknown))} CASCADE"
            raise SchemaError(
                "there are tables here that this Reelseek does not know: if a newer one made them, drop "
                f"them ({statement}) and restore again; else restore into another database"
            )
    for name in names:
        cascade = " CASCADE" if connection.dialect.name == "postgresql" else ""
        connection.exec_driver_sql(f"DROP TABLE IF EXISTS {quote(name)}{cascade}")


def _copy_rows(source: Connection, target: Connection) -> None:
    for table in metadata.sorted_tables:
        query = select(table).order_by(*table.primary_key.columns)
        rows = source.execution_options(yield_per=ROWS_PER_COPY).execute(query)
        for part in rows.partitions(ROWS_PER_COPY):
            target.execute(insert(table), [dict(row._mapping) for row in part])


def _numbered() -> Iterator[tuple[Table, Column[Any]]]:
    """Tables whose ids the engine hands out, each with that column."""
    for table in metadata.sorted_tables:
        keys = list(table.primary_key.columns)
        is_number = len(keys) == 1 and isinstance(keys[0].type, Integer | BigInteger)
        if is_number and table.dialect_options["sqlite"]["autoincrement"]:
            yield table, keys[0]


def _last_ids(connection: Connection) -> list[tuple[str, int]]:
    """Returns the last id that was ever handed out, by table: none of them may come back."""
    if connection.dialect.name == "sqlite":
        rows = connection.execute(text("SELECT name, seq FROM sqlite_sequence"))
        names = {table.name for table, _ in _numbered()}
        return [(row.name, int(row.seq)) for row in rows if row.name in names]
    found = []
    for table, column in _numbered():
        sequence = _sequence(connection, table, column)
        row = connection.exec_driver_sql(f"SELECT last_value, is_called FROM {sequence}").one()
        if row.is_called:
            found.append((table.name, int(row.last_value)))
    return found


def _set_last_id(connection: Connection, name: str, last: int) -> None:
    if connection.dialect.name == "sqlite":
        changed = connection.execute(
            text("UPDATE sqlite_sequence SET seq = max(seq, :last) WHERE name = :name"),
            {"last": last, "name": name},
        ).rowcount
        if not changed:
            connection.execute(
                text("INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :last)"),
                {"last": last, "name": name},
            )
        return
    for table, column in _numbered():
        if table.name == name:
            sequence = _sequence(connection, table, column)
            # A server that goes on with the old catalog's ids must not be set back by a restore.
            connection.exec_driver_sql(
                f"SELECT setval('{sequence}', GREATEST({last}, (SELECT last_value FROM {sequence})))"
            )


def _sequence(connection: Connection, table: Table, column: Column[Any]) -> str:
    query = select(func.pg_get_serial_sequence(table.name, column.name))
    return str(connection.execute(query).scalar_one())
