"""Pauses of a provider's account and of senders at it: what stops, who probes, how they end; on PostgreSQL."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import Engine

from mailroom.adapters.postgres.delivery.suppressions import SqlSuppressions
from mailroom.adapters.postgres.outbound.message_reader import SqlMessageReader
from mailroom.adapters.postgres.outbound.pauses import SqlPauses
from mailroom.domain.errors import (
    ContentRefused,
    DailyQuota,
    MailroomError,
    OutcomeUnknown,
    Paused,
    RecipientRefused,
    RecipientUnavailable,
    Refused,
    SenderRefused,
    Throttled,
    TransientError,
)
from mailroom.domain.outbound.message import Lane, Outgoing, Party, Status
from mailroom.domain.outbound.reasons import OutboundReason
from mailroom.outbound.dispatch_result import DispatchResult
from mailroom.outbound.dispatching import Sender
from mailroom.ports.pauses import Admission
from mailroom.ports.provider import ProviderQuota, ProviderReceipt
from mailroom.ports.suppressions import Suppression
from tests.support.sending import Office, office_on

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
QUARTER, HOUR, MINUTE = timedelta(minutes=15), timedelta(hours=1), timedelta(minutes=1)
ACCOUNT = Paused("stopped", code=554)
SENDER = SenderRefused("not verified", code="MessageRejected", sender_domain="acme.test")


@pytest.fixture
def office(engine: Engine) -> Iterator[Office]:
    with office_on(engine) as made:
        yield made


@pytest.fixture
def pauses(engine: Engine) -> SqlPauses:
    return SqlPauses(engine)


def begin(pauses: SqlPauses, error: MailroomError = ACCOUNT, *, now: datetime = NOW, domain: str = "acme.test") -> Any:
    return pauses.begin(error, identity="memory/test", provider="memory", sender_domain=domain, now=now)


def admit(pauses: SqlPauses, *, now: datetime = NOW, domain: str = "acme.test", probe: bool = True) -> Admission:
    return pauses.admit("memory/test", domain, now=now, may_probe=probe)


def sent(office: Office, batch_id: str, now: datetime = NOW) -> DispatchResult:
    return Sender(batch_id, Lane.BULK, office.outbound, clock=lambda: now).send_some(100)


def test_an_account_s_fault_stops_every_sender_and_a_sender_s_only_itself(pauses: SqlPauses) -> None:
    """One tenant's unverified domain must not stop the others' mail."""
    begin(pauses, SENDER)
    alone = [admit(pauses, domain=domain).pause is None for domain in ("acme.test", "umbrella.test")]
    begin(pauses, ACCOUNT)

    assert alone == [False, True]
    assert admit(pauses, domain="umbrella.test").resume_at == NOW + QUARTER
    assert pauses.admit("other/test", "acme.test", now=NOW) == Admission()


def test_a_pause_is_probed_after_15_minutes_and_then_each_hour(pauses: SqlPauses) -> None:
    """Answers that came together are one pause; only a probe's prolongs it."""
    assert begin(pauses).until == NOW + QUARTER
    assert begin(pauses, now=NOW + MINUTE).until == NOW + QUARTER
    again = begin(pauses, now=NOW + QUARTER)

    assert (again.since, again.until, again.probes) == (NOW, NOW + QUARTER + HOUR, 1)


@pytest.mark.parametrize(
    ("asked", "wait"), [(None, HOUR), (3, 5 * MINUTE), (600, timedelta(minutes=10)), (10**7, timedelta(days=1))]
)
def test_a_quota_of_the_day_waits_by_the_provider_s_own_number(
    pauses: SqlPauses, asked: int | None, wait: timedelta
) -> None:
    """Else an hour: most of them slide, mail by mail."""
    error = DailyQuota("used up", retry_after_s=asked)

    assert begin(pauses, error).until == NOW + wait
    assert begin(pauses, error, now=NOW + wait).until == NOW + 2 * wait


def test_a_batch_waits_as_long_as_the_provider_s_quota_says(office: Office) -> None:
    """Ten minutes, not the usual hour."""
    batch_id = office.batch(3, now=NOW)
    office.provider.answers.extend([DailyQuota("used up", retry_after_s=600)] * 3)

    assert sent(office, batch_id).resume_at == NOW + timedelta(minutes=10)
    office.provider.answers.clear()
    assert sent(office, batch_id, NOW + timedelta(minutes=10)).dispatched == 3


def test_of_two_workers_one_probes(pauses: SqlPauses) -> None:
    """Eight at once, ten times: a probe of each would be the refused traffic that the pause is there to avoid."""
    for number in range(10):
        now = NOW + number * 2 * HOUR
        begin(pauses, now=now)
        at, gate = now + HOUR, Barrier(8)

        def ask(_: int, at: datetime = at, gate: Barrier = gate) -> Admission:
            gate.wait()
            return admit(pauses, now=at)

        with ThreadPoolExecutor(8) as workers:
            found = list(workers.map(ask, range(8)))

        assert [one.probe for one in found].count(True) == 1
        assert {one.resume_at for one in found if not one.probe} == {at + MINUTE}
        pauses.end("memory/test", None, now=at)


