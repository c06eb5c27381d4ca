"""Items: the form of their words, so that older ones are indexed again by the sweep, and when they were put into the inbox.

Both columns are added without rewriting the table; the default of `listed_at` comes after it, so that rows that are there keep
null and those of an older release get the time. The two indexes read the table once each; filing and reading wait for that,
because the columns are added in the same transaction.
"""

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

oldest_code = 1
needed = True


def upgrade() -> None:
    op.add_column("inbox_item", sa.Column("words_version", sa.Integer(), server_default="0", nullable=False))
    op.add_column("inbox_item", sa.Column("listed_at", sa.DateTime(timezone=True), nullable=True))
    op.alter_column("inbox_item", "listed_at", server_default=sa.text("clock_timestamp()"))
    listed = ["tenant", "recipient", sa.text("coalesce(listed_at, filed_at)"), "id"]
    # The condition is always true, and proved only by a window: no other query is planned with this index.
    always = sa.text("coalesce(listed_at, filed_at) is not null")
    op.create_index("ix_inbox_item_listed", "inbox_item", listed, postgresql_where=always)
    op.create_index("ix_inbox_item_old_words", "inbox_item", ["id"], postgresql_where=sa.text("words_version < 1"))


def downgrade() -> None:
    op.drop_index("ix_inbox_item_old_words", table_name="inbox_item")
    op.drop_index("ix_inbox_item_listed", table_name="inbox_item")
    op.drop_column("inbox_item", "listed_at")
    op.drop_column("inbox_item", "words_version")
