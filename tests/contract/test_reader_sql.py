"""The reading side on PostgreSQL alone: metrics that only its tables have, and that an inbox is read by its index."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, event

from mailroom.adapters.postgres.inbox.inbox_reader import SqlInboxReader
from mailroom.adapters.postgres.models import TenantRow
from mailroom.adapters.postgres.operations.roster import SqlRoster
from mailroom.domain.inbound.received_email import State
from mailroom.ports.inbox_reader import WorkerLine
from tests.support.inboxes import NOW, an_email, file, save


@pytest.fixture
def reader(engine: Engine) -> SqlInboxReader:
    """A reader on a database with two tenants, acme and other."""
    save(engine, TenantRow(id="acme", created_at=NOW), TenantRow(id="other", created_at=NOW))
    return SqlInboxReader(engine)


def test_the_census_knows_how_long_filing_took_and_who_works(reader: SqlInboxReader, engine: Engine) -> None:
    """A slow hour shows in the histogram, a paused worker in its own line."""
    for took_s in (0.2, 0.7, 0.9, 40, 100_000):
        email = an_email(State.FILED, route="exact")
        email.closed_at = email.received_at + timedelta(seconds=took_s)
        save(engine, email)
    SqlRoster(engine).heartbeat("one", now=NOW, in_hand=3, paused_by="S3")

    census = reader.census()

    assert census.times.counts == (1, 2, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1)
    assert census.times.sum_s == pytest.approx(100_041.8)
    assert [(tally.route, tally.emails) for tally in census.tallies] == [("exact", 5)]
    assert census.workers == (WorkerLine("one", NOW, 3, "S3"),)


@pytest.mark.parametrize("tenant", ["acme", None])
def test_an_inbox_is_read_along_its_index(reader: SqlInboxReader, engine: Engine, tenant: str | None) -> None:
    """Without it every inbox would be as slow to open as all inboxes together."""
    for minutes in range(3):
        file(engine, "acme", "ann@acme.test", minutes=minutes)
    plans: list[str] = []

    @event.listens_for(engine, "before_cursor_execute")
    def explain(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if "inbox_item" in statement:
            cursor.execute("set local enable_seqscan = off")
            plans.extend(line for (line,) in cursor.execute(f"explain {statement}", parameters).fetchall())

    reader.items(tenant, "ann@acme.test", after=None, limit=9)

    assert any("Index" in line and "ix_inbox_item_recipient" in line for line in plans), plans
