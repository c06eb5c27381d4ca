"""Members of attachments, and the parts of split mails."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

oldest_code = 1
needed = True


def upgrade() -> None:
    op.add_column("attachment", sa.Column("members", JSONB(none_as_null=True), nullable=True))
    op.add_column("inbox_item", sa.Column("partial_id", sa.Text(), nullable=True))
    op.add_column("inbox_item", sa.Column("partial_number", sa.Integer(), nullable=True))
    op.add_column("inbox_item", sa.Column("partial_total", sa.Integer(), nullable=True))
    op.create_index(
        "ix_inbox_item_partial",
        "inbox_item",
        ["tenant", "recipient", "partial_id"],
        postgresql_where=sa.text("partial_id is not null"),
    )


def downgrade() -> None:
    op.drop_index("ix_inbox_item_partial", table_name="inbox_item")
    op.drop_column("inbox_item", "partial_total")
    op.drop_column("inbox_item", "partial_number")
    op.drop_column("inbox_item", "partial_id")
    op.drop_column("attachment", "members")
