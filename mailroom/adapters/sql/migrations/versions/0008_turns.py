"""Outbound: the places of each provider's rate."""

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
    # Each row changes twice a second, and none of its columns but the key is indexed: the new version fits on the page.
    op.execute("alter table turn set (fillfactor = 40)")


def downgrade() -> None:
    op.drop_table("turn")
