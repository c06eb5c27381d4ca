"""People, their sessions and sign-in links, and the trail of who saw and did what.

Only new tables: releases before this one know no people and go on beside it (docs/adr/0048-people.md).
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

oldest_code = 1
needed = True


def _time(name: str, *, nullable: bool = False) -> sa.Column[sa.DateTime]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _of_person() -> sa.Column[sa.Uuid]:
    return sa.Column("person_id", sa.Uuid(), sa.ForeignKey("person.id", ondelete="CASCADE"), nullable=False)


def upgrade() -> None:
    op.create_table(
        "person",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), sa.ForeignKey("tenant.id"), nullable=True),
        sa.Column("inboxes", JSONB(), nullable=False),
        _time("created_at"),
        sa.Column("added_by", sa.Text(), nullable=False),
        _time("last_seen_at", nullable=True),
        # The only role without a tenant sees all of them: a row that lost its tenant must not become one.
        sa.CheckConstraint("(role = 'operator') = (tenant is null)", name="ck_person_tenant"),
        # Once in each tenant, and once as an operator: an address that one tenant adds says nothing to another.
        sa.UniqueConstraint("address", "tenant"),
    )
    op.create_index(
        "ux_person_operator", "person", ["address"], unique=True, postgresql_where=sa.text("tenant is null")
    )
    op.create_index("ix_person_tenant", "person", ["tenant", "created_at", "id"])
    op.create_table(
        "person_session",
        sa.Column("sha256", sa.Text(), primary_key=True),
        _of_person(),
        _time("created_at"),
        _time("last_seen_at"),
        sa.Column("idle_s", sa.Integer(), nullable=False),
        _time("idle_ends_at"),
        _time("ends_at"),
        _time("ended_at", nullable=True),
    )
    op.create_index("ix_person_session_person", "person_session", ["person_id"])
    op.create_table(
        "sign_in_link",
        sa.Column("id", sa.Uuid(), primary_key=True),
        _of_person(),
        sa.Column("path", sa.Text(), nullable=False),
        _time("asked_at"),
        sa.Column("sha256", sa.Text(), nullable=True, unique=True),
        _time("ends_at", nullable=True),
        _time("used_at", nullable=True),
    )
    op.create_index("ix_sign_in_link_person", "sign_in_link", ["person_id", "asked_at"])
    op.create_table(
        "trail",
        sa.Column("id", sa.Uuid(), primary_key=True),
        _time("at"),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        # No foreign keys: what a removed person did stays written.
        sa.Column("person_id", sa.Uuid(), nullable=True),
        sa.Column("key_id", sa.Uuid(), nullable=True),
        sa.Column("tenant", sa.Text(), nullable=True),
        sa.Column("of", sa.Text(), nullable=True),
    )
    op.create_index("ix_trail_tenant", "trail", ["tenant", "at", "id"])
    op.create_index("ix_trail_at", "trail", ["at", "id"])
    op.execute(
        "create trigger trail_append_only before update or delete or truncate on trail"
        " for each statement execute function refuse_change()"
    )


def downgrade() -> None:
    for name in ("trail", "sign_in_link", "person_session", "person"):
        op.drop_table(name)
