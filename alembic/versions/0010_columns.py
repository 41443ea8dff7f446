"""What is kept in memory is told by the library's row: whether filters let others through, how many clips.

Segments of an action are read out of their index, without a look at their rows.

Revision ID: 0010
Revises: 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

INDEX = "ix_segments_action_head_id_confidence"
KEY = ["action", "head_id", "confidence"]


def upgrade() -> None:
    for name in ("filter_revision", "clip_count"):
        op.add_column("library", sa.Column(name, sa.BigInteger, nullable=False, server_default="0"))
    op.execute("UPDATE library SET clip_count = (SELECT count(*) FROM clips WHERE revision IS NOT NULL)")
    op.drop_index(INDEX, "segments")
    op.create_index(INDEX, "segments", [*KEY, "video_id", "start_seconds", "end_seconds"])


def downgrade() -> None:
    op.drop_index(INDEX, "segments")
    op.create_index(INDEX, "segments", KEY)
    for name in ("clip_count", "filter_revision"):
        op.drop_column("library", name)
