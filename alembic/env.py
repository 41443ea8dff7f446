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


connection = context.config.attributes.get("connection")
if connection is not None:
    run(connection)
else:
    database = Database(os.environ["REELSEEK_DATABASE_URL"])
    with database.migration() as connection:
        run(connection)
    database.close()
