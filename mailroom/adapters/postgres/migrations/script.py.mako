"""${message}."""

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None

# Workers of the last release run on while this migration runs, and after it (docs/adr/0012-schema-fitness.md).
#
# oldest_code: the oldest generation of code (GENERATION in mailroom/adapters/postgres/schema.py) that works on this schema.
#   Keep the number of the migration before where old code goes on: a new table, an index, a column that is nullable or has
#   a default, a wider type. Raise it where old code would fail or write what is wrong: something dropped or renamed, a
#   column without a default, a narrower check. Then it is the generation that stopped using what goes, and that code must
#   have been released before this migration; older workers stop receiving as soon as this has run.
# needed: False only where this version works without it (an index that makes things faster).
oldest_code = None
needed = True


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
