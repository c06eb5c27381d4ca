"""The tables of what stops sending for a while: pauses of providers' accounts, and rows of the same refusal."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Column, Text, Uuid
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import Field, SQLModel

from mailroom.adapters.postgres.models import time_column


class ProviderPauseRow(SQLModel, table=True):
    """A pause of a provider's account; with `sender_domain`, not empty, of that sender at it. Deleted when it ends."""

    __tablename__ = "provider_pause"

    identity: str = Field(primary_key=True)
    sender_domain: str = Field(primary_key=True)
    provider: str
    since: datetime = time_column()
    until: datetime = time_column()
    probes: int
    #: A worker probes until then at most.
    probing_until: datetime | None = time_column(nullable=True)
    reason: str
    code: str


class SameRefusalRow(SQLModel, table=True):
    """How many recipients of a batch, of which domains, were last refused in a row by the same answer."""

    __tablename__ = "same_refusal"

    batch_id: UUID = Field(sa_column=Column(Uuid, primary_key=True))
    answer: str
    recipients: int
    domains: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
