"""Outbound: the sender addresses of a tenant, and the limits that providers report."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "sender",
        sa.Column("pattern", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), sa.ForeignKey("tenant.id"), nullable=False),
        sa.PrimaryKeyConstraint("pattern", "tenant"),
    )
    op.create_table(
        "provider",
        sa.Column("identity", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("per_second", sa.Float(), nullable=True),
        sa.Column("per_day", sa.BigInteger(), nullable=True),
        sa.Column("sent_today", sa.BigInteger(), nullable=True),
        sa.Column("paused", sa.Boolean(), nullable=False),
        sa.Column("max_bytes", sa.BigInteger(), nullable=False),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("identity"),
    )


def downgrade() -> None:
    op.drop_table("provider")
    op.drop_table("sender")
