"""The tables beside the ledger: notices without e-mails, and the mails of each sender."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Column, Index, LargeBinary, text
from sqlmodel import Field, SQLModel

from mailroom.adapters.postgres.models import time_column


class OtherNoticeRow(SQLModel, table=True):
    """How many notices of one kind were acknowledged, and when the last one was."""

    __tablename__ = "other_notice"

    kind: str = Field(primary_key=True)
    notices: int = Field(sa_column=Column(BigInteger, nullable=False))
    last_at: datetime = time_column()


class SenderMailRow(SQLModel, table=True):
    """One e-mail of one sender for one inbox; `sender` is a digest, `held` whether it exceeded the limit."""

    __tablename__ = "sender_mail"
    __table_args__ = (
        Index("ix_sender_mail_pair", "tenant", "recipient", "sender", "received_at"),
        Index("ix_sender_mail_received_at", "received_at", postgresql_where=text("not held")),
    )

    email_id: UUID = Field(primary_key=True)
    tenant: str = Field(primary_key=True)
    recipient: str = Field(primary_key=True)
    sender: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    received_at: datetime = time_column()
    held: bool
