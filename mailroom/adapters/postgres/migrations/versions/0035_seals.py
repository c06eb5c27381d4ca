"""Seals over the archive's journals, their tokens, and what a witness has.

An earlier release beside this one does not know these tables: it makes no seals. Their rows are only inserted.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None

oldest_code = 1
needed = True

_TIME = sa.DateTime(timezone=True)
_TABLES = ("seal", "seal_token", "seal_witness")


def upgrade() -> None:
    op.create_table(
        "seal",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sealed_at", _TIME, nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("peaks", sa.LargeBinary(), nullable=False),
        sa.Column("head", sa.LargeBinary(), nullable=False),
        sa.Column("tokens", ARRAY(sa.BigInteger()), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "stream", "number"),
    )
    op.create_index("ix_seal_sealed_at", "seal", ["tenant", "stream", "sealed_at"])
    op.create_table(
        "seal_token",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("ends_at", _TIME, nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "stream", "number"),
    )
    op.create_table(
        "seal_witness",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column("witness", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "stream", "witness", "number"),
    )
    for table in _TABLES:
        op.execute(
            f"create trigger {table}_kept before update or delete on {table} for each row execute function refuse_change()"
        )
        op.execute(f"create trigger {table}_not_emptied before truncate on {table} execute function refuse_change()")


def downgrade() -> None:
    for table in reversed(_TABLES):
        op.drop_table(table)