def test_a_probe_whose_worker_died_is_made_by_another(pauses: SqlPauses) -> None:
    """After five minutes: a call takes two at most."""
    begin(pauses)
    at = NOW + QUARTER

    assert admit(pauses, now=at).probe
    assert not admit(pauses, now=at + 4 * MINUTE).probe
    assert admit(pauses, now=at + 6 * MINUTE).probe


def test_nothing_fails_and_the_batch_goes_on_by_itself(office: Office) -> None:
    """Relay access denied, 300 messages: no message is rejected, and when the login is mended all of them are sent."""
    batch_id = office.batch(30, now=NOW)
    office.provider.answers.extend([ACCOUNT] * 30)

    tally = sent(office, batch_id)
    during = sent(office, batch_id, NOW + MINUTE)

    assert (tally.resume_at, tally.reason) == (NOW + QUARTER, OutboundReason.PAUSED)
    assert set(office.statuses()) <= {Status.QUEUED, Status.DEFERRED}
    assert during.resume_at == NOW + QUARTER
    office.provider.answers.clear()
    after = sent(office, batch_id, NOW + QUARTER)
    assert after.dispatched == 30
    assert office.statuses() == [Status.DISPATCHED] * 30
    assert office.values("select count(*) from provider_pause") == [0]


def test_while_an_account_is_paused_no_other_batch_calls_it(office: Office) -> None:
    """Also another tenant's: the account is the same."""
    first, other = office.batch(3, now=NOW), office.batch(3, now=NOW, from_=Party("desk@umbrella.test"))
    office.provider.answers.extend([ACCOUNT] * 3)
    sent(office, first)
    lanes = len(office.rate.lanes)

    tally = sent(office, other, NOW + MINUTE)

    assert (tally.resume_at, tally.dispatched) == (NOW + QUARTER, 0)
    assert (office.provider.accepted, len(office.rate.lanes)) == ([], lanes)


def test_other_senders_go_on_while_one_is_paused(office: Office) -> None:
    """SES has not verified acme.test; umbrella.test is."""
    first, other = office.batch(3, now=NOW), office.batch(3, now=NOW, from_=Party("desk@umbrella.test"))
    office.provider.answers.extend([SENDER] * 3)

    stopped, going = sent(office, first), sent(office, other)

    assert (stopped.reason, stopped.resume_at) == (OutboundReason.SENDER_REFUSED, NOW + QUARTER)
    assert going.dispatched == 3


def test_a_probe_is_one_message(office: Office) -> None:
    """It is refused again: 29 others are not tried, and the next probe is an hour later."""
    batch_id = office.batch(30, now=NOW)
    office.provider.answers.extend([ACCOUNT] * 60)
    sent(office, batch_id)
    before = len(office.provider.answers)

    tally = sent(office, batch_id, NOW + QUARTER)

    assert before - len(office.provider.answers) == 1
    assert tally.resume_at == NOW + QUARTER + HOUR
    assert office.values("select probes from provider_pause") == [1]


@pytest.mark.parametrize(
    ("answer", "ends"),
    [
        (None, True),
        (RecipientUnavailable("greylisted"), True),
        (RecipientRefused("unknown", hard=True, code=550), True),
        (ContentRefused("spam", code=554), True),
        (Refused("too large here", feature="tracks"), False),
        (TransientError("no connection"), False),
        (Throttled("slow down"), False),
        (OutcomeUnknown("lost"), False),
    ],
)
def test_a_probe_ends_the_pause_if_the_provider_answered_for_its_mail(
    office: Office, answer: MailroomError | None, ends: bool
) -> None:
    """An outage during the probe says nothing of the account: another probe comes in five minutes."""
    batch_id = office.batch(5, now=NOW)
    office.provider.answers.extend([ACCOUNT] * 5)
    sent(office, batch_id)
    office.provider.answers.clear()
    office.provider.answers.append(answer)

    tally = sent(office, batch_id, NOW + QUARTER)

    left = office.values("select until from provider_pause")
    assert left == ([] if ends else [NOW + QUARTER + timedelta(minutes=5)])
    assert ends or tally.dispatched == 0


def test_a_probe_that_meets_the_sender_s_fault_ends_the_account_s_pause(office: Office) -> None:
    """Both were wrong; the account is mended, so other senders go on."""
    batch_id = office.batch(3, now=NOW)
    office.provider.answers.extend([ACCOUNT] * 3)
    sent(office, batch_id)
    office.provider.answers.clear()
    office.provider.answers.append(SENDER)

    sent(office, batch_id, NOW + QUARTER)

    assert office.values("select sender_domain from provider_pause") == ["acme.test"]


