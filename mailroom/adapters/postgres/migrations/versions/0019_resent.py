"""Attempts of messages that were sent again: late events of an earlier one find their message and leave the newest alone."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0017"
branch_labels = None
depends_on = None

oldest_code = 1
needed = True


def upgrade() -> None:
    op.create_table(
        "earlier_attempt",
        sa.Column("message_id", sa.Uuid(), sa.ForeignKey("message.id"), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=True),
        sa.Column("provider_message_id", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("resent_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("message_id", "attempt"),
    )
    op.create_index(
        "ix_earlier_attempt_provider_message_id",
        "earlier_attempt",
        ["provider", "provider_message_id"],
        postgresql_where=sa.text("provider_message_id is not null"),
    )


def downgrade() -> None:
    op.drop_table("earlier_attempt")
