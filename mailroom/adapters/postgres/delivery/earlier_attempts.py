"""Attempts of messages that were sent again, in SQL: what their rows say no longer, and their late events are matched by."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Column, ColumnElement, Connection, ForeignKey, Index, select, text, union_all
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import Row
from sqlmodel import Field, SQLModel

from mailroom.adapters.postgres.models import table, time_column
from mailroom.adapters.postgres.outbound.models import MessageRow
from mailroom.domain.delivery.earlier_attempts import EarlierAttempt


class EarlierAttemptRow(SQLModel, table=True):
    """An attempt of a message that was sent again: `attempt` as the message counted it, `status` when it was given up."""

    __tablename__ = "earlier_attempt"
    __table_args__ = (
        Index(
            "ix_earlier_attempt_provider_message_id",
            "provider",
            "provider_message_id",
            postgresql_where=text("provider_message_id is not null"),
        ),
    )

    message_id: UUID = Field(sa_column=Column(ForeignKey("message.id"), primary_key=True))
    attempt: int = Field(primary_key=True)
    provider: str | None = None
    provider_message_id: str | None = None
    status: str
    resent_at: datetime = time_column()


#: By message.
EarlierAttempts = Mapping[UUID, Sequence[EarlierAttempt]]

_attempts, _messages = table(EarlierAttemptRow), table(MessageRow)
_attempt, _message = _attempts.c, _messages.c


def keep_attempts(connection: Connection, which: ColumnElement[bool], now: datetime) -> None:
    """Keep the attempts of these messages, which are sent again, and lock the messages by id."""
    names = "message_id", "attempt", "provider", "provider_message_id", "status", "resent_at"
    values = _message.id, _message.attempts, _message.provider, _message.provider_message_id, _message.status
    locked = select(*values, text("cast(:now as timestamptz)").bindparams(now=now)).where(which, _message.attempts > 0)
    kept = insert(_attempts).from_select(names, locked.order_by(_message.id).with_for_update())
    connection.execute(kept.on_conflict_do_nothing())


def earlier_attempts(connection: Connection, messages: Iterable[Row[Any]]) -> EarlierAttempts:
    """Return the attempts before the newest of these messages, as they are locked; nearly always there are none."""
    tried = {row.id: row for row in messages if row.attempts > 1 or (row.attempts and row.handed_at is None)}
    found: dict[UUID, list[EarlierAttempt]] = defaultdict(list)
    if not tried:
        return found
    wanted = select(_attempts).where(_attempt.message_id.in_(tried)).order_by(_attempt.message_id, _attempt.attempt)
    for row in connection.execute(wanted):
        message = tried[row.message_id]
        if row.attempt < message.attempts or message.handed_at is None:
            found[row.message_id].append(
                EarlierAttempt(
                    attempt=row.attempt,
                    provider=row.provider,
                    provider_message_id=row.provider_message_id,
                    status=row.status,
                    resent_at=row.resent_at,
                )
            )
    return found


def provider_ids(message: Row[Any], earlier: EarlierAttempts) -> set[tuple[str | None, str | None]]:
    """Return the provider and its id of each attempt of a message, as far as they are known."""
    attempts = [(one.provider, one.provider_message_id) for one in earlier.get(message.id, ())]
    return {key for key in (*attempts, (message.provider, message.provider_message_id)) if key[1]}


def known_as(provider_message_id: str) -> ColumnElement[bool]:
    """Return the condition that a message, in any of its attempts, has this id at its provider."""
    newest = select(_message.id).where(_message.provider_message_id == provider_message_id)
    earlier = select(_attempt.message_id).where(_attempt.provider_message_id == provider_message_id)
    return _message.id.in_(union_all(newest, earlier))
