"""Held messages: an index by batch."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

oldest_code = 1
needed = True


def upgrade() -> None:
    op.create_index("ix_message_held", "message", ["batch_id"], postgresql_where=sa.text("status = 'held'"))


def downgrade() -> None:
    # Earlier code has no such status and would send waiting messages: undecided ones are cancelled.
    op.execute("update message set status = 'cancelled' where status = 'held'")
    op.execute(
        "insert into activity (message_id, at, kind, facts) select id, now(), 'cancelled', '{}' from message"
        " where status = 'cancelled' and reason in ('restored', 'run_gone')"
    )
    op.drop_index("ix_message_held", table_name="message")
