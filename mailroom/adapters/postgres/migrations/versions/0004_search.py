"""Search: the words of each item, and an index of them. Reasons: an index of the few e-mails that have one.

Items that were filed before get theirs from SQL, which keeps accents; filing them again would be the exact way.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_WORDS_OF_OLD_ITEMS = r"""
update inbox_item set words = to_tsvector('simple', regexp_replace(lower(left(concat_ws(' ', subject, "from",
    (select string_agg(filename, ' ' order by number) from attachment where item_id = inbox_item.id),
    coalesce(nullif(text, ''), regexp_replace(left(html, 400000), '<[^<>]*>', ' ', 'g'))), 100000)), '[\W_]+', ' ', 'g'))
"""


def upgrade() -> None:
    op.add_column("inbox_item", sa.Column("words", postgresql.TSVECTOR(), server_default="", nullable=False))
    op.execute(_WORDS_OF_OLD_ITEMS)
    op.create_index("ix_inbox_item_words", "inbox_item", ["words"], unique=False, postgresql_using="gin")
    # With the time of withdrawal, so that inboxes are still counted along it alone.
    op.drop_index("ix_inbox_item_recipient", table_name="inbox_item")
    columns = ["tenant", "recipient", "received_at", "id"]
    op.create_index("ix_inbox_item_recipient", "inbox_item", columns, postgresql_include=["withdrawn_at"])
    op.create_index(
        "ix_inbound_email_reason",
        "inbound_email",
        ["reason", "received_at", "id"],
        unique=False,
        postgresql_where=sa.text("reason is not null"),
    )


def downgrade() -> None:
    op.drop_index("ix_inbound_email_reason", table_name="inbound_email")
    op.drop_index("ix_inbox_item_recipient", table_name="inbox_item")
    op.create_index("ix_inbox_item_recipient", "inbox_item", ["tenant", "recipient", "received_at", "id"])
    op.drop_index("ix_inbox_item_words", table_name="inbox_item", postgresql_using="gin")
    op.drop_column("inbox_item", "words")
