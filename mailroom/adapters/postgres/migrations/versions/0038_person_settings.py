"""The language and the time zone that a person has chosen for pages and mails.

An earlier release beside this one neither reads nor writes them: its pages are as the browser and the installation say.
"""

import sqlalchemy as sa
from alembic import op

revision = "0038"
down_revision = "0037"
branch_labels = None
depends_on = None

oldest_code = 1
needed = True


def upgrade() -> None:
    op.add_column("person", sa.Column("language", sa.Text(), nullable=True))
    op.add_column("person", sa.Column("zone", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("person", "zone")
    op.drop_column("person", "language")
