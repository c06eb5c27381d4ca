"""API keys: scopes, an end, the last use, who made and revoked them.

A row whose `scopes` is null is a key from before: it keeps all that it could do. Keys that this release limits have a digest
that earlier releases do not find (docs/adr/0047-keys.md).
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

oldest_code = 1
needed = True

_TIMES = ("ends_at", "last_used_at", "revoked_at")
_WORDS = ("starts", "made_by", "revoked_by")


def upgrade() -> None:
    # The default fills the rows that are there, and those that are added by SQL.
    op.add_column("api_key", sa.Column("id", sa.Uuid(), nullable=False, server_default=sa.text("gen_random_uuid()")))
    op.add_column("api_key", sa.Column("scopes", JSONB(), nullable=True))
    for name in _TIMES:
        op.add_column("api_key", sa.Column(name, sa.DateTime(timezone=True), nullable=True))
    for name in _WORDS:
        op.add_column("api_key", sa.Column(name, sa.Text(), nullable=True))
    op.add_column("api_key", sa.Column("replaced_by", sa.Uuid(), nullable=True))
    op.create_unique_constraint("uq_api_key_id", "api_key", ["id"])


def downgrade() -> None:
    op.drop_constraint("uq_api_key_id", "api_key")
    for name in ("id", "scopes", *_TIMES, *_WORDS, "replaced_by"):
        op.drop_column("api_key", name)
