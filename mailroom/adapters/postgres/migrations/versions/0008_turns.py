"""Outbound: rate permits by provider, and when a run last worked on a batch."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "turn",
        sa.Column("identity", sa.Text(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("free_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("holder", sa.Uuid(), nullable=True),
        sa.PrimaryKeyConstraint("identity", "place"),
    )
    op.add_column("batch", sa.Column("worked_at", sa.DateTime(timezone=True), nullable=True))
    # Each row changes twice a second, and none of its columns but the key is indexed: the new version fits on the page.
    op.execute("alter table turn set (fillfactor = 40)")


def downgrade() -> None:
    op.drop_column("batch", "worked_at")
    op.drop_table("turn")
