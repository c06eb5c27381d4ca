"""Pauses of providers' accounts and senders, and rows of the same refusal."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

oldest_code = 1
needed = True


def upgrade() -> None:
    op.create_table(
        "provider_pause",
        sa.Column("identity", sa.Text(), nullable=False),
        sa.Column("sender_domain", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("probes", sa.Integer(), nullable=False),
        sa.Column("probing_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("identity", "sender_domain"),
    )
    op.create_table(
        "same_refusal",
        sa.Column("batch_id", sa.Uuid(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("recipients", sa.Integer(), nullable=False),
        sa.Column("domains", sa.ARRAY(sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("batch_id"),
    )
    op.add_column("breaker", sa.Column("answer", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("breaker", "answer")
    op.drop_table("same_refusal")
    op.drop_table("provider_pause")
