"""Return paths: which attempt at a message the token of an envelope sender was made for."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

oldest_code = 1
needed = True


def upgrade() -> None:
    op.create_table(
        "return_path",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("digest"),
    )
    # Rows come in the order of time: a summary of each block finds the old ones, and costs an insert next to nothing.
    kind = "brin"  # codespell:ignore brin
    op.create_index("ix_return_path_made_at", "return_path", ["made_at"], postgresql_using=kind)


def downgrade() -> None:
    op.drop_table("return_path")
