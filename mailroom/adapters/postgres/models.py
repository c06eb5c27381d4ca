"""The tables of inbound mail, in the order of processing. Times are UTC with zone, sizes bytes, digests lower-case hex.

Activities are append-only: a trigger refuses UPDATE and DELETE (see the first migration).
"""

from datetime import datetime
from typing import Any, cast
from uuid import UUID, uuid4

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TSVECTOR
from sqlmodel import Field, SQLModel


def table(model: type[SQLModel]) -> Table:
    """Return a model's table, whose columns are typed in statements."""
    return cast(Table, model.__table__)  # type: ignore[attr-defined]


def json_column(name: str | None = None, *, nullable: bool = False) -> Any:
    """Return the field of a JSON value; None is stored as SQL's null when `nullable`, never as JSON's."""
    return Field(default=None, sa_column=Column(name, JSONB(none_as_null=nullable), nullable=nullable))


def time_column(*, nullable: bool = False) -> Any:
    """Return the field of a time with zone."""
    return Field(default=None, sa_column=Column(DateTime(timezone=True), nullable=nullable))


class TenantRow(SQLModel, table=True):
    """A customer of this installation; everything a user can see belongs to one.

    `policy` has the parts that differ from the default; `webhook_secret` signs, so it is stored in plain form.
    """

    __tablename__ = "tenant"

    id: str = Field(primary_key=True)
    policy: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSONB, nullable=False))
    webhook_url: str | None = None
    webhook_secret: str | None = None
    created_at: datetime = time_column()
    #: The unsubscribe policy: what differs from the default.
    unsubscribe: dict[str, Any] = Field(
        default_factory=dict, sa_column=Column(JSONB, nullable=False, server_default=text("'{}'"))
    )


class AddressRow(SQLModel, table=True):
    """A receiving address, pattern, domain or prefix rule, with its tenant, user and processor."""

    __tablename__ = "address"
    __table_args__ = (UniqueConstraint("tenant", "pattern"), Index("ix_address_pattern", "pattern"))

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    tenant: str = Field(foreign_key="tenant.id")
    pattern: str
    user_name: str
    processor: str = "inbox"
    created_at: datetime = time_column()


class InboundEmailRow(SQLModel, table=True):
    """The ledger's row for one raw object; `envelope` is null until SES's own notification came."""

    __tablename__ = "inbound_email"
    __table_args__ = (
        UniqueConstraint("bucket", "key", "version"),
        Index("ix_inbound_email_state", "state", "received_at"),
        Index("ix_inbound_email_received_at", "received_at"),
        Index("ix_inbound_email_message_id", "message_id"),
        Index("ix_inbound_email_run_id", "run_id"),
        Index("ix_inbound_email_reason", "reason", "received_at", "id", postgresql_where=text("reason is not null")),
    )

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    bucket: str
    key: str
    version: str = ""
    message_id: str
    envelope: dict[str, Any] | None = json_column(nullable=True)
    state: str
    reason: str | None = None
    facts: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSONB, nullable=False))
    attempts: int = 0
    deaths: int = 0
    run_id: UUID | None = None
    archive_ids: list[str] = Field(default_factory=list, sa_column=Column(ARRAY(Text), nullable=False))
    tenants: list[str] = Field(default_factory=list, sa_column=Column(ARRAY(Text), nullable=False))
    scan: dict[str, Any] | None = json_column(nullable=True)
    route: str | None = None
    #: Recipients without a route, beside others that have one; null where that is not known.
    unrouted: list[str] | None = Field(default=None, sa_column=Column(ARRAY(Text), nullable=True))
    #: Tenants for which a person released it; null: none.
    released: list[str] | None = Field(default=None, sa_column=Column(ARRAY(Text), nullable=True))
    worker: str | None = None
    beat_at: datetime | None = time_column(nullable=True)
    received_at: datetime = time_column()
    closed_at: datetime | None = time_column(nullable=True)


