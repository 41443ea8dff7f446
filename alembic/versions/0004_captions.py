"""Captions of key frames, and the words in them.

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql, sqlite

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sqlite.INTEGER(), "sqlite")
WORD = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "captions",
        sa.Column("key_frame_id", ID, nullable=False, autoincrement=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("key_frame_id", name="pk_captions"),
        sa.ForeignKeyConstraint(
            ["key_frame_id"],
            ["key_frames.id"],
            name="fk_captions_key_frame_id_key_frames",
            ondelete="CASCADE",
        ),
    )
    op.create_table(
        "caption_words",
        sa.Column("word", WORD, nullable=False),
        sa.Column("clip_id", ID, nullable=False, autoincrement=False),
        sa.Column("key_frame_id", ID, nullable=False, autoincrement=False),
        sa.PrimaryKeyConstraint("word", "clip_id", "key_frame_id", name="pk_caption_words"),
        sa.ForeignKeyConstraint(
            ["key_frame_id"],
            ["captions.key_frame_id"],
            name="fk_caption_words_key_frame_id_captions",
            ondelete="CASCADE",
        ),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_caption_words_key_frame_id", "caption_words", ["key_frame_id"])


def downgrade() -> None:
    for table in ("caption_words", "captions"):
        op.drop_table(table)
