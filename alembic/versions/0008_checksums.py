"""A checksum of every stored picture, vector, head and example, which tells one changed bit.

What is there already has none until `indexer check --repair` has looked at it.

Revision ID: 0008
Revises: 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

TABLES = ("library", "clip_vectors", "key_frames", "heads", "action_examples")


def upgrade() -> None:
    for table in TABLES:
        op.add_column(table, sa.Column("crc32", sa.BigInteger))


def downgrade() -> None:
    for table in TABLES:
        op.drop_column(table, "crc32")
