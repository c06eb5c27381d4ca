"""The tables of copies of deposits and of the archive's journals. Times are UTC with zone, digests bytes or lower-case hex.

Triggers refuse what an archive does not do (see migration 0033): journals only grow, and retention is never shortened.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Column, Computed, Index, Text, text
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
