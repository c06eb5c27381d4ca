"""Inbound: process deaths, the route's kind, and the roster of workers."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("inbound_email", sa.Column("deaths", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("inbound_email", sa.Column("route", sa.Text(), nullable=True))
    op.create_table(
        "worker",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("beat_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("in_hand", sa.Integer(), nullable=False),
        sa.Column("paused_by", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("name"),
    )


def downgrade() -> None:
    op.drop_table("worker")
    op.drop_column("inbound_email", "route")
    op.drop_column("inbound_email", "deaths")
