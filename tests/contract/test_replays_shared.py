"""Replays of several tenants, on PostgreSQL: none waits for another's, decides on another's part, or fills Prefect."""

from datetime import datetime

import pytest
from sqlalchemy import Engine

from mailroom.adapters.postgres.inbound.processing import SqlProcessings
from mailroom.adapters.postgres.inbound.replays import SqlReplays
from mailroom.domain.inbound.received_email import Arrival, Envelope, ObjectRef, State
from mailroom.domain.inbound.replaying import FREE_AFTER, ReplayAction
from mailroom.inbound.replaying import Replayer
from tests.support.quarantined_mails import INFECTED, MINUTE, NOW, SPAM, Desk


@pytest.fixture
def desk(engine: Engine) -> Desk:
    return Desk(engine)


def test_tenants_take_turns(desk: Desk) -> None:
    """Some e-mails of one tenant do not wait until thousands of another are requested; nor does one replay for another's."""
    for number in range(30):
        desk.receives(f"many{number}", "bob@other.test", verdicts=SPAM, at=NOW - number * MINUTE)
    desk.sets_policy("acme", spam="quarantine")
    desk.receives("few", "anna@acme.test", verdicts=SPAM)
    desk.receives("lost", "nobody@nowhere.test")
    many, few, lost = desk.begins("other"), desk.begins("acme"), desk.begins(reason="no_route")

    desk.replayer.advance(now=NOW, limit=5)

    assert desk.states(many, "other") == {"requested": 3, "waiting": 27}
    assert (desk.states(few, "acme"), desk.states(lost)) == ({"requested": 1}, {"requested": 1})
    assert len(desk.replayer.advance(now=NOW, replay_id=many.id, limit=5)) == 5
    desk.works()
    assert len(desk.runs.asked) == 32


@pytest.mark.parametrize("action", ReplayAction)
@pytest.mark.parametrize("whole", [True, False])
def test_what_the_limit_holds_for_another_tenant_stays_held(desk: Desk, action: ReplayAction, whole: bool) -> None:
    """A tenant decides on its own part alone, of a mail that is held for all as well; an operator on all parts."""
    both = ("anna@acme.test", "bob@other.test")
    for name, to in (("x", both), ("y", both if whole else both[1:]), ("z", both)):
        desk.ledger.register(Arrival(ObjectRef("mails", f"in/{name}"), Envelope(to, "loop@s.test", NOW)), now=NOW)
        desk.processes(name, limited=True)
    assert (desk.entry("z").state is State.QUARANTINED) is whole
    tenant = "acme" if whole else "other"

    replay = desk.begins(tenant, action=action, ids=(desk.entry("z").id,))
    desk.replayer.advance(now=NOW)
    desk.processes("z", limited=True)
    desk.processes("z", limited=True)
    desk.replays.settle(now=NOW)

    assert desk.states(replay, tenant) == {"filed": 1}
    assert desk.shown("z") == {"anna@acme.test": None, "bob@other.test": "too_many" if whole else None}
    desk.begins(ids=(desk.entry("z").id,))
    desk.replayer.advance(now=NOW)
    desk.processes("z", limited=True)
    assert desk.shown("z") == {"anna@acme.test": None, "bob@other.test": None}


def test_a_limit_stays_where_a_tenant_replays_what_is_held_for_another_reason(desk: Desk) -> None:
    """The first tenant's policy, the other's limit: the replay of the first concerns its policy."""
    desk.sets_policy("acme", spam="quarantine")
    desk.sets_policy("other", spam="file")
    for name, to in (("x", "bob@other.test"), ("y", "bob@other.test")):
        desk.ledger.register(Arrival(ObjectRef("mails", f"in/{name}"), Envelope((to,), "loop@s.test", NOW)), now=NOW)
        desk.processes(name, limited=True)
    envelope = Envelope(("anna@acme.test", "bob@other.test"), "loop@s.test", NOW, SPAM)
    desk.ledger.register(Arrival(ObjectRef("mails", "in/z"), envelope), now=NOW)
    assert desk.processes("z", limited=True) is State.QUARANTINED
    desk.sets_policy("acme", spam="file")

    desk.begins("acme", ids=(desk.entry("z").id,))
    desk.replayer.advance(now=NOW)
    desk.processes("z", limited=True)

    assert desk.shown("z") == {"anna@acme.test": None, "bob@other.test": "too_many"}


def test_nothing_is_written_of_a_release_that_does_nothing(desk: Desk) -> None:
    """Else a virus found by mistake would later be filed past a policy that nobody looked at."""
    virus = desk.receives("virus", "bob@other.test", verdicts=INFECTED)
    lost = desk.receives("lost", "nobody@nowhere.test")

    desk.begins(action=ReplayAction.RELEASE, ids=(virus.id, lost.id))
    desk.works()

    assert desk.sql("select count(*) from inbound_email where released is not null")[0][0] == 0
    for one in (virus, lost):
        assert "released" not in [note["kind"] for note in desk.ledger.trace(one.id)["activities"]]


def test_a_tenants_replay_runs_no_processor_of_another(desk: Desk) -> None:
    """Its own part is filed in full: nothing is to be done."""
    entry = desk.receives("m", "anna@acme.test", "bob@other.test")
    SqlProcessings(desk.engine).end(entry.id, "webhook/other", "failed", now=NOW)

    replay = desk.begins("acme", ids=(entry.id,))
    desk.works()

    assert (desk.states(replay, "acme"), desk.runs.asked) == ({"skipped": 1}, [])


def test_few_are_requested_ahead_of_the_workers(desk: Desk) -> None:
    """Thousands of runs that wait in Prefect would delay those of others; what no worker begins stops nothing for ever."""
    for number in range(5):
        desk.receives(f"m{number}", "new@acme.test", at=NOW + number * MINUTE)
    replays = SqlReplays(desk.engine, ahead=2)
    replayer = Replayer(replays, desk.ledger, desk.runs, SqlProcessings(desk.engine))
    replay = desk.begins(reason="no_route")

    def advanced(at: datetime) -> int:
        return sum(len(replayer.advance(now=at, limit=1)) for _ in range(4))

    assert advanced(NOW) == 2
    desk.processes("m0")
    assert advanced(NOW) == 1
    assert advanced(NOW + FREE_AFTER + MINUTE) == 2
    assert desk.states(replay) == {"quarantined": 1, "requested": 4}
