"""The schema's oldest compatible release."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

oldest_code = 1
needed = True


def upgrade() -> None:
    op.create_table(
        "schema_serves",
        sa.Column("single", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("oldest_code", sa.Integer(), nullable=False),
        sa.CheckConstraint("single"),
        sa.PrimaryKeyConstraint("single"),
    )


def downgrade() -> None:
    op.drop_table("schema_serves")
