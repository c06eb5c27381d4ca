"""The ledger on PostgreSQL: one line for an e-mail, from any source and however often it is announced."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from mailroom.adapters.postgres.inbound.ledger import SqlLedger
from mailroom.adapters.postgres.inbox.filing import SqlInbox
from mailroom.domain.errors import Reason, TakenOver
from mailroom.domain.inbound.received_email import Arrival, Entry, Envelope, ObjectRef, State
from mailroom.domain.inbound.routing import Route
from mailroom.domain.inbound.verdicts import Verdict, Verdicts
from mailroom.ports.ledger import Lease
from tests.support.tampering import tampering

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
REF = ObjectRef("inbound", "in/abc123")
RUN, OTHER_RUN = (f"0190a1b2-0000-7000-8000-00000000000{number}" for number in (1, 2))
ENVELOPE = Envelope(
    recipients=("anna@acme.test",),
    sender="scanner@office.test",
    received_at=NOW - timedelta(seconds=2),
    verdicts=Verdicts(Verdict.PASS, Verdict.PASS, Verdict.GRAY, Verdict.PASS, Verdict.FAIL, dmarc_policy="reject"),
)


@pytest.fixture
def ledger(engine: Engine) -> SqlLedger:
    return SqlLedger(engine)


def registered(ledger: SqlLedger, claim: Lease | None = None, arrival: Arrival | None = None) -> Entry:
    entry = ledger.register(arrival or Arrival(REF, ENVELOPE), now=NOW, claim=claim)
    assert entry is not None
    return entry


def kinds(ledger: SqlLedger, email_id: str) -> list[str]:
    return [activity["kind"] for activity in ledger.trace(email_id)["activities"]]


def test_two_notices_of_one_object_are_one_email(ledger: SqlLedger) -> None:
    """S3 and SES both announce each mail; the second adds what the first could not know."""
    first = registered(ledger, arrival=Arrival(REF))
    second = registered(ledger)

    assert second.id == first.id
    assert first.envelope is None
    assert second.envelope == ENVELOPE
    assert kinds(ledger, first.id) == ["received", "notified"]


def test_a_thousand_notices_of_one_object_are_one_email(ledger: SqlLedger) -> None:
    """A misbehaving queue, or a replay by hand: one line, and one history entry for its arrival."""
    with ThreadPoolExecutor(8) as pool:
        ids = {entry.id for entry in pool.map(lambda _: registered(ledger), range(1000))}

    assert len(ids) == 1
    assert kinds(ledger, ids.pop()) == ["received"]


def test_a_later_version_id_completes_the_line_and_another_is_another_email(ledger: SqlLedger) -> None:
    """SES's notification names no version. An object written over an older one must not hide behind its line."""
    from_ses = registered(ledger)

    from_s3 = registered(ledger, arrival=Arrival(replace(REF, version="v1")))
    overwritten = registered(ledger, arrival=Arrival(replace(REF, version="v2")))

    assert from_s3.id == from_ses.id
    assert from_s3.ref.version == "v1"
    assert overwritten.id != from_ses.id


def test_registering_at_once_from_many_workers_makes_one_line(ledger: SqlLedger) -> None:
    """At-least-once delivery gives one message to several workers at the same moment."""
    arrivals = [Arrival(REF), Arrival(REF, ENVELOPE)] * 8

    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(lambda arrival: registered(ledger, arrival=arrival).id, arrivals))

    assert len(ids) == 1


def test_an_email_with_a_valid_lease_cannot_be_claimed(ledger: SqlLedger) -> None:
    """A redelivered message must not make two workers run one mail; a dead worker must not hold it for ever."""
    notice, stale = Arrival(REF, ENVELOPE), NOW - timedelta(seconds=45)

    assert ledger.register(notice, now=NOW, claim=Lease("one", stale))
    assert ledger.register(notice, now=NOW, claim=Lease("one", stale))
    assert ledger.register(notice, now=NOW, claim=Lease("two", stale)) is None
    assert ledger.register(notice, now=NOW, claim=Lease("two", NOW + timedelta(seconds=1)))


