"""Outbound: batches with tracking of opens and clicks, and webhook endpoints of tenants for events of their messages."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

#: In the transaction of the activity; for each statement, so that hundreds of events cost one more. An endpoint that is
#: removed meanwhile is left out, without failing the transaction.
_TELL = """
    create function tell_endpoints() returns trigger language plpgsql as $$
    begin
        if exists (select from endpoint) then
            insert into endpoint_news (endpoint_id, activity_id)
            select endpoint.id, fresh.id
            from fresh join message on message.id = fresh.message_id
                join endpoint on endpoint.tenant = message.tenant
            where fresh.kind = any(endpoint.kinds)
            order by endpoint.id, fresh.id
            for key share of endpoint;
        end if;
        return null;
    end
    $$;
    create trigger activity_told after insert on activity
        referencing new table as fresh for each statement execute function tell_endpoints();
"""


def _time(name: str, *, nullable: bool = False) -> sa.Column:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _of_endpoint() -> sa.Column:
    return sa.Column("endpoint_id", sa.Uuid(), sa.ForeignKey("endpoint.id", ondelete="CASCADE"), nullable=False)


def upgrade() -> None:
    for name in ("track_opens", "track_clicks"):
        op.add_column("batch", sa.Column(name, sa.Boolean(), nullable=False, server_default=sa.text("false")))
    op.create_table(
        "endpoint",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("tenant", sa.Text(), sa.ForeignKey("tenant.id"), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("kinds", postgresql.ARRAY(sa.Text()), nullable=False),
        _time("created_at"),
        sa.Column("tries", sa.Integer(), nullable=False, server_default="0"),
        _time("failing_since", nullable=True),
        _time("next_at"),
        _time("taken_until", nullable=True),
        _time("disabled_at", nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
    )
    op.create_index("ix_endpoint_tenant", "endpoint", ["tenant"])
    op.create_table(
        "endpoint_news",
        _of_endpoint(),
        sa.Column("activity_id", sa.BigInteger(), sa.ForeignKey("activity.id"), nullable=False),
        _time("told_at", nullable=True),
        sa.PrimaryKeyConstraint("endpoint_id", "activity_id"),
    )
    op.create_index(
        "ix_endpoint_news_waiting",
        "endpoint_news",
        ["endpoint_id", "activity_id"],
        postgresql_where=sa.text("told_at is null"),
    )
    op.create_index(
        "ix_endpoint_news_told", "endpoint_news", ["told_at"], postgresql_where=sa.text("told_at is not null")
    )
    op.create_table(
        "endpoint_attempt",
        sa.Column("id", sa.BigInteger(), primary_key=True, autoincrement=True),
        _of_endpoint(),
        _time("at"),
        sa.Column("news", sa.Integer(), nullable=False),
        sa.Column("first", sa.BigInteger(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("fault", sa.Text(), nullable=True),
    )
    op.create_index("ix_endpoint_attempt", "endpoint_attempt", ["endpoint_id", "id"])
    op.create_index("ix_endpoint_attempt_at", "endpoint_attempt", ["at"])
    op.execute(_TELL)


def downgrade() -> None:
    op.execute("drop trigger activity_told on activity; drop function tell_endpoints()")
    for name in ("endpoint_attempt", "endpoint_news", "endpoint"):
        op.drop_table(name)
    op.drop_column("batch", "track_clicks")
    op.drop_column("batch", "track_opens")
