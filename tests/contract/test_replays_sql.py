"""Replays and releases on PostgreSQL: each e-mail once, whatever ends in between and two operators begin at the same time."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import Engine

from mailroom.adapters.postgres.inbound.processing import SqlProcessings
from mailroom.domain.errors import PermanentError, TransientError
from mailroom.domain.inbound.filing_policy import Action, FilingPolicy
from mailroom.domain.inbound.received_email import Arrival, Envelope, ObjectRef, State
from mailroom.domain.inbound.replaying import GIVEN_UP_AFTER, ReplayAction, ReplayState
from mailroom.domain.inbound.routing import Address
from mailroom.inbound.replay_preview import preview
from mailroom.inbound.replaying import Replayer
from mailroom.ports.replays import ReplayOrder
from mailroom.ports.runs import Run
from mailroom.testing.runs import MemoryRuns
from tests.support.quarantined_mails import INFECTED, MINUTE, NOW, SPAM, Desk


@pytest.fixture
def desk(engine: Engine) -> Desk:
    return Desk(engine)


def test_what_waits_is_grouped_by_reason_with_what_is_held_for_some(desk: Desk) -> None:
    """A tenant sees what is its own; a mail that was filed for another is counted for the one whose part is held."""
    for number in range(3):
        desk.receives(f"lost{number}", "nobody@nowhere.test", at=NOW - number * MINUTE)
    desk.receives("held", "bob@other.test", verdicts=SPAM)
    desk.receives("part", "anna@acme.test", "bob@other.test", verdicts=SPAM, at=NOW - MINUTE)

    groups, others = desk.replays.groups(None), desk.replays.groups("other")

    assert [(one.reason, one.mails, one.partly) for one in groups] == [("no_route", 3, 0), ("spam", 2, 1)]
    assert (groups[0].oldest, groups[0].newest) == (NOW - 2 * MINUTE, NOW)
    assert [(one.reason, one.mails, one.partly) for one in others] == [("spam", 2, 1)]
    assert desk.replays.groups("acme") == []
    assert [(one.address, one.mails) for one in desk.replays.unrouted(limit=5)] == [("nobody@nowhere.test", 3)]


def test_a_replay_says_what_it_will_touch_and_touches_nothing(desk: Desk) -> None:
    """Items that would be made, processors and webhooks that would run, runs used again; what the policy would hold again."""
    desk.receives("spam", "bob@other.test", verdicts=SPAM)
    for number in range(2):
        desk.receives(f"lost{number}", "New@Other2.test", "bob@other2.test")
    desk.receives("gone", "nobody@nowhere.test")
    before = desk.sql("select count(*) from replay")[0][0], [desk.entry(one) for one in ("spam", "lost0", "gone")]

    all_of_them = preview(desk.replays, desk.book, None, ReplayOrder())
    added = Address("@other2.test", "other", "u", "webhook")
    with_it = preview(desk.replays, desk.book, None, ReplayOrder(recipient="@other2.test"), [added])
    released = preview(desk.replays, desk.book, None, ReplayOrder(action=ReplayAction.RELEASE, reason="spam"))

    assert (all_of_them.selected.mails, all_of_them.selected.reasons) == (4, {"no_route": 3, "spam": 1})
    assert (all_of_them.new_items, all_of_them.no_route, all_of_them.held_again) == (0, 3, 1)
    assert (with_it.selected.mails, with_it.new_items, with_it.webhooks, with_it.no_route) == (2, 4, 2, 0)
    assert (released.selected.mails, released.new_items, released.webhooks, released.held_again) == (1, 1, 1, 0)
    assert before == (0, [desk.entry(one) for one in ("spam", "lost0", "gone")])


def test_each_mail_is_replayed_once_and_ends_by_the_ledger(desk: Desk) -> None:
    """One is filed, one is quarantined again with its reason, one fails; counts are of what happened."""
    for name in ("a", "b"):
        desk.receives(name, f"{name}@new.test")
    desk.adds("a@new.test", "acme")
    replay = desk.begins(reason="no_route")
    desk.works("a", "b")

    assert desk.states(replay) == {"filed": 1, "quarantined": 1}
    assert len(desk.runs.asked) == 2
    [left] = desk.replays.mails(None, replay.id, states=[ReplayState.QUARANTINED], limit=9)
    assert (left.message_id, left.reason) == ("b", "no_route")
    desk.works()
    assert len(desk.runs.asked) == 2


def test_two_operators_at_once_get_each_mail_once(desk: Desk) -> None:
    """Whichever is first; the other's replay says how many were taken by another."""
    for number in range(30):
        desk.receives(f"m{number}", "new@acme.test")
    with ThreadPoolExecutor(4) as operators:
        replays = [one.result() for one in [operators.submit(desk.begins, reason="no_route") for _ in range(4)]]
    with ThreadPoolExecutor(4) as workers:
        list(workers.map(lambda _: [desk.replayer.advance(now=NOW) for _ in range(4)], range(4)))

    assert sum(one.mails for one in replays) == 30
    assert sum(one.elsewhere for one in replays) == 90
    assert sorted(key for _, key in desk.runs.asked) == sorted(f"in/m{number}" for number in range(30))