def test_a_heartbeat_extends_the_lease_of_its_worker_only(ledger: SqlLedger) -> None:
    """A worker that was thought dead and comes back must not take its mail from the one that has it now."""
    entry = registered(ledger, Lease("one", NOW))

    ledger.heartbeat([entry.id], worker="two", now=NOW + timedelta(minutes=5))
    assert ledger.register(Arrival(REF), now=NOW, claim=Lease("two", NOW + timedelta(seconds=1)))
    ledger.heartbeat([entry.id], worker="two", now=NOW + timedelta(minutes=5))

    assert ledger.register(Arrival(REF), now=NOW, claim=Lease("one", NOW + timedelta(minutes=4))) is None


def test_a_released_email_can_be_taken_at_once(ledger: SqlLedger) -> None:
    """A worker that stops releases its mail; the next one must not wait until the lease expires."""
    entry = registered(ledger, Lease("one", NOW))

    ledger.release(entry.id, worker="two")
    assert ledger.register(Arrival(REF), now=NOW, claim=Lease("two", NOW - timedelta(hours=1))) is None
    ledger.release(entry.id, worker="one")

    assert ledger.register(Arrival(REF), now=NOW, claim=Lease("two", NOW - timedelta(hours=1)))


def test_a_run_leases_its_email_however_it_was_started(ledger: SqlLedger) -> None:
    """Retry, Quick run and replay come through the pool, without the listener's lease; a redelivery must find theirs."""
    stale = NOW - timedelta(seconds=45)
    ledger.begin(REF, now=NOW, claim=Lease("one", stale))

    assert ledger.register(Arrival(REF), now=NOW, claim=Lease("two", stale)) is None
    with pytest.raises(TakenOver):
        ledger.begin(REF, now=NOW, claim=Lease("two", stale))


def test_two_runs_in_one_worker_do_not_share_an_email(ledger: SqlLedger) -> None:
    """A Quick run beside the listener's run is another run id under the same worker's name."""
    claim = Lease("one", NOW - timedelta(seconds=45))
    ledger.begin(REF, now=NOW, run_id=RUN, claim=claim)

    with pytest.raises(TakenOver) as caught:
        ledger.begin(REF, now=NOW, run_id=OTHER_RUN, claim=claim)

    assert caught.value.facts["run_id"] == RUN
    assert ledger.begin(REF, now=NOW, run_id=RUN, claim=claim).attempts == 2


def test_an_attempt_that_was_taken_over_can_neither_file_nor_close(ledger: SqlLedger, engine: Engine) -> None:
    """R9: a worker that was only thought dead resumes; it must not overwrite what the new holder does."""
    old = ledger.begin(REF, now=NOW, run_id=RUN, claim=Lease("one", NOW))
    new = ledger.begin(REF, now=NOW, run_id=RUN, claim=Lease("two", NOW + timedelta(seconds=1)))

    with pytest.raises(TakenOver):
        SqlInbox(engine).file(old.id, [], now=NOW, attempt=old.attempts)
    with pytest.raises(TakenOver):
        ledger.close(old.id, State.FAILED, now=NOW, attempt=old.attempts)

    assert SqlInbox(engine).file(new.id, [], now=NOW, attempt=new.attempts) == []
    assert ledger.close(new.id, State.FILED, now=NOW, attempt=new.attempts) is State.FILED
    assert ledger.close(old.id, State.FAILED, now=NOW, attempt=old.attempts) is State.FILED


def test_an_expired_lease_counts_as_a_death_of_its_worker(ledger: SqlLedger) -> None:
    """A kill -9 goes unreported; the next worker that leases the e-mail detects it, and runs it alone."""
    ledger.begin(REF, now=NOW, claim=Lease("one", NOW))

    taken = registered(ledger, Lease("two", NOW + timedelta(seconds=1)))
    begun = ledger.begin(REF, now=NOW, claim=Lease("two", NOW + timedelta(seconds=1)))

    assert (taken.deaths, begun.deaths) == (1, 1)
    assert kinds(ledger, taken.id) == ["started", "notified", "died", "started"]


def test_a_released_lease_is_no_death(ledger: SqlLedger) -> None:
    """A worker that stops, or that lost its database for a moment, has not been killed by the mail."""
    entry = ledger.begin(REF, now=NOW, claim=Lease("one", NOW))

    ledger.release(entry.id, worker="one")

    assert registered(ledger, Lease("two", NOW)).deaths == 0


