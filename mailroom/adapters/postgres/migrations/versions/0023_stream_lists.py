"""Batches by stream: the index of lists that are narrowed to one."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

oldest_code = 1
needed = False


def upgrade() -> None:
    op.create_index("ix_batch_stream", "batch", ["tenant", sa.text("coalesce(stream, lane)"), "created_at", "id"])


def downgrade() -> None:
    op.drop_index("ix_batch_stream", table_name="batch")
