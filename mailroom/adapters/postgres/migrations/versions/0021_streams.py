"""A batch belongs to a stream, and a suppression covers one, all that is not transactional, or all.

The unique constraint keeps its name and gets one more column: an older release names it when it writes, and its rows, which
name no stream, have one scope each. What it writes for an unsubscribe is `not_transactional` by the column's own expression,
as are the unsubscribes that are here already.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

oldest_code = 1
needed = True

_SCOPE = "case when stream <> '' then 'stream:' || stream when reason = 'unsubscribe' then 'not_transactional' else 'all' end"
#: Of several scopes of an address the widest stays.
_ONE_SCOPE = """
delete from suppression using suppression as wider
where wider.address = suppression.address and wider.tenant is not distinct from suppression.tenant
    and wider.scope < suppression.scope
"""


def upgrade() -> None:
    op.add_column("batch", sa.Column("stream", sa.Text(), nullable=True))
    op.add_column("tenant", sa.Column("unsubscribe", postgresql.JSONB(), server_default="{}", nullable=False))
    op.add_column("suppression", sa.Column("stream", sa.Text(), server_default="", nullable=False))
    op.add_column("suppression", sa.Column("scope", sa.Text(), sa.Computed(_SCOPE, persisted=True), nullable=True))
    _unique("address", "tenant", "scope")


def downgrade() -> None:
    op.execute(_ONE_SCOPE)
    _unique("address", "tenant")
    op.drop_column("suppression", "scope")
    op.drop_column("suppression", "stream")
    op.drop_column("tenant", "unsubscribe")
    op.drop_column("batch", "stream")


def _unique(*columns: str) -> None:
    op.drop_constraint("ux_suppression_address", "suppression")
    op.create_unique_constraint(
        "ux_suppression_address", "suppression", list(columns), postgresql_nulls_not_distinct=True
    )