class InboundActivityRow(SQLModel, table=True):
    """One fact about an inbound e-mail, as it happened. Never changed."""

    __tablename__ = "inbound_activity"
    __table_args__ = (Index("ix_inbound_activity_email_id", "email_id", "id"),)

    id: int | None = Field(default=None, sa_column=Column(BigInteger, primary_key=True, autoincrement=True))
    email_id: UUID = Field(sa_column=Column(ForeignKey("inbound_email.id"), nullable=False))
    at: datetime = time_column()
    kind: str
    facts: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSONB, nullable=False))


class WorkerRow(SQLModel, table=True):
    """One running worker, written with each heartbeat; the row is deleted when it stops."""

    __tablename__ = "worker"

    name: str = Field(primary_key=True)
    started_at: datetime = time_column()
    beat_at: datetime = time_column()
    in_hand: int = 0
    paused_by: str | None = None
    held_by: str | None = None


class ReconciliationRow(SQLModel, table=True):
    """One reconciliation: counts and differences by side (`inbound`, `outbound`)."""

    __tablename__ = "reconciliation"

    id: int | None = Field(default=None, sa_column=Column(BigInteger, primary_key=True, autoincrement=True))
    begun_at: datetime = time_column()
    ended_at: datetime = time_column()
    differences: dict[str, int] = Field(sa_column=Column(JSONB, nullable=False))
    counts: dict[str, int] = Field(sa_column=Column(JSONB, nullable=False))


class DepositRow(SQLModel, table=True):
    """The deposit receipt for one content of one tenant.

    `verified_at` is when bytes and lock were last confirmed; null in rows of earlier versions.
    """

    __tablename__ = "deposit"
    __table_args__ = (Index("ix_deposit_key", "bucket", text('key collate "C"')),)

    archive_id: str = Field(primary_key=True)
    tenant: str = Field(index=True)
    sha256: str
    size: int = Field(sa_column=Column(BigInteger, nullable=False))
    bucket: str
    key: str
    version: str
    lock_mode: str
    retain_until: datetime = time_column()
    deposited_at: datetime = time_column()
    verified_at: datetime | None = time_column(nullable=True)
    sha512: str | None = None


class ArchiveFindingRow(SQLModel, table=True):
    """An unknown object in the archive's bucket, or a deposit that differs from its receipt.

    `version` is the wrong one. `kind` and `do` are the check's own words; `seen_at` is when a check last found it. An
    acknowledged finding counts as no difference.
    """

    __tablename__ = "archive_finding"

    bucket: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    version: str = Field(primary_key=True)
    kind: str
    do: str
    found_at: datetime = time_column()
    seen_at: datetime = time_column()
    acknowledged_at: datetime | None = time_column(nullable=True)
    acknowledged_by: str | None = None
    note: str | None = None


