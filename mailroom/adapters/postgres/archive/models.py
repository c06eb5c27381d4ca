"""The tables of copies of deposits, of the archive's journals, of retention rules and of legal holds. Times are UTC with zone, digests bytes or lower-case hex.

Triggers refuse what an archive does not do (see migrations 0033 and 0034): journals only grow, retention is never shortened,
rules are only added, and a legal hold is released once.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Column, Computed, DateTime, Index, Integer, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from mailroom.adapters.postgres.models import time_column


class DepositCopyRow(SQLModel, table=True):
    """Where a copy of a deposit is, and its lock; `place` is `first` or `second`. `retain_until` never becomes earlier."""

    __tablename__ = "deposit_copy"
    __table_args__ = (
        Index("ix_deposit_copy_key", "bucket", text('key collate "C"')),
        Index("ix_deposit_copy_verified", "place", text("verified_at nulls first")),
        Index("ix_deposit_copy_damage", "archive_id", postgresql_where=text("damage is not null")),
    )

    archive_id: str = Field(primary_key=True)
    place: str = Field(primary_key=True)
    bucket: str
    key: str
    version: str
    lock_mode: str
    retain_until: datetime = time_column()
    verified_at: datetime | None = time_column(nullable=True)
    #: What the flow `audit` found and could not repair; null: nothing.
    damage: str | None = None
    damaged_at: datetime | None = time_column(nullable=True)
    alarmed_at: datetime | None = time_column(nullable=True)


class ArchivedMailRow(SQLModel, table=True):
    """A version of a tenant's manifest of an e-mail; `sha256` is that of its bytes. Only inserted."""

    __tablename__ = "archived_mail"

    tenant: str = Field(primary_key=True)
    email_id: UUID = Field(primary_key=True)
    key: str = Field(primary_key=True)
    version: str = Field(primary_key=True)
    sha256: str
    rule: str
    archived_at: datetime = time_column()


class RebuildRow(SQLModel, table=True):
    """A rebuild of the database from the archive; `ended_at` null: it was stopped, and may be continued."""

    __tablename__ = "rebuild"

    begun_at: datetime = Field(sa_column=Column(DateTime(timezone=True), primary_key=True))
    ended_at: datetime | None = time_column(nullable=True)
    facts: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSONB, nullable=False))


class JournalRow(SQLModel, table=True):
    """An entry of a tenant's journal `life` or `operations`. Written by the function `journal_append` alone.

    `payload` is canonical JSON, of which `kind` and `subject` are parts. `hash` is
    SHA-256(0x00 | prev | seq | at | payload), seq and at (microseconds since 1970) as 8 bytes, big-endian.
    """

    __tablename__ = "journal"
    __table_args__ = (Index("ix_journal_subject", "subject", "seq"),)

    tenant: str = Field(primary_key=True)
    stream: str = Field(primary_key=True)
    seq: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    at: datetime = time_column()
    payload: str
    prev: bytes
    hash: bytes
    kind: str = Field(sa_column=Column(Text, Computed("(payload::jsonb) ->> 'kind'", persisted=True), nullable=False))
    subject: str | None = Field(sa_column=Column(Text, Computed("(payload::jsonb) ->> 'subject'", persisted=True)))


class JournalHeadRow(SQLModel, table=True):
    """The last entry of a journal; `is_clock_back` while the clock shows an earlier time than the last entry has."""

    __tablename__ = "journal_head"

    tenant: str = Field(primary_key=True)
    stream: str = Field(primary_key=True)
    seq: int = Field(sa_column=Column(BigInteger, nullable=False))
    at: datetime = time_column()
    hash: bytes
    is_clock_back: bool


class RetentionRuleRow(SQLModel, table=True):
    """A version of a retention rule; only inserted. `since` and `by` say when it was added, and who did."""

    __tablename__ = "retention_rule"
    __table_args__ = (
        CheckConstraint("days between 1 and 36500"),
        CheckConstraint("action in ('keep', 'review', 'destroy')"),
    )

    name: str = Field(primary_key=True)
    version: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    trigger: str
    days: int
    action: str
    basis: str
    since: datetime = time_column()
    by: str


class LegalHoldRow(SQLModel, table=True):
    """A legal hold on a deposit or a received e-mail (`subject`); released once, by another person than its author."""

    __tablename__ = "legal_hold"
    __table_args__ = (
        CheckConstraint("released_by <> author", name="released_by_another"),
        CheckConstraint("num_nulls(released_at, released_by, release_reason) in (0, 3)", name="released_whole"),
        Index("ix_legal_hold_active", "subject", postgresql_where=text("released_at is null")),
        Index("ix_legal_hold_tenant", "tenant", text("placed_at desc")),
    )

    id: str = Field(primary_key=True)
    tenant: str
    subject: str
    author: str
    reason: str
    placed_at: datetime = time_column()
    released_at: datetime | None = time_column(nullable=True)
    released_by: str | None
    release_reason: str | None