class Killed(BaseException):
    """The end of a process."""


class Killing(MemoryRuns):
    """Ends the process at the third run: before the request of it, or behind it."""

    def __init__(self, *, behind: bool) -> None:
        super().__init__()
        self.behind, self.left = behind, 3

    def start(self, ref: ObjectRef) -> Run:
        self.left -= 1
        if self.left == 0 and not self.behind:
            raise Killed
        run = super().start(ref)
        if self.left == 0:
            raise Killed
        return run


@pytest.mark.parametrize("behind", [False, True])
def test_a_killed_replay_goes_on_elsewhere_and_does_nothing_twice(desk: Desk, behind: bool) -> None:
    """Killed before or after the request of a run: the rest is done by any other process, and the one again only if needed."""
    for number in range(6):
        desk.receives(f"m{number}", "new@acme.test", at=NOW + number * MINUTE)
        desk.sql("update inbound_email set run_id = gen_random_uuid() where state = 'quarantined' and run_id is null")
    desk.sql("update inbound_email set run_id = null")
    desk.adds("new@acme.test", "acme")
    killing = Killing(behind=behind)
    replay = desk.begins(reason="no_route")
    with pytest.raises(Killed):
        Replayer(desk.replays, desk.ledger, killing, SqlProcessings(desk.engine)).advance(now=NOW)
    # Those whose runs were requested are filed meanwhile.
    done = [key.removeprefix("in/") for _, key in killing.asked]
    for name in done:
        desk.processes(name)

    later = Replayer(desk.replays, desk.ledger, desk.runs, SqlProcessings(desk.engine))
    assert later.advance(now=NOW) == []
    later.advance(now=NOW + timedelta(minutes=6))
    for number in range(6):
        desk.processes(f"m{number}")
    later.advance(now=NOW + timedelta(minutes=6))

    asked = [key for _, key in (*killing.asked, *desk.runs.asked)]
    assert sorted(asked) == [f"in/m{number}" for number in range(6)]
    assert desk.states(replay) == {"filed": 6}
    assert desk.sql("select count(*) from inbox_item")[0][0] == 6


def test_a_run_that_was_requested_by_a_killed_process_is_not_requested_again(desk: Desk) -> None:
    """While no worker has begun it: the run itself says that it is scheduled."""
    entry = desk.receives("m", "new@acme.test")
    run = desk.runs.start(entry.ref)
    desk.sql("update inbound_email set run_id = :run", run=run.id)
    replay = desk.begins(reason="no_route")
    stale = {"stale_before": NOW, "limit": 9}
    desk.replays.take(now=NOW, until=NOW + MINUTE, **stale)
    desk.runs.asked.clear()

    desk.works(now=NOW + 2 * MINUTE)

    assert desk.runs.asked == []
    assert desk.states(replay) == {"requested": 1}


