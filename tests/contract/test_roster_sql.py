"""The roster on PostgreSQL: who works, and on what."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine

from mailroom.adapters.sql.ledger import SqlLedger
from mailroom.adapters.sql.roster import SqlRoster
from mailroom.domain.inbound import Arrival, ObjectRef, State
from mailroom.ports import Claim

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)


def test_the_roster_knows_who_has_which_email_in_hand(engine: Engine) -> None:
    """An operator who stops a machine asks what was on it; what is closed or given back is in nobody's hands."""
    roster, ledger = SqlRoster(engine), SqlLedger(engine)
    for name, minutes in (("one", 0), ("two", 1)):
        roster.sign(name, now=NOW + timedelta(minutes=minutes), in_hand=0, paused_by="S3" if minutes else None)
    claim = Claim("one", NOW)
    for key in "cab":
        ledger.register(Arrival(ObjectRef("in", f"in/{key}")), now=NOW, claim=claim)
    closed = ledger.begin(ObjectRef("in", "in/c"), now=NOW, claim=claim)
    ledger.close(closed.id, State.FILED, now=NOW)

    told = [(one.name, one.started_at, one.paused_by, one.holds) for one in roster.on_duty()]

    assert told == [("one", NOW, None, ("a", "b")), ("two", NOW + timedelta(minutes=1), "S3", ())]
