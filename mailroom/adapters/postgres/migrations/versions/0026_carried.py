"""What an item carries beside its text and files: Reply-To, the thread, protection, reports, invitations, header fields.

Null in the items of older releases, and in those that older code files meanwhile: not known.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

oldest_code = 1
needed = True

_TEXTS = ("plus_tokens", "reply_to", "in_reply_to", "references", "protection")
_VALUES = ("reports", "invitations", "header_fields", "not_carried")


def upgrade() -> None:
    for name in _TEXTS:
        op.add_column("inbox_item", sa.Column(name, ARRAY(sa.Text()), nullable=True))
    op.add_column("inbox_item", sa.Column("automatic_reply", sa.Boolean(), nullable=True))
    for name in _VALUES:
        op.add_column("inbox_item", sa.Column(name, JSONB(none_as_null=True), nullable=True))


def downgrade() -> None:
    for name in (*_TEXTS, "automatic_reply", *_VALUES):
        op.drop_column("inbox_item", name)
