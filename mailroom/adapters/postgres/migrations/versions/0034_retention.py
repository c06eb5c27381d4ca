"""The archive's retention rules, by class and in versions, and legal holds.

The first version of the rule of documents has the days of MAILROOM_ARCHIVE_RETENTION_DAYS, if the command has that setting. An
earlier release beside this one keeps to its own setting, and does not know the holds: S3 keeps those.
"""

import os

import sqlalchemy as sa
from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None

oldest_code = 1
needed = True

_TIME = sa.DateTime(timezone=True)
_TEN_YEARS, _MOST = 3650, 36_500

#: Name, final action and legal basis of the first versions.
_FIRST = (
    ("document", "review", "ten years, as French law keeps commercial records (Code de commerce, L123-22)"),
    ("unrouted", "destroy", "no recipient here; kept until an address may have been added"),
    ("virus", "destroy", "infected; kept for the examination"),
    ("quarantined", "destroy", "held back; kept until a person may have released it"),
    ("report", "destroy", "a report of a message of ours; its facts are kept with the message"),
)

# A hold is released once, and nothing else of it changes.
_RELEASED = """
create function refuse_other_than_release() returns trigger language plpgsql as $$
begin
    if old.released_at is not null or new.released_at is null
        or (new.id, new.tenant, new.subject, new.author, new.reason, new.placed_at)
            is distinct from (old.id, old.tenant, old.subject, old.author, old.reason, old.placed_at) then
        raise exception 'a change of legal_hold is refused: a hold is released once' using errcode = '23001';
    end if;
    return new;
end $$
"""


def upgrade() -> None:
    rules = op.create_table(
        "retention_rule",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("trigger", sa.Text(), nullable=False),
        sa.Column("days", sa.Integer(), sa.CheckConstraint(f"days between 1 and {_MOST}"), nullable=False),
        sa.Column("action", sa.Text(), sa.CheckConstraint("action in ('keep', 'review', 'destroy')"), nullable=False),
        sa.Column("basis", sa.Text(), nullable=False),
        sa.Column("since", _TIME, nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", "version"),
    )
    op.create_table(
        "legal_hold",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("placed_at", _TIME, nullable=False),
        sa.Column("released_at", _TIME, nullable=True),
        sa.Column("released_by", sa.Text(), nullable=True),
        sa.Column("release_reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.CheckConstraint("released_by <> author", name="released_by_another"),
        sa.CheckConstraint("num_nulls(released_at, released_by, release_reason) in (0, 3)", name="released_whole"),
    )
    active = sa.text("released_at is null")
    op.create_index("ix_legal_hold_active", "legal_hold", ["subject"], postgresql_where=active)
    op.create_index("ix_legal_hold_tenant", "legal_hold", ["tenant", sa.text("placed_at desc")])
    for name, action, basis in _FIRST:
        days = _document_days() if name == "document" else 30
        values = {"name": name, "version": 1, "trigger": "deposited", "days": days, "action": action, "basis": basis}
        op.execute(sa.insert(rules).values(values | {"since": sa.func.now(), "by": "migration 0034"}))
    op.execute(_RELEASED)
    for table, events in (("retention_rule", "update or delete"), ("legal_hold", "delete")):
        op.execute(
            f"create trigger {table}_kept before {events} on {table} for each row execute function refuse_change()"
        )
        op.execute(f"create trigger {table}_not_emptied before truncate on {table} execute function refuse_change()")
    op.execute(
        "create trigger legal_hold_released before update on legal_hold for each row"
        " execute function refuse_other_than_release()"
    )


def _document_days() -> int:
    days = os.environ.get("MAILROOM_ARCHIVE_RETENTION_DAYS", "")
    return min(int(days), _MOST) if days.isdecimal() and int(days) else _TEN_YEARS


def downgrade() -> None:
    op.drop_table("legal_hold")
    op.drop_table("retention_rule")
    op.execute("drop function refuse_other_than_release()")
