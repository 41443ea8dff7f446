"""Library, videos, clips with vectors and key frames, removals, jobs.

Revision ID: 0001
Revises:
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql, sqlite

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sqlite.INTEGER(), "sqlite")
PATH = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "library",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("catalog_id", sa.Text, nullable=False),
        sa.Column("encoder_spec", sa.Text, nullable=False),
        sa.Column("encoder_id", sa.Text, nullable=False),
        sa.Column("pooling", sa.Text, nullable=False),
        sa.Column("dim", sa.Integer, nullable=False),
        sa.Column("sampling", sa.Text, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("background", sa.LargeBinary),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_library"),
    )
    op.create_table(
        "videos",
        sa.Column("id", ID, nullable=False),
        sa.Column("path", PATH, nullable=False),
        sa.Column("digest", sa.Text),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("mtime_ns", sa.BigInteger, nullable=False),
        sa.Column("duration_seconds", sa.Double),
        sa.Column("width", sa.Integer),
        sa.Column("height", sa.Integer),
        sa.Column("average_fps", sa.Double),
        sa.Column("codec", sa.Text),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("sampling", sa.Text),
        sa.Column("updated_at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_videos"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_videos_digest", "videos", ["digest"])
    op.create_index("ix_videos_status", "videos", ["status"])
    op.create_index(
        "ux_videos_path",
        "videos",
        ["path"],
        unique=True,
        sqlite_where=sa.text("status <> 'staging'"),
        postgresql_where=sa.text("status <> 'staging'"),
    )
    op.create_table(
        "clips",
        sa.Column("id", ID, nullable=False),
        sa.Column("video_id", ID, nullable=False),
        sa.Column("ordinal", sa.Integer, nullable=False),
        sa.Column("start_seconds", sa.Double, nullable=False),
        sa.Column("end_seconds", sa.Double, nullable=False),
        sa.Column("revision", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="pk_clips"),
        sa.ForeignKeyConstraint(
            ["video_id"], ["videos.id"], name="fk_clips_video_id_videos", ondelete="CASCADE"
        ),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_clips_video_id_ordinal", "clips", ["video_id", "ordinal"])
    op.create_index("ix_clips_revision", "clips", ["revision"])
    op.create_table(
        "clip_vectors",
        sa.Column("clip_id", ID, nullable=False, autoincrement=False),
        sa.Column("embedding", sa.LargeBinary, nullable=False),
        sa.Column("times", sa.LargeBinary, nullable=False),
        sa.Column("features", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("clip_id", name="pk_clip_vectors"),
        sa.ForeignKeyConstraint(
            ["clip_id"], ["clips.id"], name="fk_clip_vectors_clip_id_clips", ondelete="CASCADE"
        ),
    )
    op.create_table(
        "key_frames",
        sa.Column("id", ID, nullable=False),
        sa.Column("clip_id", ID, nullable=False),
        sa.Column("time_seconds", sa.Double, nullable=False),
        sa.Column("jpeg", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_key_frames"),
        sa.ForeignKeyConstraint(
            ["clip_id"], ["clips.id"], name="fk_key_frames_clip_id_clips", ondelete="CASCADE"
        ),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_key_frames_clip_id", "key_frames", ["clip_id"])
    op.create_table(
        "removed_clips",
        sa.Column("clip_id", ID, nullable=False, autoincrement=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("clip_id", name="pk_removed_clips"),
    )
    op.create_index("ix_removed_clips_revision", "removed_clips", ["revision"])
    op.create_table(
        "jobs",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("request", sa.Text, nullable=False),
        sa.Column("progress", sa.Text),
        sa.Column("result", sa.Text),
        sa.Column("error", sa.Text),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("finished_at", sa.Double),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
    )
    op.create_index("ix_jobs_status", "jobs", ["status"])


def downgrade() -> None:
    for table in (
        "jobs",
        "removed_clips",
        "key_frames",
        "clip_vectors",
        "clips",
        "videos",
        "library",
    ):
        op.drop_table(table)
