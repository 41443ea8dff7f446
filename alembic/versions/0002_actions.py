"""Actions: heads, the segments they found, and the examples they were taught with.

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import sqlite

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sqlite.INTEGER(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "heads",
        sa.Column("id", ID, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("is_active", sa.Boolean, nullable=False),
        sa.Column("encoder_id", sa.Text, nullable=False),
        sa.Column("actions", sa.Text, nullable=False),
        sa.Column("threshold", sa.Double, nullable=False),
        sa.Column("card", sa.Text, nullable=False),
        sa.Column("parameters", sa.LargeBinary),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_heads"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ux_heads_name",
        "heads",
        ["name"],
        unique=True,
        sqlite_where=sa.text("is_active"),
        postgresql_where=sa.text("is_active"),
    )
    op.create_table(
        "segments",
        sa.Column("id", ID, nullable=False),
        sa.Column("video_id", ID, nullable=False),
        sa.Column("head_id", ID, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("start_seconds", sa.Double, nullable=False),
        sa.Column("end_seconds", sa.Double, nullable=False),
        sa.Column("confidence", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_segments"),
        sa.ForeignKeyConstraint(
            ["video_id"], ["videos.id"], name="fk_segments_video_id_videos", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["head_id"], ["heads.id"], name="fk_segments_head_id_heads", ondelete="CASCADE"
        ),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_segments_video_id_start_seconds", "segments", ["video_id", "start_seconds"])
    op.create_index("ix_segments_action_head_id_confidence", "segments", ["action", "head_id", "confidence"])
    op.create_index("ix_segments_head_id", "segments", ["head_id"])
    op.create_table(
        "action_examples",
        sa.Column("id", ID, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("is_positive", sa.Boolean, nullable=False),
        sa.Column("origin", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("video_id", ID),
        sa.Column("start_seconds", sa.Double),
        sa.Column("end_seconds", sa.Double),
        sa.Column("track", sa.LargeBinary),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_action_examples"),
        sa.ForeignKeyConstraint(
            ["video_id"], ["videos.id"], name="fk_action_examples_video_id_videos", ondelete="CASCADE"
        ),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_action_examples_action", "action_examples", ["action"])
    op.create_index("ix_action_examples_video_id", "action_examples", ["video_id"])


def downgrade() -> None:
    for table in ("action_examples", "segments", "heads"):
        op.drop_table(table)
