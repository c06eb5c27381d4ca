"""The tables of outbound mail, in the order of processing. A text is stored once for a batch (`content`), and a file once
for a tenant (`file`), so that a batch of 100,000 is narrow rows and one text.

Files are in this database and not in S3: they are stored in one transaction with their batch, submission needs no other
service, and nothing is left behind after a failure. Activities are append-only, as for inbound.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    ForeignKey,
    Index,
    LargeBinary,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlmodel import Field, SQLModel

from mailroom.adapters.postgres.models import json_column, time_column
from mailroom.domain.outbound.message import TROUBLE, UNANSWERED, WAITING, Status


def _is_one_of(statuses: Collection[Status]) -> str:
    """Return the condition in SQL, always written in the same way as in the partial indexes."""
    words = ", ".join(f"'{status}'" for status in Status if status in statuses)
    return f"status in ({words})"


#: May be sent when its time has come. Held messages are not included: a person resumes them.
IS_WAITING = f"{_is_one_of(WAITING)} and handed_at is null"
IS_UNANSWERED, IS_TROUBLE = _is_one_of(UNANSWERED), _is_one_of(TROUBLE)


def _text(*, nullable: bool = True) -> Any:
    return Field(default=None, sa_column=Column(Text, nullable=nullable))


def _batch() -> Any:
    return Field(sa_column=Column(ForeignKey("batch.id"), nullable=False))


class BatchRow(SQLModel, table=True):
    """One request to send. It has no status: its messages have."""

    __tablename__ = "batch"
    __table_args__ = (
        Index("ix_batch_tenant", "tenant", "created_at", "id"),
        Index("ix_batch_stream", "tenant", text("coalesce(stream, lane)"), "created_at", "id"),
    )

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    tenant: str = Field(foreign_key="tenant.id")
    from_: dict[str, Any] = Field(sa_column=Column("from", JSONB, nullable=False))
    lane: str
    policy: str
    send_at: datetime | None = time_column(nullable=True)
    expires_at: datetime | None = time_column(nullable=True)
    metadata_: dict[str, Any] = Field(sa_column=Column("metadata", JSONB, nullable=False))
    track_opens: bool = Field(sa_column=Column(Boolean, nullable=False, server_default=text("false")))
    track_clicks: bool = Field(sa_column=Column(Boolean, nullable=False, server_default=text("false")))
    messages: int
    created_at: datetime = time_column()
    cancelled_at: datetime | None = time_column(nullable=True)
    #: When a run last worked on it.
    worked_at: datetime | None = time_column(nullable=True)
    #: Null in batches of earlier releases: the lane's.
    stream: str | None = _text()


class ContentRow(SQLModel, table=True):
    """The texts of a batch's messages; with `template`, they are filled with each message's data."""

    __tablename__ = "content"

    batch_id: UUID = Field(sa_column=Column(ForeignKey("batch.id"), primary_key=True))
    number: int = Field(primary_key=True)
    subject: str = _text(nullable=False)
    text: str | None = _text()
    html: str | None = _text()
    reply_to: dict[str, Any] | None = json_column(nullable=True)
    headers: list[list[str]] = json_column()
    enclosures: list[dict[str, Any]] = json_column()
    unsubscribe: str | None = _text()
    template: bool = Field(sa_column=Column(Boolean, nullable=False))


class MessageRow(SQLModel, table=True):
    """One mail to one recipient. It is sent only while `handed_at` is null, whatever the status is.

    `recipient` is normalised, for comparison; `to` is written into the header. `due_at` is when a waiting message may
    be sent; `reason` explains the status. Events are matched by `provider` and `provider_message_id`.
    """

    __tablename__ = "message"
    __table_args__ = (
        UniqueConstraint("batch_id", "recipient", "reference"),
        Index("ix_message_status", "batch_id", "status"),
        Index("ix_message_waiting", "batch_id", "number", postgresql_where=text(IS_WAITING)),
        Index("ix_message_recipient", "tenant", "recipient", "created_at", "id"),
        Index("ix_message_tenant", "tenant", "created_at", "id"),
        Index("ix_message_created_at", "created_at", "id"),
        Index(
            "ix_message_provider",
            "provider",
            "provider_message_id",
            postgresql_where=text("provider_message_id is not null"),
        ),
        Index(
            "ix_message_trouble",
            "tenant",
            "handed_at",
            postgresql_where=text(IS_TROUBLE),
        ),
        Index("ix_message_handed_at", "handed_at", postgresql_include=["tenant", "provider"]),
        Index("ix_message_held", "batch_id", postgresql_where=text("status = 'held'")),
        Index("ix_message_open", "status", "handed_at", postgresql_where=text(IS_UNANSWERED)),
    )

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    batch_id: UUID = _batch()
    number: int
    tenant: str
    recipient: str
    to: dict[str, Any] = json_column()
    reference: str = ""
    content: int
    data: dict[str, Any] | None = json_column(nullable=True)
    metadata_: dict[str, Any] | None = json_column("metadata", nullable=True)
    size: int
    status: str
    reason: str | None = None
    due_at: datetime = time_column()
    handed_at: datetime | None = time_column(nullable=True)
    attempts: int = 0
    provider: str | None = None
    provider_message_id: str | None = None
    created_at: datetime = time_column()
    changed_at: datetime = time_column()
    #: A template's, filled with the data of this message; null where the content's subject is the message's.
    subject: str | None = None
    #: The digest of what was sent (`mailroom.outbound.sent_content`).
    sent_sha256: str | None = None


class ActivityRow(SQLModel, table=True):
    """One fact about an outbound message, as it happened. Never changed.

    Our own have no `event_id`; a provider's event has one, and is stored once.
    """

    __tablename__ = "activity"
    __table_args__ = (
        Index("ix_activity_message_id", "message_id", "id"),
        Index("ux_activity_event", "provider", "event_id", unique=True, postgresql_where=text("event_id is not null")),
    )

    id: int | None = Field(default=None, sa_column=Column(BigInteger, primary_key=True, autoincrement=True))
    message_id: UUID = Field(sa_column=Column(ForeignKey("message.id"), nullable=False))
    at: datetime = time_column()
    kind: str
    actor: str | None = None
    provider: str | None = None
    event_id: str | None = None
    facts: dict[str, Any] = json_column()


class EventTallyRow(SQLModel, table=True):
    """How many events of a kind a provider sent: counted when they are stored, because there may be millions."""

    __tablename__ = "event_tally"

    provider: str = Field(primary_key=True)
    kind: str = Field(primary_key=True)
    events: int = Field(sa_column=Column(BigInteger, nullable=False))


class OutboxRow(SQLModel, table=True):
    """An order: a batch has something to send from `due_at` on. Written in one transaction with its messages.

    It is published at once, whenever it is due; null `published_at` means not yet. `begun_at` is when a run first looked at
    its messages.
    """

    __tablename__ = "outbox"
    __table_args__ = (
        Index("ix_outbox_waiting", "id", postgresql_where=text("published_at is null")),
        Index("ix_outbox_open", "batch_id", postgresql_where=text("begun_at is null")),
        Index("ix_outbox_carried", "id", postgresql_where=text("begun_at is null and run_id is not null")),
        Index("ix_outbox_batch", "batch_id", "id"),
    )

    id: int | None = Field(default=None, sa_column=Column(BigInteger, primary_key=True, autoincrement=True))
    batch_id: UUID = _batch()
    due_at: datetime = time_column()
    written_at: datetime = Field(
        sa_column=Column(DateTime(timezone=True), nullable=False, server_default=text("now()"))
    )
    taken_until: datetime | None = time_column(nullable=True)
    published_at: datetime | None = time_column(nullable=True)
    begun_at: datetime | None = time_column(nullable=True)
    #: The flow run of this order; null until a worker has made one.
    run_id: UUID | None = Field(default=None, sa_column=Column(Uuid, nullable=True))


class IdempotencyKeyRow(SQLModel, table=True):
    """A caller's idempotency key, the digest of the request's body, and the response."""

    __tablename__ = "idempotency_key"
    __table_args__ = (Index("ix_idempotency_key_made_at", "made_at"),)

    tenant: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    sha256: str
    batch_id: UUID = _batch()
    answer: dict[str, Any] = json_column()
    made_at: datetime = time_column()


class FileRow(SQLModel, table=True):
    """The bytes of a submitted attachment, once for a tenant."""

    __tablename__ = "file"

    tenant: str = Field(primary_key=True)
    sha256: str = Field(primary_key=True)
    content: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    created_at: datetime = time_column()


class QuotaRow(SQLModel, table=True):
    """What a tenant may send; null is no limit."""

    __tablename__ = "quota"

    tenant: str = Field(foreign_key="tenant.id", primary_key=True)
    hour: int | None = None
    day: int | None = None
    month: int | None = None


class QuotaUseRow(SQLModel, table=True):
    """How many mails a tenant sent in one period."""

    __tablename__ = "quota_use"

    tenant: str = Field(primary_key=True)
    period: str = Field(primary_key=True)
    starts_at: datetime = Field(sa_column=Column(DateTime(timezone=True), primary_key=True))
    used: int


class SenderRow(SQLModel, table=True):
    """An address, or `@domain`, that a tenant sends from; a tenant without any may send from addresses of no other tenant."""

    __tablename__ = "sender"

    pattern: str = Field(primary_key=True)
    tenant: str = Field(foreign_key="tenant.id", primary_key=True)


class ProviderRow(SQLModel, table=True):
    """What a provider allows an account, as a worker last read it."""

    __tablename__ = "provider"

    identity: str = Field(primary_key=True)
    name: str
    per_second: float | None = None
    per_day: int | None = Field(default=None, sa_column=Column(BigInteger))
    sent_today: int | None = Field(default=None, sa_column=Column(BigInteger))
    paused: bool
    max_bytes: int = Field(sa_column=Column(BigInteger, nullable=False))
    told_at: datetime = time_column()


class RateRow(SQLModel, table=True):
    """How many mails a second may be sent through an account, as a worker last read it; 0 is none."""

    __tablename__ = "rate"

    identity: str = Field(primary_key=True)
    provider: str
    per_second: float
    told_at: datetime = time_column()


class PermitRow(SQLModel, table=True):
    """A slot of a provider's rate, its holder, and when it is free again."""

    __tablename__ = "turn"

    identity: str = Field(primary_key=True)
    place: int = Field(primary_key=True)
    free_at: datetime = time_column()
    holder: UUID | None = None