def test_an_outage_waits_and_the_failure_of_one_mail_stops_no_other(desk: Desk) -> None:
    """Prefect away: all wait. One run that is refused for good ends with its reason; the others go on."""
    names = [f"m{number}" for number in range(3)]
    for name in names:
        desk.receives(name, "new@acme.test")
    desk.runs.down = True
    replay = desk.begins(reason="no_route")
    with pytest.raises(TransientError):
        desk.replayer.advance(now=NOW)
    assert desk.states(replay) == {"waiting": 3}

    class Refusing(MemoryRuns):
        def start(self, ref: ObjectRef) -> Run:
            if ref.message_id == "m1":
                raise PermanentError("Prefect refused to run it again")
            if ref.message_id == "m2":
                raise KeyError("unforeseen")
            return super().start(ref)

    Replayer(desk.replays, desk.ledger, Refusing(), SqlProcessings(desk.engine)).advance(now=NOW + MINUTE)

    assert desk.states(replay) == {"requested": 1, "refused": 2}
    reasons = {
        one.message_id: one.reason for one in desk.replays.mails(None, replay.id, states=[ReplayState.REFUSED], limit=9)
    }
    assert reasons.keys() == {"m1", "m2"}
    assert None not in reasons.values()


def test_a_run_that_prefect_cannot_schedule_for_now_delays_no_other(desk: Desk) -> None:
    """The oldest e-mail would otherwise be tried first for ever."""
    for number in range(3):
        desk.receives(f"m{number}", "new@acme.test", at=NOW + number * MINUTE)

    class Failing(MemoryRuns):
        def start(self, ref: ObjectRef) -> Run:
            if ref.message_id == "m0":
                raise TransientError("Prefect did not process the request", status=500)
            return super().start(ref)

    replay = desk.begins(reason="no_route")
    replayer = Replayer(desk.replays, desk.ledger, Failing(), SqlProcessings(desk.engine))
    with pytest.raises(TransientError):
        replayer.advance(now=NOW)
    replayer.advance(now=NOW + timedelta(seconds=5))

    assert desk.states(replay) == {"waiting": 1, "requested": 2}


def test_what_no_worker_begins_can_be_replayed_again_and_is_given_up(desk: Desk) -> None:
    """A run may be deleted in Prefect: its mail must not be caught in a replay for ever."""
    desk.receives("m", "new@acme.test")
    first = desk.begins(reason="no_route")
    desk.works()
    assert desk.begins(reason="no_route").elsewhere == 1

    second = desk.replays.begin(None, ReplayOrder(), by="olga", now=NOW + timedelta(hours=1))
    desk.works(now=NOW + timedelta(hours=1))
    desk.replays.settle(now=NOW + GIVEN_UP_AFTER + timedelta(hours=2))

    assert (desk.states(first), desk.states(second)) == ({"not_begun": 1}, {"not_begun": 1})


def test_a_release_files_for_each_tenant_its_part(desk: Desk) -> None:
    """Filed for one tenant and held for another: the part that was held is shown, and the other stays as it is."""
    desk.receives("part", "anna@acme.test", "bob@other.test", verdicts=SPAM)
    assert desk.shown("part") == {"anna@acme.test": None, "bob@other.test": "spam"}
    # The tenant that has it would hold it back by now.
    desk.sets_policy("acme", spam="quarantine")

    again = desk.begins("other", reason="spam")
    desk.works("part")
    assert (desk.states(again, "other"), desk.shown("part")["bob@other.test"]) == ({"quarantined": 1}, "spam")
    release = desk.begins("other", action=ReplayAction.RELEASE, reason="spam")
    desk.works("part")

    assert desk.states(release, "other") == {"filed": 1}
    assert desk.shown("part") == {"anna@acme.test": None, "bob@other.test": None}
    assert desk.entry("part").state is State.FILED
    assert [one.reason for one in desk.replays.groups(None)] == []
    kinds = [one["kind"] for one in desk.ledger.trace(desk.entry("part").id)["activities"]]
    assert (kinds.count("reopened"), kinds.count("released")) == (2, 1)


def test_what_is_held_of_a_filed_mail_as_too_many_is_filed_by_a_replay(desk: Desk) -> None:
    """As `mailroom replay` always did; by id as well, which was what the API alone could not."""
    for name in ("x", "y"):
        desk.ledger.register(
            Arrival(ObjectRef("mails", f"in/{name}"), Envelope(("bob@other.test",), "loop@s.test", NOW)), now=NOW
        )
        desk.processes(name, limited=True)
    both = Envelope(("anna@acme.test", "bob@other.test"), "loop@s.test", NOW)
    desk.ledger.register(Arrival(ObjectRef("mails", "in/z"), both), now=NOW)
    desk.processes("z", limited=True)
    assert desk.shown("z") == {"anna@acme.test": None, "bob@other.test": "too_many"}

    replay = desk.begins(ids=(desk.entry("z").id,))
    desk.replayer.advance(now=NOW)
    desk.processes("z", limited=True)
    desk.replays.settle(now=NOW)

    assert desk.states(replay) == {"filed": 1}
    assert desk.shown("z") == {"anna@acme.test": None, "bob@other.test": None}


