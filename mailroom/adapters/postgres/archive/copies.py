"""The copies of a deposit in SQL, by place."""

from collections.abc import Sequence

from sqlalchemy import Engine, select

from mailroom.adapters.postgres.archive.models import DepositCopyRow
from mailroom.adapters.postgres.archive.receipts import Copy
from mailroom.adapters.postgres.engine import transaction
from mailroom.adapters.postgres.models import table

_copies = table(DepositCopyRow)


def copies_of(engine: Engine, archive_ids: Sequence[str]) -> dict[str, dict[str, Copy]]:
    """Return where the copies of these deposits are, by archive id and place."""
    wanted = select(_copies).where(_copies.c.archive_id.in_(archive_ids)).order_by(_copies.c.place)
    found: dict[str, dict[str, Copy]] = {}
    with transaction(engine) as connection:
        for row in connection.execute(wanted):
            found.setdefault(row.archive_id, {})[row.place] = Copy(*(getattr(row, name) for name in Copy.__slots__))
    return found
