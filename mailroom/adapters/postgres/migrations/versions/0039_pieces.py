"""When the flow `audit` last read each copy of a manifest, and of the documents of a seal, and what was wrong with it.

An earlier release beside this one does not know the table, and reads deposits alone.
"""

import sqlalchemy as sa
from alembic import op

revision = "0039"
down_revision = "0038"
branch_labels = None
depends_on = None

oldest_code = 1
needed = True

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "archive_piece",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("since", _TIME, nullable=False),
        sa.Column("verified_at", _TIME, nullable=True),
        sa.Column("damage", sa.Text(), nullable=True),
        sa.Column("damaged_at", _TIME, nullable=True),
        sa.Column("alarmed_at", _TIME, nullable=True),
        sa.PrimaryKeyConstraint("key", "digest", "place"),
    )
    op.create_index("ix_archive_piece_verified", "archive_piece", [sa.text("verified_at nulls first")])
    damaged = sa.text("damage is not null")
    op.create_index("ix_archive_piece_damage", "archive_piece", ["key"], postgresql_where=damaged)


def downgrade() -> None:
    op.drop_table("archive_piece")