class InboxItemRow(SQLModel, table=True):
    """An e-mail in one recipient's inbox. A withdrawn one is kept, with its reason, and not shown. `salt`: docs/archive.md."""

    __tablename__ = "inbox_item"
    __table_args__ = (
        UniqueConstraint("email_id", "tenant", "recipient"),
        Index(
            "ix_inbox_item_recipient",
            "tenant",
            "recipient",
            "received_at",
            "id",
            postgresql_include=["withdrawn_at"],
        ),
        Index("ix_inbox_item_words", "words", postgresql_using="gin"),
        # Its condition is always true, and proved only by a window: no other query is planned with it.
        Index(
            "ix_inbox_item_listed",
            "tenant",
            "recipient",
            text("coalesce(listed_at, filed_at)"),
            "id",
            postgresql_where=text("coalesce(listed_at, filed_at) is not null"),
        ),
        Index("ix_inbox_item_withdrawn", "email_id", postgresql_where=text("withdrawn_at is not null")),
        Index("ix_inbox_item_old_words", "id", postgresql_where=text("words_version < 1")),
        Index(
            "ix_inbox_item_partial",
            "tenant",
            "recipient",
            "partial_id",
            postgresql_where=text("partial_id is not null"),
        ),
        # Lists of one inbox by its marks, and of a tenant's: `coalesce` is always true, and proved by `inbox.lists` alone.
        *(
            Index(f"ix_inbox_item_{name}", "tenant", "recipient", "received_at", "id", postgresql_where=text(having))
            for name, having in {
                "todo": "done_at is null and withdrawn_at is null",
                "done": "done_at is not null and withdrawn_at is null",
                "unread": "read_at is null and withdrawn_at is null",
            }.items()
        ),
        Index(
            "ix_inbox_item_newest",
            "tenant",
            "received_at",
            "id",
            postgresql_include=["recipient", "withdrawn_at", "read_at", "done_at"],
            postgresql_where=text("coalesce(recipient, tenant) is not null"),
        ),
        Index(
            "ix_inbox_item_newest_todo",
            "tenant",
            "received_at",
            "id",
            postgresql_include=["recipient", "read_at"],
            postgresql_where=text(
                "done_at is null and withdrawn_at is null and coalesce(recipient, tenant) is not null"
            ),
        ),
    )

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    email_id: UUID = Field(sa_column=Column(ForeignKey("inbound_email.id"), nullable=False))
    tenant: str = Field(foreign_key="tenant.id")
    recipient: str
    user_name: str
    plus_token: str | None = None
    message_id: str | None = None
    subject: str | None = None
    from_: str | None = Field(default=None, sa_column=Column("from", Text, nullable=True))
    to: list[str] = Field(default_factory=list, sa_column=Column(ARRAY(Text), nullable=False))
    cc: list[str] = Field(default_factory=list, sa_column=Column(ARRAY(Text), nullable=False))
    date: datetime | None = time_column(nullable=True)
    text: str | None = Field(default=None, sa_column=Column(Text, nullable=True))
    html: str | None = Field(default=None, sa_column=Column(Text, nullable=True))
    defects: list[str] = Field(default_factory=list, sa_column=Column(ARRAY(Text), nullable=False))
    left_out: dict[str, Any] | None = Field(default=None, sa_column=Column(JSONB(none_as_null=True), nullable=True))
    raw_archive_id: str = Field(foreign_key="deposit.archive_id")
    received_at: datetime = time_column()
    filed_at: datetime = time_column()
    withdrawn_at: datetime | None = time_column(nullable=True)
    withdrawn_reason: str | None = None
    partial_id: str | None = None
    partial_number: int | None = None
    partial_total: int | None = None
    words: str = Field(default="", sa_column=Column(TSVECTOR, nullable=False, server_default=""))
    # Null where an older release filed the item.
    plus_tokens: list[str] | None = Field(default=None, sa_column=Column(ARRAY(Text), nullable=True))
    reply_to: list[str] | None = Field(default=None, sa_column=Column(ARRAY(Text), nullable=True))
    in_reply_to: list[str] | None = Field(default=None, sa_column=Column(ARRAY(Text), nullable=True))
    references: list[str] | None = Field(default=None, sa_column=Column(ARRAY(Text), nullable=True))
    automatic_reply: bool | None = None
    protection: list[str] | None = Field(default=None, sa_column=Column(ARRAY(Text), nullable=True))
    reports: list[dict[str, Any]] | None = json_column(nullable=True)
    invitations: list[dict[str, Any]] | None = json_column(nullable=True)
    header_fields: list[dict[str, Any]] | None = json_column(nullable=True)
    not_carried: dict[str, int] | None = json_column(nullable=True)
    #: The form of `words` (`inbox.search_index`); 0 in rows of 0.1.0, which the sweep indexes again.
    words_version: int = Field(default=0, sa_column=Column(Integer, nullable=False, server_default="0"))
    #: When it was put into the inbox, by the database's clock; null in rows of 0.1.0.
    listed_at: datetime | None = Field(
        default=None,
        sa_column=Column(DateTime(timezone=True), nullable=True, server_default=func.clock_timestamp()),
    )
    # The names are null for mail from before there were marks, which counts as read and done.
    read_at: datetime | None = time_column(nullable=True)
    read_by: str | None = None
    done_at: datetime | None = time_column(nullable=True)
    done_by: str | None = None
    salt: str | None = None


