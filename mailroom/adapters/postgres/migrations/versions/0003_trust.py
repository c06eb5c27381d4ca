"""Routing, trust and processing: policies, processors, scans, withdrawn items, what was processed."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("tenant", sa.Column("policy", postgresql.JSONB(), nullable=False, server_default="{}"))
    op.add_column("tenant", sa.Column("webhook_url", sa.Text(), nullable=True))
    op.add_column("tenant", sa.Column("webhook_secret", sa.Text(), nullable=True))
    op.add_column("address", sa.Column("processor", sa.Text(), nullable=False, server_default="inbox"))
    # Patterns with stars are looked up by their domain, the part after the last @.
    op.create_index(
        "ix_address_starred",
        "address",
        [sa.text("split_part(pattern, '@', -1)")],
        postgresql_where=sa.text("strpos(pattern, '*') > 0"),
    )
    op.add_column("inbound_email", sa.Column("scan", postgresql.JSONB(), nullable=True))
    op.add_column("inbox_item", sa.Column("withdrawn_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("inbox_item", sa.Column("withdrawn_reason", sa.Text(), nullable=True))
    op.create_table(
        "processing",
        sa.Column("email_id", sa.Uuid(), nullable=False),
        sa.Column("processor", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("sender", sa.Text(), nullable=True),
        sa.Column("facts", postgresql.JSONB(), nullable=False),
        sa.Column("begun_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["email_id"], ["inbound_email.id"]),
        sa.PrimaryKeyConstraint("email_id", "processor"),
    )
    op.create_index("ix_processing_sender", "processing", ["processor", "sender", "begun_at"])


def downgrade() -> None:
    op.drop_table("processing")
    op.drop_column("inbox_item", "withdrawn_reason")
    op.drop_column("inbox_item", "withdrawn_at")
    op.drop_column("inbound_email", "scan")
    op.drop_index("ix_address_starred", table_name="address")
    op.drop_column("address", "processor")
    op.drop_column("tenant", "webhook_secret")
    op.drop_column("tenant", "webhook_url")
    op.drop_column("tenant", "policy")
