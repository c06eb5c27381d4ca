"""Archive: findings of checks, times of verification, and receipts in the order in which S3 lists keys."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

oldest_code = 1
needed = True


def upgrade() -> None:
    op.add_column("deposit", sa.Column("verified_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index("ix_deposit_key", "deposit", ["bucket", sa.text('key collate "C"')])
    op.create_table(
        "archive_finding",
        sa.Column("bucket", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("do", sa.Text(), nullable=False),
        sa.Column("found_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("acknowledged_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("acknowledged_by", sa.Text(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("bucket", "key", "version"),
    )


def downgrade() -> None:
    op.drop_table("archive_finding")
    op.drop_index("ix_deposit_key", table_name="deposit")
    op.drop_column("deposit", "verified_at")
