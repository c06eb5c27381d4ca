"""Held messages: found by batch without a look at the others."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_message_held", "message", ["batch_id"], postgresql_where=sa.text("status = 'held'"))


def downgrade() -> None:
    # The code of before has no such status: what is held waits again, and its batch's sweep orders it.
    op.execute("update message set status = 'queued', reason = null, handed_at = null where status = 'held'")
    op.drop_index("ix_message_held", table_name="message")