def test_the_third_death_is_quarantine(ledger: SqlLedger) -> None:
    """After one death a mail runs alone; a mail that kills every process must end with its reason, not in a loop."""
    entry = ledger.begin(REF, now=NOW, claim=Lease("one", NOW))

    states = [ledger.record_death(entry.id, now=NOW, facts={"died": "signal 9"}) for _ in range(3)]

    assert states == [State.FAILED, State.FAILED, State.QUARANTINED]
    found = ledger.find(entry.id)
    assert found is not None
    assert (found.reason, found.facts) == ("poison", {"died": "signal 9", "deaths": 3})


def test_silent_lines_are_those_without_a_heartbeat(ledger: SqlLedger) -> None:
    """The sweep announces them again; it leaves out lines with a live worker and closed ones."""
    old, now = NOW - timedelta(hours=1), NOW
    for key, at in (("in/dead", old), ("in/alive", now)):
        ledger.begin(ObjectRef("inbound", key), now=at, claim=Lease("one", at))
    filed = ledger.begin(ObjectRef("inbound", "in/filed"), now=old)
    ledger.close(filed.id, State.FILED, now=old)
    ledger.register(Arrival(ObjectRef("inbound", "in/waiting")), now=old)

    silent = ledger.silent(before=NOW - timedelta(minutes=10), limit=10)

    assert sorted(entry.ref.key for entry in silent) == ["in/dead", "in/waiting"]
    assert ledger.known("inbound", ["in/dead", "in/unheard"]) == {"in/dead"}


def test_an_envelope_that_comes_after_the_end_opens_the_email_again(ledger: SqlLedger) -> None:
    """A mail filed by its headers alone may have more recipients, or a virus that only SES's notification reports."""
    entry = registered(ledger, arrival=Arrival(REF))
    ledger.begin(REF, now=NOW)
    ledger.close(entry.id, State.FILED, now=NOW)

    again = registered(ledger, Lease("one", NOW))

    assert again.state is State.RECEIVED
    assert again.attempts == 1
    assert kinds(ledger, entry.id)[-1] == "reopened"
    assert registered(ledger).state is State.RECEIVED


def test_an_envelope_that_another_worker_got_meanwhile_opens_the_email_again(ledger: SqlLedger) -> None:
    """R8: two workers share the notifications of a mail. The one at work cannot know the other's notification; its verdict
    without the envelope, such as `no recipient`, must not stand when the other's notification is redelivered."""
    other = Lease("two", NOW - timedelta(hours=1))
    registered(ledger, Lease("one", NOW), Arrival(REF))
    entry = ledger.begin(REF, now=NOW, claim=Lease("one", NOW))
    assert ledger.register(Arrival(REF, ENVELOPE), now=NOW, claim=other) is None
    ledger.close(entry.id, State.QUARANTINED, now=NOW, reason=Reason.NO_ROUTE, attempt=entry.attempts)

    again = registered(ledger, other)
    entry = ledger.begin(REF, now=NOW, claim=other)
    ledger.close(entry.id, State.FILED, now=NOW, attempt=entry.attempts)

    assert (again.state, again.envelope) == (State.RECEIVED, ENVELOPE)
    assert kinds(ledger, entry.id) == ["received", "started", "notified", "quarantined", "reopened", "started", "filed"]
    assert registered(ledger, other).state is State.FILED


def test_another_notice_of_an_object_that_was_not_there_has_it_looked_for_again(ledger: SqlLedger) -> None:
    """SES may announce a mail before S3 shows it; but notifications of a missing object must not loop for ever."""
    looks = 0
    while registered(ledger).state is State.RECEIVED:
        entry = ledger.begin(REF, now=NOW)
        ledger.close(entry.id, State.QUARANTINED, now=NOW, reason=Reason.GONE)
        looks += 1

    assert looks == 3


def test_another_notice_of_what_is_quarantined_for_its_content_changes_nothing(ledger: SqlLedger) -> None:
    """Its bytes are the same, however often SQS repeats the notification; a person decides."""
    entry = ledger.begin(REF, now=NOW)
    ledger.close(entry.id, State.QUARANTINED, now=NOW, reason=Reason.NOT_BOUND)

    assert registered(ledger, arrival=Arrival(REF)).state is State.QUARANTINED