class ItemMarkRow(SQLModel, table=True):
    """What happened to an item in its inbox, and who did it: a history, of which the item's own columns are the present state."""

    __tablename__ = "item_mark"
    __table_args__ = (Index("ix_item_mark_item", "item_id", "id"),)

    id: int | None = Field(default=None, sa_column=Column(BigInteger, primary_key=True, autoincrement=True))
    item_id: UUID = Field(sa_column=Column(ForeignKey("inbox_item.id"), nullable=False))
    at: datetime = time_column()
    kind: str
    by: str


class AttachmentRow(SQLModel, table=True):
    """One attachment of an inbox item; `number` counts from 1. The bytes are in the archive, once for a tenant."""

    __tablename__ = "attachment"

    item_id: UUID = Field(sa_column=Column(ForeignKey("inbox_item.id"), primary_key=True))
    number: int = Field(primary_key=True)
    filename: str
    content_type: str
    detected_type: str | None = None
    size: int = Field(sa_column=Column(BigInteger, nullable=False))
    sha256: str
    inline: bool
    content_id: str | None = None
    archive_id: str = Field(foreign_key="deposit.archive_id")
    members: list[dict[str, Any]] | None = json_column(nullable=True)


class ProcessingRow(SQLModel, table=True):
    """A processor's work on an e-mail; the row is written before anything is sent, so that nothing is sent twice.

    `sender` is a digest: replies are limited by sender without storing the address.
    """

    __tablename__ = "processing"
    __table_args__ = (
        Index("ix_processing_sender", "processor", "sender", "begun_at"),
        Index("ix_processing_failed", "email_id", postgresql_where=text("state = 'failed'")),
    )

    email_id: UUID = Field(sa_column=Column(ForeignKey("inbound_email.id"), primary_key=True))
    processor: str = Field(primary_key=True)
    state: str
    sender: str | None = None
    facts: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSONB, nullable=False))
    begun_at: datetime = time_column()
    ended_at: datetime | None = time_column(nullable=True)


class ApiKeyRow(SQLModel, table=True):
    """A key to the HTTP API: only its SHA-256 is kept. `tenant` null is an administrator's key.

    `scopes` null is a key from before there were any, which may do everything. Written by `tenants.api_keys`.
    """

    __tablename__ = "api_key"
    __table_args__ = (UniqueConstraint("id", name="uq_api_key_id"),)

    sha256: str = Field(primary_key=True)
    name: str
    tenant: str | None = Field(default=None, foreign_key="tenant.id")
    created_at: datetime = time_column()
    id: UUID = Field(
        default_factory=uuid4, sa_column=Column(Uuid, nullable=False, server_default=text("gen_random_uuid()"))
    )
    scopes: list[str] | None = Field(default=None, sa_column=Column(JSONB(none_as_null=True), nullable=True))
    starts: str | None = None
    made_by: str | None = None
    ends_at: datetime | None = time_column(nullable=True)
    last_used_at: datetime | None = time_column(nullable=True)
    revoked_at: datetime | None = time_column(nullable=True)
    revoked_by: str | None = None
    replaced_by: UUID | None = Field(default=None, sa_column=Column(Uuid, nullable=True))


class InstallationRow(SQLModel, table=True):
    """The installation's identity and counter, by which a restore is recognised; one row, written by `operations.restores`."""

    __tablename__ = "installation"
    __table_args__ = (CheckConstraint("id = 1", name="installation_id_check"),)

    id: int = Field(sa_column=Column(SmallInteger, primary_key=True, autoincrement=False))
    name: UUID | None = Field(default=None, sa_column=Column(Uuid, nullable=True))
    counter: int = Field(sa_column=Column(BigInteger, nullable=False))
    identity: str | None = Field(default=None, sa_column=Column(Text, nullable=True))
    restored_at: datetime | None = time_column(nullable=True)
