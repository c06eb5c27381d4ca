"""The tables of replays: one row for each, and one for each of its e-mails."""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Column, ForeignKey, Index, text
from sqlmodel import Field, SQLModel

from mailroom.adapters.postgres.models import json_column, time_column
from mailroom.domain.inbound.replaying import ReplayState

#: The states of an e-mail that a replay is not done with, in SQL.
_OPEN = ", ".join(f"'{state.value}'" for state in ReplayState if state.is_open)


class ReplayRow(SQLModel, table=True):
    """A replay of many e-mails; `tenant` null is an operator's, `wanted` says what was selected."""

    __tablename__ = "replay"
    __table_args__ = (Index("ix_replay_created_at", "created_at"),)

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    tenant: str | None = None
    action: str
    wanted: dict[str, Any] = json_column()
    requested_by: str
    created_at: datetime = time_column()
    #: How many more were selected that another replay had then.
    elsewhere: int


class ReplayMailRow(SQLModel, table=True):
    """One e-mail of a replay; an e-mail is open in at most one.

    `attempts` is the ledger's number when it was selected: a larger one means that it was processed since. `due_at` is when
    a waiting one may be taken (again), and when a requested one was requested.
    """

    __tablename__ = "replay_mail"
    __table_args__ = (
        Index(
            "ix_replay_mail_open",
            "email_id",
            unique=True,
            postgresql_where=text(f"state in ({_OPEN})"),
        ),
        Index(
            "ix_replay_mail_waiting", "replay_id", "due_at", "received_at", postgresql_where=text("state = 'waiting'")
        ),
        Index("ix_replay_mail_requested", "replay_id", "due_at", postgresql_where=text("state = 'requested'")),
    )

    replay_id: UUID = Field(sa_column=Column(ForeignKey("replay.id", ondelete="CASCADE"), primary_key=True))
    email_id: UUID = Field(primary_key=True)
    state: str
    reason: str | None = None
    attempts: int
    tries: int = 0
    due_at: datetime = time_column()
    received_at: datetime = time_column()