def test_a_virus_and_what_is_not_held_are_not_released(desk: Desk) -> None:
    """A person decides about policies and limits only; a released mail in which a virus is found is stopped."""
    virus = desk.receives("virus", "anna@acme.test", verdicts=INFECTED)
    desk.receives("lost", "nobody@nowhere.test")
    filed = desk.receives("filed", "anna@acme.test")
    ids = (virus.id, desk.entry("lost").id, filed.id)

    by_filter = desk.begins(action=ReplayAction.RELEASE)
    by_ids = desk.begins(action=ReplayAction.RELEASE, ids=ids)
    desk.works()

    assert (by_filter.mails, desk.states(by_ids), desk.runs.asked) == (0, {"skipped": 3}, [])
    desk.sql("update inbound_email set released = '{acme}' where id = :id", id=virus.id)
    assert desk.processes("virus") is State.QUARANTINED


def test_a_tenant_replays_and_releases_its_own_alone(desk: Desk) -> None:
    """By ids too: those of another tenant are as ids that do not exist; it finds its own replays only."""
    mine = desk.receives("mine", "bob@other.test", verdicts=SPAM)
    desk.sets_policy("acme", spam="quarantine")
    theirs = desk.receives("theirs", "anna@acme.test", verdicts=SPAM)
    both = desk.receives("both", "anna@acme.test", "bob@other.test", verdicts=SPAM)

    release = desk.begins("other", action=ReplayAction.RELEASE, ids=(mine.id, theirs.id, both.id, "no id"))
    desk.works("mine", "both")

    assert desk.states(release, "other") == {"filed": 2}
    assert desk.entry("theirs").state is State.QUARANTINED
    assert desk.shown("both") == {"anna@acme.test": "spam", "bob@other.test": None}
    assert desk.replays.find("acme", release.id) is None
    assert desk.replays.recent("acme", limit=9) == []
    assert desk.replays.mails("acme", release.id, states=list(ReplayState), limit=9) == []
    assert desk.replays.find(None, "no id") is None


def test_a_mail_that_a_worker_has_is_left_until_it_has_ended(desk: Desk) -> None:
    """Its attempt may have read the old rules."""
    desk.receives("m", "new@acme.test")
    desk.sql("update inbound_email set state = 'processing', beat_at = :now, worker = 'w'", now=NOW)
    replay = desk.begins(ids=(desk.entry("m").id,))
    desk.replayer.advance(now=NOW)
    assert (desk.states(replay), desk.runs.asked) == ({"waiting": 1}, [])

    # The worker died.
    desk.replayer.advance(now=NOW + timedelta(hours=1))

    assert (desk.states(replay), len(desk.runs.asked)) == ({"requested": 1}, 1)


def test_processors_that_failed_run_again(desk: Desk) -> None:
    """Of a filed mail only these; nothing else of it is touched."""
    entry = desk.receives("m", "bob@other.test")
    SqlProcessings(desk.engine).end(entry.id, "webhook/other", "failed", now=NOW)
    order = ReplayOrder(ids=(entry.id,))
    seen = preview(desk.replays, desk.book, None, order)
    replay = desk.begins(ids=order.ids)
    desk.works()

    assert (seen.webhooks, seen.new_items, seen.items_there) == (1, 0, 1)
    assert (desk.states(replay), len(desk.runs.asked)) == ({"again": 1}, 1)


def test_spam_is_filed_by_a_replay_once_the_policy_files_it(desk: Desk) -> None:
    """To replay is to apply the rules as they are now."""
    desk.receives("m", "bob@other.test", verdicts=SPAM)
    assert preview(desk.replays, desk.book, "other", ReplayOrder()).held_again == 1
    desk.sets_policy("other", spam=Action.FILE.value)
    assert FilingPolicy().spam is Action.FILE

    replay = desk.begins("other")
    desk.works("m")

    assert desk.states(replay, "other") == {"filed": 1}