class HookRow(SQLModel, table=True):
    """A verified incoming webhook call, stored before the response; the same call again is the same row."""

    __tablename__ = "hook"
    __table_args__ = (Index("ix_hook_waiting", "received_at", postgresql_where=text("handled_at is null")),)

    source: str = Field(primary_key=True)
    id: str = Field(primary_key=True)
    body: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    facts: dict[str, Any] = json_column()
    received_at: datetime = time_column()
    handled_at: datetime | None = time_column(nullable=True)


class ParkedEventRow(SQLModel, table=True):
    """A delivery event whose message is not known yet, stored until it is matched."""

    __tablename__ = "parked_event"
    __table_args__ = (
        UniqueConstraint("provider", "event_id"),
        Index("ix_parked_event_waiting", "next_at", postgresql_where=text("matched_at is null")),
    )

    id: int | None = Field(default=None, sa_column=Column(BigInteger, primary_key=True, autoincrement=True))
    provider: str
    event_id: str
    provider_message_id: str | None = None
    message_id: UUID | None = None
    event: dict[str, Any] = json_column()
    parked_at: datetime = time_column()
    next_at: datetime = time_column()
    tries: int = 0
    matched_at: datetime | None = time_column(nullable=True)


class BreakerRow(SQLModel, table=True):
    """A circuit breaker that opened for a batch, or with `batch_id` null for a tenant; at most one of each is open."""

    __tablename__ = "breaker"
    __table_args__ = (
        Index(
            "ux_breaker_open",
            "tenant",
            "batch_id",
            unique=True,
            postgresql_nulls_not_distinct=True,
            postgresql_where=text("closed_at is null"),
        ),
        Index("ix_breaker_tenant", "tenant", "batch_id", "opened_at"),
    )

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    tenant: str = Field(foreign_key="tenant.id")
    batch_id: UUID | None = Field(default=None, sa_column=Column(ForeignKey("batch.id"), nullable=True))
    trip: str
    sent: int
    bounced: int
    complained: int
    runs: list[UUID] = Field(sa_column=Column(ARRAY(Uuid), nullable=False))
    opened_at: datetime = time_column()
    closed_at: datetime | None = time_column(nullable=True)
    closed_by: str | None = None
    #: The answer that a row of recipients was refused with.
    answer: str | None = None


class BatchAttemptsRow(SQLModel, table=True):
    """The number of send attempts of a batch, counted beside its messages: rows that were restored alone have fewer."""

    __tablename__ = "batch_attempts"

    batch_id: UUID = Field(sa_column=Column(Uuid, primary_key=True))
    attempts: int = Field(sa_column=Column(BigInteger, nullable=False))
