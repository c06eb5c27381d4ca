"""Records of what processors did with e-mails, in SQL."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, delete, exists, func, select, text
from sqlalchemy.dialects.postgresql import insert

from mailroom.adapters.postgres.engine import transaction
from mailroom.adapters.postgres.models import DepositRow, InboundActivityRow, InboundEmailRow, ProcessingRow, table
from mailroom.domain.inbound.received_email import State

_rows, _activities = table(ProcessingRow), table(InboundActivityRow)
_row, _deposit, _email = _rows.c, table(DepositRow).c, table(InboundEmailRow).c

# A literal, so that the partial index on failed rows is used.
_FAILED = text("processing.state = 'failed'")

#: The e-mail came before the database was restored, or its envelope was read back from the archive: its row here may be lost.
_CAME_BACK = text("""
    select coalesce(received_at < (select restored_at from installation), false)
        or exists (select from inbound_activity where email_id = inbound_email.id and kind = 'recalled')
    from inbound_email where id = :email
""")


class SqlProcessings:
    """The port `Processings` on PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def claim(
        self,
        email_id: str,
        processor: str,
        *,
        now: datetime,
        sender: str | None = None,
        once_in: timedelta | None = None,
    ) -> str | None:
        """Record the intent and return None, or return why the processor must not run."""
        values = {"email_id": UUID(email_id), "processor": processor, "state": "begun", "sender": sender, "facts": {}}
        with transaction(self._engine) as connection:
            if sender is not None and once_in is not None:
                # Two mails of one sender at once: the second waits here, and then sees the first.
                connection.execute(
                    select(func.pg_advisory_xact_lock(func.hashtextextended(f"{processor}/{sender}", 0)))
                )
            if connection.execute(select(_row.state).where(_is(email_id, processor))).first():
                return "done_before"
            if sender is not None and once_in is not None and _answered(connection, processor, sender, now - once_in):
                return "too_often"
            if connection.execute(_CAME_BACK, {"email": UUID(email_id)}).scalar_one():
                return "restored"
            made = insert(_rows).values(**values, begun_at=now).on_conflict_do_nothing().returning(_row.state)
            return None if connection.execute(made).first() else "done_before"

    def release(self, email_id: str, processor: str) -> None:
        """Delete the intent."""
        with transaction(self._engine) as connection:
            connection.execute(delete(_rows).where(_is(email_id, processor), _row.state == "begun"))

    def is_done(self, email_id: str, processor: str) -> bool:
        """Return whether the processor has ended well."""
        done = select(exists().where(_is(email_id, processor), _row.state == "done"))
        with transaction(self._engine) as connection:
            return bool(connection.execute(done).scalar_one())

    def end(
        self, email_id: str, processor: str, state: str, *, now: datetime, facts: Mapping[str, Any] | None = None
    ) -> None:
        """Record how the processor ended, also as an activity of the e-mail."""
        fields = dict(facts or {})
        values = {"state": state, "facts": fields, "ended_at": now}
        row = insert(_rows).values(email_id=UUID(email_id), processor=processor, begun_at=now, **values)
        noted = {"processor": processor, "outcome": state} | fields
        with transaction(self._engine) as connection:
            # A concurrent attempt does not overwrite `done`.
            changed = row.on_conflict_do_update(
                index_elements=["email_id", "processor"], set_=values, where=_row.state != "done"
            )
            connection.execute(changed)
            activity = insert(_activities).values(email_id=UUID(email_id), at=now, kind="processed", facts=noted)
            connection.execute(activity)

    def failed(self, email_id: str) -> list[str]:
        """Return the processors that failed for the e-mail and did not succeed since."""
        wanted = select(_row.processor).where(_row.email_id == UUID(email_id), _FAILED).order_by(_row.processor)
        with transaction(self._engine) as connection:
            return list(connection.execute(wanted).scalars())

    def failed_emails(self, processor: str, *, since: datetime | None, limit: int) -> list[str]:
        """Return the ids of filed e-mails that this processor failed on, oldest first."""
        mine = select(_row.email_id).where(_FAILED, func.split_part(_row.processor, "/", 1) == processor)
        wanted = select(_email.id).where(_email.id.in_(mine), _email.state == State.FILED)
        if since is not None:
            wanted = wanted.where(_email.received_at >= since)
        with transaction(self._engine) as connection:
            ids = connection.execute(wanted.order_by(_email.received_at, _email.id).limit(limit)).scalars()
            return [str(email_id) for email_id in ids]

    def kept_before(self, email_id: str, archive_ids: Sequence[str]) -> set[str]:
        """Return which of these deposits were in the archive before the e-mail came."""
        came = select(_email.received_at).where(_email.id == UUID(email_id)).scalar_subquery()
        wanted = select(_deposit.archive_id).where(_deposit.archive_id.in_(archive_ids), _deposit.deposited_at < came)
        with transaction(self._engine) as connection:
            return set(connection.execute(wanted).scalars())


def _is(email_id: str, processor: str) -> Any:
    return (_row.email_id == UUID(email_id)) & (_row.processor == processor)


def _answered(connection: Connection, processor: str, sender: str, since: datetime) -> bool:
    same = (_row.processor == processor) & (_row.sender == sender) & (_row.begun_at > since)
    return connection.execute(select(_row.state).where(same).limit(1)).first() is not None
