"""Recognition of a restore: the installation's name, counter and identity, and the send attempts of each batch."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

oldest_code = 1
needed = True


def upgrade() -> None:
    op.create_table(
        "installation",
        sa.Column("id", sa.SmallInteger(), nullable=False),
        sa.Column("name", sa.Uuid(), nullable=True),
        sa.Column("counter", sa.BigInteger(), nullable=False),
        sa.Column("identity", sa.Text(), nullable=True),
        sa.Column("restored_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.CheckConstraint("id = 1", name="installation_id_check"),
    )
    # Named by the first process that starts: a copy of an empty schema is another installation.
    op.execute("insert into installation (id, counter) values (1, 0)")
    op.create_table(
        "batch_attempts",
        sa.Column("batch_id", sa.Uuid(), nullable=False),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("batch_id"),
    )


def downgrade() -> None:
    op.drop_table("batch_attempts")
    op.drop_table("installation")
