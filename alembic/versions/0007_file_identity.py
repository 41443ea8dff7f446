"""What tells a video's file from others: its name in one spelling, its inode's change time, its time code.

Revision ID: 0007
Revises: 0006
"""

import unicodedata

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

ROWS_AT_ONCE = 1000
PATH = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")


def upgrade() -> None:
    op.add_column("videos", sa.Column("path_key", PATH))
    op.add_column("videos", sa.Column("ctime_ns", sa.BigInteger))
    op.add_column("videos", sa.Column("timecode", sa.Text))
    videos = sa.table("videos", sa.column("id", sa.BigInteger), sa.column("path"), sa.column("path_key"))
    connection, last = op.get_bind(), 0
    connection.execute(sa.update(videos).values(path_key=videos.c.path))
    # Only names that are spelled otherwise take a statement each.
    while rows := connection.execute(
        sa.select(videos.c.id, videos.c.path)
        .where(videos.c.id > last)
        .order_by(videos.c.id)
        .limit(ROWS_AT_ONCE)
    ).all():
        last = rows[-1].id
        for row in rows:
            key = unicodedata.normalize("NFC", row.path)
            if key != row.path:
                connection.execute(sa.update(videos).where(videos.c.id == row.id).values(path_key=key))
    op.create_index("ix_videos_path_key", "videos", ["path_key"])


def downgrade() -> None:
    op.drop_index("ix_videos_path_key", "videos")
    for name in ("timecode", "ctime_ns", "path_key"):
        op.drop_column("videos", name)
