"""Replays of many e-mails, one row for each and each of its e-mails; and the tenants for which a person released an e-mail.

An earlier release beside this one does not know `released`: an e-mail that its worker processes again is held again, and its
release is repeated. The index reads the items once.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

oldest_code = 1
needed = True

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    # Null: none.
    op.add_column("inbound_email", sa.Column("released", postgresql.ARRAY(sa.Text()), nullable=True))
    withdrawn = sa.text("withdrawn_at is not null")
    op.create_index("ix_inbox_item_withdrawn", "inbox_item", ["email_id"], postgresql_where=withdrawn)
    op.create_table(
        "replay",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=True),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("wanted", postgresql.JSONB(), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("elsewhere", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_replay_created_at", "replay", ["created_at"])
    op.create_table(
        "replay_mail",
        sa.Column("replay_id", sa.Uuid(), nullable=False),
        sa.Column("email_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("due_at", _TIME, nullable=False),
        sa.Column("received_at", _TIME, nullable=False),
        sa.ForeignKeyConstraint(["replay_id"], ["replay.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("replay_id", "email_id"),
    )
    is_open = sa.text("state in ('waiting', 'requested')")
    op.create_index("ix_replay_mail_open", "replay_mail", ["email_id"], unique=True, postgresql_where=is_open)
    waits = sa.text("state = 'waiting'")
    of_replay = ["replay_id", "due_at", "received_at"]
    op.create_index("ix_replay_mail_waiting", "replay_mail", of_replay, postgresql_where=waits)
    requested = sa.text("state = 'requested'")
    op.create_index("ix_replay_mail_requested", "replay_mail", ["replay_id", "due_at"], postgresql_where=requested)


def downgrade() -> None:
    op.drop_table("replay_mail")
    op.drop_table("replay")
    op.drop_index("ix_inbox_item_withdrawn", table_name="inbox_item")
    op.drop_column("inbound_email", "released")
