"""What the flow `audit` found of each copy of a deposit: the kind of damage, since when, and when it was last reported.

An earlier release beside this one does not know them, and audits nothing.
"""

import sqlalchemy as sa
from alembic import op

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None

oldest_code = 1
needed = True

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("deposit_copy", sa.Column("damage", sa.Text(), nullable=True))
    op.add_column("deposit_copy", sa.Column("damaged_at", _TIME, nullable=True))
    op.add_column("deposit_copy", sa.Column("alarmed_at", _TIME, nullable=True))
    damaged = sa.text("damage is not null")
    op.create_index("ix_deposit_copy_damage", "deposit_copy", ["archive_id"], postgresql_where=damaged)


def downgrade() -> None:
    op.drop_index("ix_deposit_copy_damage", "deposit_copy")
    for column in ("damage", "damaged_at", "alarmed_at"):
        op.drop_column("deposit_copy", column)
