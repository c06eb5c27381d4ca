"""The tables of seals over journals. Triggers refuse every change of their rows (see migration 0035)."""

from datetime import datetime

from sqlalchemy import BigInteger, Column, Index
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import Field, SQLModel

from mailroom.adapters.postgres.models import time_column


class SealRow(SQLModel, table=True):
    """A seal as it is in the archive. `peaks` and `head` are what the next seal continues from; `tokens` the numbers of the
    seals whose tokens it names."""

    __tablename__ = "seal"
    __table_args__ = (Index("ix_seal_sealed_at", "tenant", "stream", "sealed_at"),)

    tenant: str = Field(primary_key=True)
    stream: str = Field(primary_key=True)
    number: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    size: int = Field(sa_column=Column(BigInteger, nullable=False))
    sealed_at: datetime = time_column()
    document: str
    peaks: bytes
    head: bytes
    tokens: list[int] = Field(sa_column=Column(ARRAY(BigInteger), nullable=False))


class SealTokenRow(SQLModel, table=True):
    """The token of an authority for a seal; `ends_at` is when the authority's certificate ends."""

    __tablename__ = "seal_token"

    tenant: str = Field(primary_key=True)
    stream: str = Field(primary_key=True)
    number: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    at: datetime = time_column()
    ends_at: datetime = time_column()
    document: str


class SealWitnessRow(SQLModel, table=True):
    """A seal that a witness has."""

    __tablename__ = "seal_witness"

    tenant: str = Field(primary_key=True)
    stream: str = Field(primary_key=True)
    witness: str = Field(primary_key=True)
    number: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    at: datetime = time_column()
