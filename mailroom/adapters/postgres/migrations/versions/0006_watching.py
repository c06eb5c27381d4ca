"""Circuit breakers, reconciliations, and indexes for frequent counts."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "breaker",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant", sa.Text(), sa.ForeignKey("tenant.id"), nullable=False),
        sa.Column("batch_id", sa.Uuid(), sa.ForeignKey("batch.id"), nullable=True),
        sa.Column("trip", sa.Text(), nullable=False),
        sa.Column("sent", sa.Integer(), nullable=False),
        sa.Column("bounced", sa.Integer(), nullable=False),
        sa.Column("complained", sa.Integer(), nullable=False),
        sa.Column("runs", postgresql.ARRAY(sa.Uuid()), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_by", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "ux_breaker_open",
        "breaker",
        ["tenant", "batch_id"],
        unique=True,
        postgresql_nulls_not_distinct=True,
        postgresql_where=sa.text("closed_at is null"),
    )
    op.create_index("ix_breaker_tenant", "breaker", ["tenant", "batch_id", "opened_at"])
    op.create_table(
        "reconciliation",
        sa.Column("id", sa.BigInteger(), autoincrement=True, nullable=False),
        sa.Column("begun_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("differences", postgresql.JSONB(), nullable=False),
        sa.Column("counts", postgresql.JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "ix_message_trouble",
        "message",
        ["tenant", "handed_at"],
        postgresql_where=sa.text("status in ('bounced', 'complained')"),
    )
    op.create_index("ix_message_handed_at", "message", ["handed_at"], postgresql_include=["tenant", "provider"])
    op.create_index(
        "ix_activity_kind", "activity", ["provider", "kind"], postgresql_where=sa.text("event_id is not null")
    )


def downgrade() -> None:
    op.drop_index("ix_activity_kind", table_name="activity")
    op.drop_index("ix_message_handed_at", table_name="message")
    op.drop_index("ix_message_trouble", table_name="message")
    op.drop_table("reconciliation")
    op.drop_index("ix_breaker_tenant", table_name="breaker")
    op.drop_index("ux_breaker_open", table_name="breaker")
    op.drop_table("breaker")
