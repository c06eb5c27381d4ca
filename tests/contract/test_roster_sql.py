"""The roster on PostgreSQL: the live workers and their e-mails."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from sqlalchemy import Engine

from mailroom.adapters.postgres.inbound.ledger import SqlLedger
from mailroom.adapters.postgres.operations.monitoring import SqlMonitoring
from mailroom.adapters.postgres.operations.roster import SqlRoster
from mailroom.domain.inbound.received_email import Arrival, ObjectRef, State
from mailroom.ports.ledger import Lease

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)


def test_the_roster_lists_workers_with_their_emails(engine: Engine) -> None:
    """An operator who stops a machine needs its e-mails; closed and released ones belong to no worker."""
    roster, ledger = SqlRoster(engine), SqlLedger(engine)
    for name, minutes in (("one", 0), ("two", 1)):
        roster.heartbeat(name, now=NOW + timedelta(minutes=minutes), in_hand=0, paused_by="S3" if minutes else None)
    claim = Lease("one", NOW)
    for key in "cab":
        ledger.register(Arrival(ObjectRef("in", f"in/{key}")), now=NOW, claim=claim)
    closed = ledger.begin(ObjectRef("in", "in/c"), now=NOW, claim=claim)
    ledger.close(closed.id, State.FILED, now=NOW)

    output = [(one.name, one.started_at, one.paused_by, one.holds) for one in roster.live_workers()]

    assert output == [("one", NOW, None, ("a", "b")), ("two", NOW + timedelta(minutes=1), "S3", ())]


def test_a_run_that_waits_for_its_slot_is_alive_with_its_email(engine: Engine) -> None:
    """Its run is Running from its creation, and the ledger knows it only later; its heartbeat is sent all the same."""
    ledger, watch, runs = SqlLedger(engine), SqlMonitoring(engine), [str(uuid4()) for _ in range(3)]
    for key, at in (("in/a", NOW), ("in/b", NOW - timedelta(hours=1))):
        ledger.register(Arrival(ObjectRef("in", key)), now=at, claim=Lease("one", NOW))

    alive = watch.leased(dict(zip(runs, ("in/a", "in/b", ""), strict=True)), since=NOW - timedelta(minutes=10))

    assert alive == {runs[0]}


def test_the_roster_counts_live_workers(engine: Engine) -> None:
    """They divide a limit by it: each counts once, and a killed one only until its heartbeats are missed."""
    roster = SqlRoster(engine)
    for name, minutes in (("b", 0), ("killed", 0), ("a", 0), ("late", 3)):
        roster.heartbeat(name, now=NOW + timedelta(minutes=minutes), in_hand=0, paused_by=None)
    for name in ("a", "b"):
        roster.heartbeat(name, now=NOW + timedelta(minutes=3), in_hand=0, paused_by="S3")

    numbers = [roster.number(name, since=NOW + timedelta(minutes=1)) for name in ("a", "b", "late", "not signed yet")]

    assert numbers == [(0, 3), (1, 3), (2, 3), (3, 4)]
