"""Tables that triggers fill (migration 0022), so that lists are read from an index: labels of messages, readers of batches."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Column, DateTime, LargeBinary
from sqlmodel import Field, SQLModel


class MessageLabelRow(SQLModel, table=True):
    """A word by which a message is found: 16 bytes of the SHA-256 of `=REFERENCE`, or of `NAME=VALUE` of its metadata."""

    __tablename__ = "message_label"

    tenant: str = Field(primary_key=True)
    label: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    created_at: datetime = Field(sa_column=Column(DateTime(timezone=True), primary_key=True))
    message_id: UUID = Field(primary_key=True)


class EngagementRow(SQLModel, table=True):
    """A message of a batch that a recipient `opened`, `clicked` or `unsubscribed` by, once for each kind."""

    __tablename__ = "engagement"

    batch_id: UUID = Field(primary_key=True)
    kind: str = Field(primary_key=True)
    message_id: UUID = Field(primary_key=True)
