"""The tables of suppressions, of tenants' webhooks (endpoints, the events for each, delivery attempts) and of return paths."""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import BigInteger, Column, Computed, ForeignKey, Index, LargeBinary, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import Field, SQLModel

from mailroom.adapters.postgres.models import time_column


def _endpoint(**more: Any) -> Any:
    return Field(sa_column=Column(ForeignKey("endpoint.id", ondelete="CASCADE"), nullable=False, **more))


class EndpointRow(SQLModel, table=True):
    """A tenant's webhook URL; `secret` signs the calls, so it is stored in plain form, not as a digest."""

    __tablename__ = "endpoint"
    __table_args__ = (Index("ix_endpoint_tenant", "tenant"),)

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    tenant: str = Field(foreign_key="tenant.id")
    url: str = Field(sa_column=Column(Text, nullable=False))
    secret: str = Field(sa_column=Column(Text, nullable=False))
    kinds: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    created_at: datetime = time_column()
    tries: int = 0
    failing_since: datetime | None = time_column(nullable=True)
    next_at: datetime = time_column()
    taken_until: datetime | None = time_column(nullable=True)
    disabled_at: datetime | None = time_column(nullable=True)
    reason: str | None = None


class WebhookEventRow(SQLModel, table=True):
    """One activity to be sent to an endpoint, written by a trigger in the activity's transaction."""

    __tablename__ = "endpoint_news"
    __table_args__ = (
        Index("ix_endpoint_news_waiting", "endpoint_id", "activity_id", postgresql_where=text("told_at is null")),
        Index("ix_endpoint_news_told", "told_at", postgresql_where=text("told_at is not null")),
    )

    endpoint_id: UUID = _endpoint(primary_key=True)
    activity_id: int = Field(sa_column=Column(BigInteger, ForeignKey("activity.id"), primary_key=True))
    told_at: datetime | None = time_column(nullable=True)


class AttemptRow(SQLModel, table=True):
    """One POST to an endpoint, with its result."""

    __tablename__ = "endpoint_attempt"
    __table_args__ = (
        Index("ix_endpoint_attempt", "endpoint_id", "id"),
        Index("ix_endpoint_attempt_at", "at"),
    )

    id: int | None = Field(default=None, sa_column=Column(BigInteger, primary_key=True, autoincrement=True))
    endpoint_id: UUID = _endpoint()
    at: datetime = time_column()
    news: int
    first: int = Field(sa_column=Column(BigInteger, nullable=False))
    last: int = Field(sa_column=Column(BigInteger, nullable=False))
    status: int | None = None
    fault: str | None = None


class ReturnPathRow(SQLModel, table=True):
    """The attempt at a message that a return path was made for, by the SHA-256 of its token."""

    __tablename__ = "return_path"
    __table_args__ = (Index("ix_return_path_made_at", "made_at", postgresql_using="brin"),)  # codespell:ignore brin

    digest: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    message_id: UUID
    attempt: int
    made_at: datetime = time_column()


#: What a suppression covers, derived so that an earlier release, which knows no scope, writes the right one.
SUPPRESSION_SCOPE = "case when stream <> '' then 'stream:' || stream when reason = 'unsubscribe' then 'not_transactional' else 'all' end"


class SuppressionRow(SQLModel, table=True):
    """An address that gets no mail from a tenant; `tenant` null: from no tenant."""

    __tablename__ = "suppression"
    __table_args__ = (
        UniqueConstraint(
            "address", "tenant", "scope", name="ux_suppression_address", postgresql_nulls_not_distinct=True
        ),
    )

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    tenant: str | None = None
    address: str
    reason: str
    message_id: UUID | None = None
    since: datetime = time_column()
    expires_at: datetime | None = time_column(nullable=True)
    #: Empty: no stream of its own; `scope` is then by the reason.
    stream: str = Field(default="", sa_column=Column(Text, nullable=False, server_default=""))
    scope: str | None = Field(default=None, sa_column=Column(Text, Computed(SUPPRESSION_SCOPE, persisted=True)))
