"""In which zone a video was recorded.

Revision ID: 0009
Revises: 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("videos", sa.Column("recorded_offset_seconds", sa.Integer))


def downgrade() -> None:
    op.drop_column("videos", "recorded_offset_seconds")