@pytest.mark.parametrize("error", [ACCOUNT, SENDER])
def test_a_message_that_is_refused_each_time_does_not_keep_the_pause(
    office: Office, pauses: SqlPauses, error: MailroomError, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gmail refuses its one recipient as unauthenticated, each hour; the second probe takes another message."""
    batch_id = office.batch(5, now=NOW)
    begin(pauses, error)
    send = office.provider.send

    def refuses_one(mails: Sequence[Outgoing]) -> list[ProviderReceipt | MailroomError]:
        return [error if mail.to.address == "u0@users.test" else send([mail])[0] for mail in mails]

    monkeypatch.setattr(office.provider, "send", refuses_one)

    first = sent(office, batch_id, NOW + QUARTER)
    second = sent(office, batch_id, NOW + QUARTER + HOUR)

    assert (first.dispatched, first.resume_at) == (0, NOW + QUARTER + HOUR)
    assert second.dispatched == 4
    assert office.statuses()[1:] == [Status.DISPATCHED] * 4
    # The one left began a pause of its own.
    assert office.values("select since from provider_pause") == [NOW + QUARTER + HOUR]


def test_a_probe_is_given_back_where_nothing_was_sent(office: Office, pauses: SqlPauses) -> None:
    """No permit in time: another batch probes at once, not after five minutes."""
    batch_id = office.batch(3, now=NOW)
    begin(pauses)
    office.rate.none = 1

    without = sent(office, batch_id, NOW + QUARTER)

    assert (without.dispatched, without.resume_at) == (0, NOW + QUARTER + MINUTE)
    assert admit(pauses, now=NOW + QUARTER).probe


def test_a_batch_whose_messages_are_all_suppressed_gives_the_probe_back(office: Office, pauses: SqlPauses) -> None:
    """It has nothing to send, so it decides nothing."""
    batch_id = office.batch(1, now=NOW)
    SqlSuppressions(office.engine).add([Suppression(address="u0@users.test", reason="bounced", since=NOW)])
    begin(pauses)

    tally = sent(office, batch_id, NOW + QUARTER)

    assert (tally.over, office.statuses()) == (True, [Status.SUPPRESSED])
    assert admit(pauses, now=NOW + QUARTER).probe


def test_a_probe_that_cannot_be_given_back_costs_nothing(
    office: Office, pauses: SqlPauses, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database is away for a moment: the mark ends by itself."""
    batch_id = office.batch(1, now=NOW)
    begin(pauses)
    office.rate.none = 1

    def away(*_: object, **__: object) -> None:
        raise TransientError("no database")

    monkeypatch.setattr(SqlPauses, "postpone", away)

    assert sent(office, batch_id, NOW + QUARTER).dispatched == 0
    assert admit(pauses, now=NOW + QUARTER + 6 * MINUTE).probe


def test_a_quota_that_is_known_before_sending_is_a_pause_too(office: Office) -> None:
    """Other batches and the page learn of it, and no message is spent on finding it out."""
    batch_id = office.batch(3, now=NOW)
    office.provider.allowed = ProviderQuota(per_day=200, sent_today=200)

    sent(office, batch_id)

    assert office.values("select reason from provider_pause") == ["daily_quota_reached"]
    office.provider.allowed = ProviderQuota(per_day=200, sent_today=100)
    assert sent(office, batch_id, NOW + HOUR).dispatched == 3


def test_a_batch_says_until_when_it_is_paused_and_why(office: Office) -> None:
    """The page, the API and the commands read this."""
    reader = SqlMessageReader(office.engine)
    batch_id, other = office.batch(3, now=NOW), office.batch(2, now=NOW, from_=Party("desk@umbrella.test"))
    office.provider.answers.extend([SENDER] * 3)
    sent(office, batch_id)

    line, apart = reader.batch("acme", batch_id), reader.batch("acme", other)

    assert line is not None
    assert line.paused is not None
    assert (line.paused.until, line.paused.reason) == (NOW + QUARTER, OutboundReason.SENDER_REFUSED)
    assert (line.paused.sender_domain, line.paused.code) == ("acme.test", "MessageRejected")
    assert apart is not None
    assert apart.paused is None


def test_an_operator_has_it_probed_at_once(office: Office, pauses: SqlPauses) -> None:
    """The login is mended: nobody waits for an hour."""
    batch_id = office.batch(3, now=NOW)
    office.provider.answers.extend([ACCOUNT] * 3)
    sent(office, batch_id)
    office.provider.answers.clear()

    woken = pauses.probe_now("memory/test", None, now=NOW + MINUTE)

    assert woken == 1
    assert NOW + MINUTE in office.orders()
    assert sent(office, batch_id, NOW + MINUTE).dispatched == 3
    assert pauses.probe_now("memory/test", None, now=NOW) is None


def test_a_database_that_is_away_costs_no_outcome(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """The provider was called: its answers are settled, though the pause could not be stored."""
    batch_id = office.batch(3, now=NOW)
    office.provider.answers.extend([ACCOUNT] * 3)

    def away(*_: object, **__: object) -> None:
        raise TransientError("no database")

    monkeypatch.setattr(SqlPauses, "begin", away)
    tally = sent(office, batch_id)

    assert tally.resume_at == NOW + QUARTER
    assert Status.SENDING not in office.statuses()
