"""The tables of people, their sessions and sign-in links, and of the trail. Secrets are stored as SHA-256 only.

The trail is append-only: a trigger refuses UPDATE and DELETE, as for activities.
"""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from mailroom.adapters.postgres.models import time_column


def _of_person() -> Any:
    return Field(sa_column=Column(ForeignKey("person.id", ondelete="CASCADE"), nullable=False))


class PersonRow(SQLModel, table=True):
    """Someone who may sign in. `tenant` null is an operator; `inboxes` are addresses and patterns.

    `language` and `zone` null: no choice.
    """

    __tablename__ = "person"
    __table_args__ = (
        UniqueConstraint("address", "tenant"),
        Index("ux_person_operator", "address", unique=True, postgresql_where=text("tenant is null")),
        CheckConstraint("(role = 'operator') = (tenant is null)", name="ck_person_tenant"),
        Index("ix_person_tenant", "tenant", "created_at", "id"),
    )

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    address: str = Field(sa_column=Column(Text, nullable=False))
    role: str
    tenant: str | None = Field(default=None, foreign_key="tenant.id")
    inboxes: list[str] = Field(sa_column=Column(JSONB, nullable=False))
    created_at: datetime = time_column()
    added_by: str
    last_seen_at: datetime | None = time_column(nullable=True)
    language: str | None = None
    zone: str | None = None


class PersonSessionRow(SQLModel, table=True):
    """A session in a browser. `idle_s` is how long it lasts without a request, from which `idle_ends_at` follows."""

    __tablename__ = "person_session"
    __table_args__ = (Index("ix_person_session_person", "person_id"),)

    sha256: str = Field(primary_key=True)
    person_id: UUID = _of_person()
    created_at: datetime = time_column()
    last_seen_at: datetime = time_column()
    idle_s: int
    idle_ends_at: datetime = time_column()
    ends_at: datetime = time_column()
    ended_at: datetime | None = time_column(nullable=True)


class SignInLinkRow(SQLModel, table=True):
    """A one-time link. `sha256` is null until its mail is sent; `path` is the page to open then."""

    __tablename__ = "sign_in_link"
    __table_args__ = (UniqueConstraint("sha256"), Index("ix_sign_in_link_person", "person_id", "asked_at"))

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    person_id: UUID = _of_person()
    path: str
    asked_at: datetime = time_column()
    sha256: str | None = Field(default=None, sa_column=Column(Text, nullable=True))
    ends_at: datetime | None = time_column(nullable=True)
    used_at: datetime | None = time_column(nullable=True)


class TrailRow(SQLModel, table=True):
    """What a person or a key saw or did. `who` is an address, a key's name, or `cli`; `of` an id, never content."""

    __tablename__ = "trail"
    __table_args__ = (Index("ix_trail_tenant", "tenant", "at", "id"), Index("ix_trail_at", "at", "id"))

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    at: datetime = time_column()
    what: str
    who: str
    person_id: UUID | None = None
    key_id: UUID | None = None
    tenant: str | None = None
    of: str | None = None
