"""Monitoring: ages of orders, current rates, processor failures, and counters of events."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    now = sa.text("now()")
    op.add_column("outbox", sa.Column("written_at", sa.DateTime(timezone=True), nullable=False, server_default=now))
    op.add_column("outbox", sa.Column("begun_at", sa.DateTime(timezone=True), nullable=True))
    # Existing orders have no such time: a run has begun with those that were due.
    op.execute("update outbox set begun_at = published_at where due_at <= now()")
    op.create_index("ix_outbox_open", "outbox", ["batch_id"], postgresql_where=sa.text("begun_at is null"))
    op.create_table(
        "rate",
        sa.Column("identity", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("per_second", sa.Float(), nullable=False),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("identity"),
    )
    op.create_table(
        "event_tally",
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("events", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("provider", "kind"),
    )
    # No event may be stored between the count and the end of this migration.
    op.execute("lock table activity in share mode")
    op.execute(
        "insert into event_tally select provider, kind, count(*) from activity where event_id is not null group by 1, 2"
    )
    op.drop_index("ix_activity_kind", table_name="activity")
    op.create_index("ix_processing_failed", "processing", ["email_id"], postgresql_where=sa.text("state = 'failed'"))


def downgrade() -> None:
    op.drop_index("ix_processing_failed", table_name="processing")
    op.create_index(
        "ix_activity_kind", "activity", ["provider", "kind"], postgresql_where=sa.text("event_id is not null")
    )
    op.drop_table("event_tally")
    op.drop_table("rate")
    op.drop_index("ix_outbox_open", table_name="outbox")
    op.drop_column("outbox", "begun_at")
    op.drop_column("outbox", "written_at")
