"""Inbound: ledger, directory, inbox, archive receipts."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_APPEND_ONLY = """
create function refuse_change() returns trigger language plpgsql as
$$ begin raise exception 'rows of % are never changed', tg_table_name using errcode = 'restrict_violation'; end $$;
create trigger inbound_activity_append_only before update or delete or truncate on inbound_activity
    for each statement execute function refuse_change();
"""


def upgrade() -> None:
    op.create_table(
        "deposit",
        sa.Column("archive_id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("bucket", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("lock_mode", sa.Text(), nullable=False),
        sa.Column("retain_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deposited_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("archive_id"),
    )
    op.create_index("ix_deposit_tenant", "deposit", ["tenant"], unique=False)
    op.create_table(
        "inbound_email",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("bucket", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("envelope", postgresql.JSONB(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("facts", postgresql.JSONB(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=True),
        sa.Column("archive_ids", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("tenants", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("beat_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("bucket", "key", "version"),
    )
    op.create_index("ix_inbound_email_message_id", "inbound_email", ["message_id"], unique=False)
    op.create_index("ix_inbound_email_received_at", "inbound_email", ["received_at"], unique=False)
    op.create_index("ix_inbound_email_run_id", "inbound_email", ["run_id"], unique=False)
    op.create_index("ix_inbound_email_state", "inbound_email", ["state", "received_at"], unique=False)
    op.create_table(
        "tenant",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "address",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("pattern", sa.Text(), nullable=False),
        sa.Column("user_name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant"],
            ["tenant.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("tenant", "pattern"),
    )
    op.create_index("ix_address_pattern", "address", ["pattern"], unique=False)
    op.create_table(
        "api_key",
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant"],
            ["tenant.id"],
        ),
        sa.PrimaryKeyConstraint("sha256"),
    )
    op.create_table(
        "inbound_activity",
        sa.Column("id", sa.BigInteger(), autoincrement=True, nullable=False),
        sa.Column("email_id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("facts", postgresql.JSONB(), nullable=False),
        sa.ForeignKeyConstraint(
            ["email_id"],
            ["inbound_email.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_inbound_activity_email_id", "inbound_activity", ["email_id", "id"], unique=False)
    op.create_table(
        "inbox_item",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("email_id", sa.Uuid(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("recipient", sa.Text(), nullable=False),
        sa.Column("user_name", sa.Text(), nullable=False),
        sa.Column("plus_token", sa.Text(), nullable=True),
        sa.Column("message_id", sa.Text(), nullable=True),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column("from", sa.Text(), nullable=True),
        sa.Column("to", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("cc", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("date", sa.DateTime(timezone=True), nullable=True),
        sa.Column("text", sa.Text(), nullable=True),
        sa.Column("html", sa.Text(), nullable=True),
        sa.Column("defects", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("raw_archive_id", sa.Text(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("filed_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["email_id"],
            ["inbound_email.id"],
        ),
        sa.ForeignKeyConstraint(
            ["raw_archive_id"],
            ["deposit.archive_id"],
        ),
        sa.ForeignKeyConstraint(
            ["tenant"],
            ["tenant.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("email_id", "tenant", "recipient"),
    )
    op.create_index("ix_inbox_item_recipient", "inbox_item", ["tenant", "recipient", "received_at", "id"], unique=False)
    op.create_table(
        "attachment",
        sa.Column("item_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("filename", sa.Text(), nullable=False),
        sa.Column("content_type", sa.Text(), nullable=False),
        sa.Column("detected_type", sa.Text(), nullable=True),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("inline", sa.Boolean(), nullable=False),
        sa.Column("content_id", sa.Text(), nullable=True),
        sa.Column("archive_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["archive_id"],
            ["deposit.archive_id"],
        ),
        sa.ForeignKeyConstraint(
            ["item_id"],
            ["inbox_item.id"],
        ),
        sa.PrimaryKeyConstraint("item_id", "number"),
    )
    op.execute(_APPEND_ONLY)


def downgrade() -> None:
    op.drop_table("attachment")
    op.drop_index("ix_inbox_item_recipient", table_name="inbox_item")
    op.drop_table("inbox_item")
    op.drop_index("ix_inbound_activity_email_id", table_name="inbound_activity")
    op.drop_table("inbound_activity")
    op.drop_table("api_key")
    op.drop_index("ix_address_pattern", table_name="address")
    op.drop_table("address")
    op.drop_table("tenant")
    op.drop_index("ix_inbound_email_state", table_name="inbound_email")
    op.drop_index("ix_inbound_email_run_id", table_name="inbound_email")
    op.drop_index("ix_inbound_email_received_at", table_name="inbound_email")
    op.drop_index("ix_inbound_email_message_id", table_name="inbound_email")
    op.drop_table("inbound_email")
    op.drop_index("ix_deposit_tenant", table_name="deposit")
    op.drop_table("deposit")
    op.execute("drop function refuse_change()")
