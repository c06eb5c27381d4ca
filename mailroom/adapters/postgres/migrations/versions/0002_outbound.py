"""Outbound: batches, messages and their history, the outbox, quotas, suppressions, and received webhooks."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_APPEND_ONLY = """
create trigger activity_append_only before update or delete or truncate on activity
    for each statement execute function refuse_change();
"""


def upgrade() -> None:
    op.create_table(
        "file",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "sha256"),
    )
    op.create_table(
        "hook",
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("facts", postgresql.JSONB(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("handled_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("source", "id"),
    )
    op.create_index(
        "ix_hook_waiting", "hook", ["received_at"], unique=False, postgresql_where=sa.text("handled_at is null")
    )
    op.create_table(
        "parked_event",
        sa.Column("id", sa.BigInteger(), autoincrement=True, nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("provider_message_id", sa.Text(), nullable=True),
        sa.Column("message_id", sa.Uuid(), nullable=True),
        sa.Column("event", postgresql.JSONB(), nullable=False),
        sa.Column("parked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("matched_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("provider", "event_id"),
    )
    op.create_index(
        "ix_parked_event_waiting",
        "parked_event",
        ["next_at"],
        unique=False,
        postgresql_where=sa.text("matched_at is null"),
    )
    op.create_table(
        "quota_use",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("period", sa.Text(), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "period", "starts_at"),
    )
    op.create_table(
        "suppression",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=True),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=True),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("address", "tenant", name="ux_suppression_address", postgresql_nulls_not_distinct=True),
    )
    op.create_table(
        "batch",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("from", postgresql.JSONB(), nullable=False),
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("policy", sa.Text(), nullable=False),
        sa.Column("send_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("metadata", postgresql.JSONB(), nullable=False),
        sa.Column("messages", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("cancelled_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant"],
            ["tenant.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_batch_tenant", "batch", ["tenant", "created_at", "id"], unique=False)
    op.create_table(
        "quota",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("hour", sa.Integer(), nullable=True),
        sa.Column("day", sa.Integer(), nullable=True),
        sa.Column("month", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant"],
            ["tenant.id"],
        ),
        sa.PrimaryKeyConstraint("tenant"),
    )
    op.create_table(
        "content",
        sa.Column("batch_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=True),
        sa.Column("html", sa.Text(), nullable=True),
        sa.Column("reply_to", postgresql.JSONB(), nullable=True),
        sa.Column("headers", postgresql.JSONB(), nullable=False),
        sa.Column("enclosures", postgresql.JSONB(), nullable=False),
        sa.Column("unsubscribe", sa.Text(), nullable=True),
        sa.Column("template", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["batch_id"],
            ["batch.id"],
        ),
        sa.PrimaryKeyConstraint("batch_id", "number"),
    )
    op.create_table(
        "idempotency_key",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("batch_id", sa.Uuid(), nullable=False),
        sa.Column("answer", postgresql.JSONB(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["batch_id"],
            ["batch.id"],
        ),
        sa.PrimaryKeyConstraint("tenant", "key"),
    )
    op.create_index("ix_idempotency_key_made_at", "idempotency_key", ["made_at"], unique=False)
    op.create_table(
        "message",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("batch_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("recipient", sa.Text(), nullable=False),
        sa.Column("to", postgresql.JSONB(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("content", sa.Integer(), nullable=False),
        sa.Column("data", postgresql.JSONB(), nullable=True),
        sa.Column("metadata", postgresql.JSONB(), nullable=True),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("handed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=True),
        sa.Column("provider_message_id", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["batch_id"],
            ["batch.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("batch_id", "recipient", "reference"),
    )
    op.create_index("ix_message_created_at", "message", ["created_at", "id"], unique=False)
    op.create_index(
        "ix_message_open",
        "message",
        ["status", "handed_at"],
        unique=False,
        postgresql_where=sa.text("status in ('sending', 'unknown')"),
    )
    op.create_index(
        "ix_message_provider",
        "message",
        ["provider", "provider_message_id"],
        unique=False,
        postgresql_where=sa.text("provider_message_id is not null"),
    )
    op.create_index("ix_message_recipient", "message", ["tenant", "recipient", "created_at", "id"], unique=False)
    op.create_index("ix_message_status", "message", ["batch_id", "status"], unique=False)
    op.create_index(
        "ix_message_waiting",
        "message",
        ["batch_id", "number"],
        unique=False,
        postgresql_where=sa.text("status in ('accepted', 'queued', 'scheduled', 'deferred') and handed_at is null"),
    )
    op.create_index("ix_message_tenant", "message", ["tenant", "created_at", "id"], unique=False)
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger(), autoincrement=True, nullable=False),
        sa.Column("batch_id", sa.Uuid(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("taken_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["batch_id"],
            ["batch.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "ix_outbox_waiting", "outbox", ["id"], unique=False, postgresql_where=sa.text("published_at is null")
    )
    op.create_table(
        "activity",
        sa.Column("id", sa.BigInteger(), autoincrement=True, nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=True),
        sa.Column("provider", sa.Text(), nullable=True),
        sa.Column("event_id", sa.Text(), nullable=True),
        sa.Column("facts", postgresql.JSONB(), nullable=False),
        sa.ForeignKeyConstraint(
            ["message_id"],
            ["message.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_activity_message_id", "activity", ["message_id", "id"], unique=False)
    op.create_index(
        "ux_activity_event",
        "activity",
        ["provider", "event_id"],
        unique=True,
        postgresql_where=sa.text("event_id is not null"),
    )
    op.execute(_APPEND_ONLY)


def downgrade() -> None:
    op.drop_index("ux_activity_event", table_name="activity", postgresql_where=sa.text("event_id is not null"))
    op.drop_index("ix_activity_message_id", table_name="activity")
    op.drop_table("activity")
    op.drop_index("ix_outbox_waiting", table_name="outbox", postgresql_where=sa.text("published_at is null"))
    op.drop_table("outbox")
    op.drop_index("ix_message_tenant", table_name="message")
    op.drop_index("ix_message_waiting", table_name="message")
    op.drop_index("ix_message_status", table_name="message")
    op.drop_index("ix_message_recipient", table_name="message")
    op.drop_index(
        "ix_message_provider", table_name="message", postgresql_where=sa.text("provider_message_id is not null")
    )
    op.drop_index("ix_message_open", table_name="message", postgresql_where=sa.text("status in ('sending', 'unknown')"))
    op.drop_index("ix_message_created_at", table_name="message")
    op.drop_table("message")
    op.drop_index("ix_idempotency_key_made_at", table_name="idempotency_key")
    op.drop_table("idempotency_key")
    op.drop_table("content")
    op.drop_table("quota")
    op.drop_index("ix_batch_tenant", table_name="batch")
    op.drop_table("batch")
    op.drop_table("suppression")
    op.drop_table("quota_use")
    op.drop_index("ix_parked_event_waiting", table_name="parked_event", postgresql_where=sa.text("matched_at is null"))
    op.drop_table("parked_event")
    op.drop_index("ix_hook_waiting", table_name="hook", postgresql_where=sa.text("handled_at is null"))
    op.drop_table("hook")
    op.drop_table("file")
