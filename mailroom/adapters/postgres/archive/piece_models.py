"""The table of what the flow `audit` reads besides deposits: an index of what other rows name, filled from them again if it is lost."""

from datetime import datetime

from sqlalchemy import BigInteger, Column, Index, text
from sqlmodel import Field, SQLModel

from mailroom.adapters.postgres.models import time_column


class ArchivePieceRow(SQLModel, table=True):
    """The copy at a place of a manifest's version, or of a seal's document; `digest` is SHA-256 of a manifest, else SHA-512.

    `size` is about how many bytes are read. `damaged_at` is null while a copy is being repaired.
    """

    __tablename__ = "archive_piece"
    __table_args__ = (
        Index("ix_archive_piece_verified", text("verified_at nulls first")),
        Index("ix_archive_piece_damage", "key", postgresql_where=text("damage is not null")),
    )

    key: str = Field(primary_key=True)
    digest: str = Field(primary_key=True)
    place: str = Field(primary_key=True)
    tenant: str
    size: int = Field(sa_column=Column(BigInteger, nullable=False))
    since: datetime = time_column()
    verified_at: datetime | None = time_column(nullable=True)
    damage: str | None = None
    damaged_at: datetime | None = time_column(nullable=True)
    alarmed_at: datetime | None = time_column(nullable=True)
