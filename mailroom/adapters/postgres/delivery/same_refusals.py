"""Rows of the same refusal in SQL, one for each batch: they outlive a run, and overlapping rounds count into one."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Connection, delete, select, update
from sqlalchemy.dialects.postgresql import insert

from mailroom.adapters.postgres.models import table
from mailroom.adapters.postgres.outbound.pause_rows import SameRefusalRow
from mailroom.domain.delivery.same_refusals import RefusalRow, SentTo, followed

_rows = table(SameRefusalRow)


def is_counting(connection: Connection, batch_id: UUID) -> bool:
    """Return whether the batch's last answers were a row of refusals."""
    return connection.execute(select(_rows.c.batch_id).where(_rows.c.batch_id == batch_id)).first() is not None


def count(connection: Connection, batch_id: UUID, outcomes: Sequence[SentTo]) -> tuple[RefusalRow, int | None]:
    """Continue the batch's row with these outcomes; see `followed`. A full row is not kept: the next one starts from 0."""
    mine = _rows.c.batch_id == batch_id
    empty = insert(_rows).values(batch_id=batch_id, answer="", recipients=0, domains=[])
    connection.execute(empty.on_conflict_do_nothing())
    stored = connection.execute(select(_rows).where(mine).with_for_update()).one()
    row, full_at = followed(RefusalRow(stored.answer, stored.recipients, tuple(stored.domains)), outcomes)
    if full_at is not None or not row.answer:
        connection.execute(delete(_rows).where(mine))
    else:
        values = {"answer": row.answer, "recipients": row.recipients, "domains": list(row.domains)}
        connection.execute(update(_rows).where(mine).values(**values))
    return row, full_at
