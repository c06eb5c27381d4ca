"""Operators' decisions in Prefect: the run of each order, and what holds a worker back."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

oldest_code = 1
needed = True


def upgrade() -> None:
    op.add_column("outbox", sa.Column("run_id", sa.Uuid(), nullable=True))
    op.create_index(
        "ix_outbox_carried", "outbox", ["id"], postgresql_where=sa.text("begun_at is null and run_id is not null")
    )
    op.create_index("ix_outbox_batch", "outbox", ["batch_id", "id"])
    op.add_column("worker", sa.Column("held_by", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("worker", "held_by")
    op.drop_index("ix_outbox_batch", table_name="outbox")
    op.drop_index("ix_outbox_carried", table_name="outbox")
    op.drop_column("outbox", "run_id")
