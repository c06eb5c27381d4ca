"""Counts of messages of the inbound queue that announce no e-mail, in SQL: one row a kind."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection, Engine, select
from sqlalchemy.dialects.postgresql import insert

from mailroom.adapters.postgres.engine import transaction
from mailroom.adapters.postgres.inbound.receiving_models import OtherNoticeRow
from mailroom.adapters.postgres.models import table
from mailroom.domain.inbound.other_notices import OtherNotice

_rows = table(OtherNoticeRow)


class SqlOtherNotices:
    """The port `OtherNotices` on PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def count(self, notices: Mapping[OtherNotice, int], *, now: datetime) -> None:
        """Add these numbers of notices, in the order of their kinds, so that two workers do not deadlock."""
        new = insert(_rows).values(
            [{"kind": kind.value, "notices": notices[kind], "last_at": now} for kind in sorted(notices)]
        )
        values = {"notices": _rows.c.notices + new.excluded.notices, "last_at": new.excluded.last_at}
        if notices:
            with transaction(self._engine) as connection:
                connection.execute(new.on_conflict_do_update(index_elements=["kind"], set_=values))


def counted_notices(connection: Connection) -> dict[str, int]:
    """Return the number of notices of each kind so far."""
    rows = connection.execute(select(_rows.c.kind, _rows.c.notices).order_by(_rows.c.kind))
    return {row.kind: row.notices for row in rows}
