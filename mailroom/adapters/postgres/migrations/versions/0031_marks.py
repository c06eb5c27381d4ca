"""Items: who opened one first, who is done with it, and the history of that; indexes of the lists by it.

Mail that is there counts as read and done, by no one: else all of it would be to do after the upgrade. The two times are constant
defaults, so the table is not rewritten; later rows, also those of an earlier release, have null. Each index reads the table once,
while filing waits.
"""

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

oldest_code = 1
needed = True

#: Always true, and in lists of a tenant's inboxes alone: no other query is planned with their indexes.
_OF_TENANT = "coalesce(recipient, tenant) is not null"
_INDEXES = {
    "todo": "done_at is null and withdrawn_at is null",
    "done": "done_at is not null and withdrawn_at is null",
    "unread": "read_at is null and withdrawn_at is null",
}


def upgrade() -> None:
    for name in ("read", "done"):
        at = sa.Column(f"{name}_at", sa.DateTime(timezone=True), nullable=True, server_default=sa.text("now()"))
        op.add_column("inbox_item", at)
        op.alter_column("inbox_item", f"{name}_at", server_default=None)
        op.add_column("inbox_item", sa.Column(f"{name}_by", sa.Text(), nullable=True))
    for name, having in _INDEXES.items():
        of_inbox = ["tenant", "recipient", "received_at", "id"]
        op.create_index(f"ix_inbox_item_{name}", "inbox_item", of_inbox, postgresql_where=sa.text(having))
    of_tenant = ["tenant", "received_at", "id"]
    beside = ["recipient", "withdrawn_at", "read_at", "done_at"]
    op.create_index(
        "ix_inbox_item_newest",
        "inbox_item",
        of_tenant,
        postgresql_include=beside,
        postgresql_where=sa.text(_OF_TENANT),
    )
    op.create_index(
        "ix_inbox_item_newest_todo",
        "inbox_item",
        of_tenant,
        postgresql_include=["recipient", "read_at"],
        postgresql_where=sa.text(f"{_INDEXES['todo']} and {_OF_TENANT}"),
    )
    op.create_table(
        "item_mark",
        sa.Column("id", sa.BigInteger(), primary_key=True, autoincrement=True),
        sa.Column("item_id", sa.Uuid(), sa.ForeignKey("inbox_item.id"), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
    )
    op.create_index("ix_item_mark_item", "item_mark", ["item_id", "id"])


def downgrade() -> None:
    op.drop_table("item_mark")
    for name in (*_INDEXES, "newest", "newest_todo"):
        op.drop_index(f"ix_inbox_item_{name}", table_name="inbox_item")
    for name in ("read", "done"):
        op.drop_column("inbox_item", f"{name}_at")
        op.drop_column("inbox_item", f"{name}_by")
