"""Receiving: notices of other kinds counted, recipients without a route, mails by sender for the guard against storms."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

oldest_code = 1
needed = True


def upgrade() -> None:
    op.create_table(
        "other_notice",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("notices", sa.BigInteger(), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("kind"),
    )
    # Null: not known, as in rows of earlier releases.
    op.add_column("inbound_email", sa.Column("unrouted", postgresql.ARRAY(sa.Text()), nullable=True))
    op.create_table(
        "sender_mail",
        sa.Column("email_id", sa.Uuid(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("recipient", sa.Text(), nullable=False),
        sa.Column("sender", sa.LargeBinary(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("held", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("email_id", "tenant", "recipient"),
    )
    op.create_index("ix_sender_mail_pair", "sender_mail", ["tenant", "recipient", "sender", "received_at"])
    op.create_index("ix_sender_mail_received_at", "sender_mail", ["received_at"], postgresql_where=sa.text("not held"))


def downgrade() -> None:
    for name in ("sender_mail", "other_notice"):
        op.drop_table(name)
    op.drop_column("inbound_email", "unrouted")