def test_closing_frees_the_claim(ledger: SqlLedger) -> None:
    """A failed mail that the queue redelivers may go to any worker at once."""
    entry = registered(ledger, Lease("one", NOW))

    ledger.close(entry.id, State.FAILED, now=NOW, reason="TransientError")

    assert ledger.register(Arrival(REF), now=NOW, claim=Lease("two", NOW - timedelta(hours=1)))


def test_a_filed_email_stays_filed(ledger: SqlLedger) -> None:
    """A late or repeated run must not turn what a user already sees into a failure."""
    entry = ledger.begin(REF, now=NOW)
    ledger.close(entry.id, State.FILED, now=NOW)

    standing = ledger.close(entry.id, State.FAILED, now=NOW, reason="late")
    again = ledger.begin(REF, now=NOW)

    assert standing is State.FILED
    assert again.state is State.FILED


def test_a_run_of_an_unregistered_object_opens_its_line(ledger: SqlLedger) -> None:
    """Quick run in the UI takes any object, also one whose notifications were lost."""
    entry = ledger.begin(REF, now=NOW, run_id="0190a1b2-0000-7000-8000-000000000001")

    assert entry.state is State.PROCESSING
    assert entry.attempts == 1
    assert ledger.find("0190a1b2-0000-7000-8000-000000000001") == entry


def test_deposits_add_up_and_routes_are_kept_with_their_reason(ledger: SqlLedger) -> None:
    """Operators ask why a mail went where it went, and what the archive has of it."""
    entry = ledger.begin(REF, now=NOW)

    ledger.routed(entry.id, [Route("anna@acme.test", "acme", "anna", "exact")], now=NOW)
    ledger.deposited(entry.id, archive_ids=["acme/aa"], now=NOW)
    ledger.deposited(entry.id, archive_ids=["acme/aa", "acme/bb"], now=NOW)

    trace = ledger.trace(entry.id)
    assert trace["email"]["archive_ids"] == ["acme/aa", "acme/bb"]
    assert trace["email"]["tenants"] == ["acme"]
    assert trace["activities"][1]["facts"]["routes"][0]["why"] == "exact"


def test_find_knows_every_id_of_an_email(ledger: SqlLedger) -> None:
    """Operators paste whatever id they have: from a log, the queue, a page or the Prefect UI."""
    entry = registered(ledger)

    assert ledger.find(entry.id) == entry
    assert ledger.find("abc123") == entry
    assert ledger.find("nothing-like-it") is None


def test_select_filters_by_state_reason_and_time(ledger: SqlLedger) -> None:
    """`mailroom replay --state quarantined --reason no_route --since ...` picks exactly these."""
    for number, reason in enumerate(("no_route", "virus")):
        entry = ledger.begin(ObjectRef("inbound", f"in/{number}"), now=NOW + timedelta(hours=number))
        ledger.close(entry.id, State.QUARANTINED, now=NOW, reason=reason)
    all_states = [State.QUARANTINED]

    by_reason = ledger.select(states=all_states, reason="virus", since=None, limit=10)
    by_time = ledger.select(states=all_states, reason=None, since=NOW + timedelta(minutes=1), limit=10)

    assert [entry.ref.key for entry in by_reason] == ["in/1"]
    assert by_time == by_reason
    assert len(ledger.select(states=all_states, reason=None, since=None, limit=1)) == 1


def test_history_cannot_be_changed(ledger: SqlLedger, engine: Engine) -> None:
    """Activities are evidence; not even our own code may rewrite them."""
    ledger.register(Arrival(REF), now=NOW)

    with pytest.raises(DBAPIError, match="never changed"), tampering(engine, triggers=True) as connection:
        connection.execute(text("update inbound_activity set kind = 'other'"))


def test_an_error_with_a_kind_field_is_recorded(ledger: SqlLedger) -> None:
    """Unexpected errors have kind and place; the field's name must not collide with the activity's own."""
    entry = registered(ledger)

    ledger.close(entry.id, State.FAILED, now=NOW, reason="PermanentError", facts={"kind": "KeyError", "now": "then"})

    assert ledger.trace(entry.id)["activities"][-1]["facts"] == {
        "reason": "PermanentError",
        "kind": "KeyError",
        "now": "then",
    }
