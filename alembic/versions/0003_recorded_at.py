"""When each video was recorded; of what is there already, when its file was last changed.

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Not as a batch: on SQLite that makes the table anew, and dropping the old one takes the clips along.
    op.add_column("videos", sa.Column("recorded_at", sa.Double))
    op.execute("UPDATE videos SET recorded_at = mtime_ns / 1000000000.0")
    op.create_index("ix_videos_recorded_at", "videos", ["recorded_at"])


def downgrade() -> None:
    op.drop_index("ix_videos_recorded_at", "videos")
    op.drop_column("videos", "recorded_at")
