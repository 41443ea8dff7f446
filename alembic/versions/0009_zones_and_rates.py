"""In which zone a video was recorded, and the step of its frames.

Revision ID: 0009
Revises: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("videos", sa.Column("recorded_offset_seconds", sa.Integer))
    op.add_column("videos", sa.Column("base_fps", sa.Double))


def downgrade() -> None:
    for name in ("base_fps", "recorded_offset_seconds"):
        op.drop_column("videos", name)
