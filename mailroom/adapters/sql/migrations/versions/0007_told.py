"""Outbound: batches that want readers tracked."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("track_opens", "track_clicks"):
        op.add_column("batch", sa.Column(name, sa.Boolean(), nullable=False, server_default=sa.text("false")))


def downgrade() -> None:
    op.drop_column("batch", "track_clicks")
    op.drop_column("batch", "track_opens")
