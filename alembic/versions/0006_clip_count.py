"""How many clips each video was published with; of what is there already, how many it has.

Revision ID: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("videos", sa.Column("clip_count", sa.Integer))
    op.execute(
        "UPDATE videos SET clip_count = (SELECT count(*) FROM clips"
        " WHERE clips.video_id = videos.id AND clips.revision IS NOT NULL) WHERE status = 'indexed'"
    )


def downgrade() -> None:
    op.drop_column("videos", "clip_count")
