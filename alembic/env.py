"""Runs the migrations on the connection that `search.catalog.database.Database` hands over.

`alembic` on the command line works too, with REELSEEK_DATABASE_URL set.
"""

import os

from alembic import context

from search.catalog.database import Database
from search.catalog.tables import metadata


def run(connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        render_as_batch=connection.dialect.name == "sqlite",
    )
    context.run_migrations()


# What part of a table an index is of holds for PostgreSQL too. It is said here, for new migrations, because
# saying it beside the tables loads all of that dialect into every program that opens a catalog.
for table in metadata.tables.values():
    for index in table.indexes:
        if (condition := index.dialect_kwargs.get("sqlite_where")) is not None:
            index.dialect_kwargs["postgresql_where"] = condition

connection = context.config.attributes.get("connection")
if connection is not None:
    run(connection)
else:
    database = Database(os.environ["REELSEEK_DATABASE_URL"])
    with database.migration() as connection:
        run(connection)
    database.close()
