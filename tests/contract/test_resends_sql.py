"""Sending again on PostgreSQL: a new attempt of the same message, once, and of nothing that a provider has."""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from sqlalchemy import Engine, text

from mailroom.adapters.postgres.delivery.breakers import SqlBreakers
from mailroom.adapters.postgres.delivery.suppressions import SqlSuppressions
from mailroom.adapters.postgres.outbound.order_runs import SqlOrderRuns
from mailroom.adapters.postgres.outbound.outbox import SqlOutbox
from mailroom.adapters.postgres.outbound.quotas import SqlQuotas
from mailroom.adapters.postgres.outbound.retention import FILES_KEPT, forget_outbound
from mailroom.audit.batches import check_stories
from mailroom.audit.mails import Patience
from mailroom.audit.messages import check_messages
from mailroom.audit.report import Report
from mailroom.domain.errors import OutcomeUnknown, PermanentError, Refused
from mailroom.domain.outbound.message import Batch, Content, Draft, Lane, Party, Status, StoredAttachment
from mailroom.domain.outbound.quotas import Allowance, Period
from mailroom.domain.outbound.resending import RESENDABLE, NotResent
from mailroom.outbound.dispatching import Sender
from mailroom.ports.holds import HoldReason
from mailroom.ports.resends import Resent
from mailroom.ports.suppressions import Suppression
from tests.support.sending import CONTENT, Office, office_on

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
REFUSED = Refused("the recipient does not exist", code=550)


@pytest.fixture
def office(engine: Engine) -> Iterator[Office]:
    with office_on(engine) as made:
        yield made


def send(office: Office, batch_id: str, now: datetime = NOW) -> None:
    Sender(batch_id, Lane.BULK, office.outbound, clock=lambda: now).send_some(100)


def refused(office: Office, count: int = 3, **changes: Any) -> str:
    """Return a batch of which the provider refused everything."""
    batch_id = office.batch(count, now=NOW, **changes)
    office.provider.answers.extend([REFUSED] * count)
    send(office, batch_id)
    return batch_id


def again(office: Office, batch_id: str, now: datetime = LATER, tenant: str | None = "acme", **how: Any) -> Resent:
    resent = SqlOutbox(office.engine).resend_batch(tenant, batch_id, by="ada", now=now, **how)
    assert resent is not None
    return resent


def ids(office: Office) -> list[str]:
    return [str(one) for one in office.values("select id from message order by number")]


def one_again(office: Office, message_id: str, now: datetime = LATER, **how: Any) -> NotResent | None:
    resent = SqlOutbox(office.engine).resend_message("acme", message_id, by="ada", now=now, **how)
    assert resent is not None
    [group] = resent.groups
    return group.obstacle


def becomes(office: Office, status: str, reason: str | None = None, *, handed: bool = True) -> None:
    values = {"status": status, "reason": reason, "at": NOW if handed else None}
    with office.engine.begin() as connection:
        connection.execute(text("update message set status = :status, reason = :reason, handed_at = :at"), values)


def suppress(office: Office, address: str, tenant: str | None = "acme") -> None:
    one = Suppression(address=address, reason="manual", tenant=tenant, since=NOW)
    SqlSuppressions(office.engine).add([one])


def found_wrong(url: str) -> dict[str, int]:
    """Return what `mailroom check` finds in messages and their histories."""
    report = Report(emit=lambda _: None, progress=lambda _: None)
    with psycopg.connect(url) as connection:
        check_stories(connection, report)
        check_messages(connection, report, Patience(now=LATER, limit=timedelta(hours=2)))
    return dict(report.wrong)


def test_what_was_refused_is_sent_again_once_as_a_new_attempt(office: Office, database_url: str) -> None:
    """The same message, in the same history; and the check finds nothing that was sent twice."""
    batch_id = refused(office)
    assert office.statuses() == [Status.REJECTED] * 3

    resent = again(office, batch_id)
    send(office, batch_id, LATER)

    assert (resent.messages, resent.withheld) == (3, 0)
    assert office.statuses() == [Status.DISPATCHED] * 3
    assert sorted(office.provider.accepted) == sorted(ids(office))
    assert set(office.values("select attempts from message")) == {2}
    steps = office.values("select kind || ':' || coalesce(facts->>'reason', '') from activity order by message_id, id")
    assert steps[:6] == ["accepted:", "sending:", "rejected:", "queued:resent", "sending:", "dispatched:"]
    assert office.values("select distinct (facts->>'by') || (facts->>'was') from activity where kind = 'queued'") == [
        "adarejected"
    ]
    assert found_wrong(database_url) == {}


def test_a_flow_run_is_ordered_once_for_all_of_a_batch(office: Office) -> None:
    """Ten thousand orders would be ten thousand runs."""
    batch_id = refused(office, 20)

    again(office, batch_id)

    assert office.orders() == [LATER]


def test_many_who_ask_at_once_make_one_attempt(office: Office, database_url: str) -> None:
    """Two operators, the API and the command line, a double click: the row decides, not who was first to look."""
    batch_id = refused(office, 40)
    messages = ids(office)

    def ask(number: int) -> int:
        outbox = SqlOutbox(office.engine)
        if number % 2:
            resent = outbox.resend_batch("acme", batch_id, by="ada", now=LATER)
        else:
            resent = outbox.resend_message(None, messages[number], by="bob", now=LATER)
        assert resent is not None
        return resent.messages

    with ThreadPoolExecutor(6) as pool:
        counts = list(pool.map(ask, range(12)))
    send(office, batch_id, LATER)

    assert sum(counts) == 40
    assert set(office.values("select attempts from message")) == {2}
    assert len(office.provider.accepted) == len(set(office.provider.accepted)) == 40
    assert found_wrong(database_url) == {}


def test_asked_twice_the_second_finds_nothing_and_orders_nothing(office: Office) -> None:
    """A caller that lost the answer asks again."""
    batch_id = refused(office)
    again(office, batch_id)

    second = again(office, batch_id, LATER + timedelta(seconds=1))

    assert second.groups == ()
    assert office.orders() == [LATER]
    assert one_again(office, ids(office)[0]) is NotResent.UNDER_WAY


def test_what_the_provider_has_or_what_waits_is_never_sent_again(office: Office) -> None:
    """By id and by batch alike, and each says why and what instead; all else is sent again, whatever kept it back."""
    batch_id = office.batch(1, now=NOW)
    [message] = ids(office)
    for status in sorted(Status):
        becomes(office, status, "refused", handed=not status.is_waiting)
        never = status not in RESENDABLE

        seen = again(office, batch_id, may_duplicate=True, dry_run=True)
        obstacle = one_again(office, message, may_duplicate=True)

        assert (seen.groups == (), obstacle is not None) == (never, never), status
        assert office.statuses() == [status if never else Status.QUEUED]


def test_an_unknown_outcome_goes_again_only_where_it_may_arrive_twice(office: Office, database_url: str) -> None:
    """The provider may have it; a person who looked in its log decides."""
    batch_id = office.batch(2, now=NOW)
    office.provider.answers.append(OutcomeUnknown("lost"))
    send(office, batch_id)

    careful, bold = again(office, batch_id), again(office, batch_id, may_duplicate=True)

    assert [(one.obstacle, one.messages) for one in careful.groups] == [(NotResent.MAY_DUPLICATE, 1)]
    assert (bold.messages, bold.may_duplicate) == (1, 1)
    assert office.values("select reason from message where status = 'queued'") == ["sent_again"]
    send(office, batch_id, LATER)
    assert found_wrong(database_url) == {}


def test_a_dry_run_says_the_same_and_changes_nothing(office: Office) -> None:
    """What is shown before is what comes of it."""
    batch_id = refused(office)
    suppress(office, "u1@users.test")
    history = office.values("select count(*) from activity")

    seen = again(office, batch_id, dry_run=True)

    assert office.statuses() == [Status.REJECTED] * 3
    assert (office.orders(), office.values("select count(*) from activity")) == ([], history)
    assert {(one.obstacle, one.messages) for one in seen.groups} == {(None, 2), (NotResent.STILL_SUPPRESSED, 1)}
    assert again(office, batch_id).groups == seen.groups


def test_a_batch_is_narrowed_by_status_and_by_either_spelling_of_a_reason(office: Office) -> None:
    """Rows of up to 0.1.0 have the name of a class."""
    batch_id = office.batch(4, now=NOW)
    office.provider.answers.extend([REFUSED, REFUSED, PermanentError("a template that fails"), REFUSED])
    send(office, batch_id)
    with office.engine.begin() as connection:
        connection.execute(text("update message set reason = 'Refused' where number = 0"))

    failed = again(office, batch_id, statuses=[Status.FAILED])
    refused = again(office, batch_id, reasons=["refused"])

    assert [(one.status, one.reason, one.messages) for one in failed.groups] == [("failed", "permanent_failure", 1)]
    assert [(one.reason, one.messages) for one in refused.groups] == [("refused", 3)]


def test_suppressed_mail_goes_when_the_address_is_off_the_list_and_not_before(office: Office) -> None:
    """Of the tenant's list and of the one for all, which only an administrator's dry run counts for other mail."""
    suppress(office, "u0@users.test")
    suppress(office, "u1@users.test", tenant=None)
    batch_id = office.batch(3, now=NOW)
    office.provider.answers.append(REFUSED)
    send(office, batch_id)
    assert office.statuses() == [Status.SUPPRESSED, Status.SUPPRESSED, Status.REJECTED]
    suppress(office, "u2@users.test", tenant=None)

    tenants = again(office, batch_id, dry_run=True)
    everybodys = again(office, batch_id, dry_run=True, tenant=None)
    SqlSuppressions(office.engine).remove("acme", "u0@users.test")
    went = again(office, batch_id)
    send(office, batch_id, LATER)

    assert (tenants.messages, everybodys.messages, went.messages) == (1, 0, 2)
    assert office.statuses() == [Status.DISPATCHED, Status.SUPPRESSED, Status.SUPPRESSED]
    assert len(office.provider.accepted) == 1


@pytest.mark.parametrize(
    ("change", "obstacle"),
    [
        ("cancelled_at = now()", NotResent.BATCH_CANCELLED),
        ("expires_at = '2026-11-22T10:00:00Z'", NotResent.BATCH_EXPIRED),
        ("send_at = '2026-11-25T08:00:00Z', expires_at = '2026-11-24T08:00:00Z'", NotResent.BATCH_EXPIRED),
    ],
)
def test_nothing_goes_of_a_batch_that_is_cancelled_or_expired(office: Office, change: str, obstacle: NotResent) -> None:
    """A cancellation means all of it; and one that expires before it may go would wait for nothing."""
    batch_id = refused(office)
    with office.engine.begin() as connection:
        connection.execute(text(f"update batch set {change}"))

    assert [(one.obstacle, one.messages) for one in again(office, batch_id).groups] == [(obstacle, 3)]
    assert one_again(office, ids(office)[0]) is obstacle
    assert office.statuses() == [Status.REJECTED] * 3


@pytest.mark.parametrize("reason", HoldReason)
def test_nothing_goes_of_a_held_batch_before_a_person_decides(office: Office, reason: HoldReason) -> None:
    """After a restore what is rejected here may have been sent again already."""
    batch_id = office.batch(2, now=NOW)
    office.provider.answers.append(REFUSED)
    with office.engine.begin() as connection:
        connection.execute(text("update message set due_at = :later where number = 1"), {"later": LATER})
    send(office, batch_id)
    outbox = SqlOutbox(office.engine)
    outbox.hold([batch_id], reason=reason, now=NOW)

    held = again(office, batch_id)
    outbox.resume("acme", batch_id, by="ada", now=NOW)

    assert [one.obstacle for one in held.groups] == [NotResent.BATCH_HELD]
    assert again(office, batch_id).messages == 1


def test_a_batch_that_was_put_off_goes_again_at_its_time(office: Office) -> None:
    """Its caller wants nothing of it before."""
    batch_id = refused(office, 1)
    tomorrow = LATER + timedelta(days=1)
    with office.engine.begin() as connection:
        connection.execute(text("update batch set send_at = :at"), {"at": tomorrow})

    assert again(office, batch_id).due_at == tomorrow
    send(office, batch_id, LATER)
    assert office.statuses() == [Status.SCHEDULED]
    assert office.orders() == [tomorrow]
    send(office, batch_id, tomorrow)
    assert office.statuses() == [Status.DISPATCHED]


def test_a_batch_that_is_being_sent_takes_it_up(office: Office) -> None:
    """Its run is under way, and another is ordered: each message goes by one of them."""
    batch_id = office.batch(6, now=NOW)
    claims = office.outbound.dispatch.claim(batch_id, most=2, provider="memory", now=NOW)
    office.provider.answers.extend([REFUSED] * 2)
    send(office, batch_id)

    resent = again(office, batch_id)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: send(office, batch_id, LATER), range(2)))

    assert (len(claims), resent.messages) == (2, 2)
    assert office.statuses() == [Status.SENDING] * 2 + [Status.DISPATCHED] * 4
    assert len(office.provider.accepted) == len(set(office.provider.accepted)) == 4


def test_each_attempt_counts_in_the_quota_and_waits_for_it(office: Office) -> None:
    """The provider counts both, and a tenant's limit is a limit."""
    quotas = SqlQuotas(office.engine)
    batch_id = refused(office, 2)
    quotas.allow("acme", Allowance(day=3))

    again(office, batch_id)
    send(office, batch_id, LATER)

    assert quotas.used("acme", now=LATER)[Period.DAY] == 3
    assert sorted(office.statuses()) == [Status.DEFERRED, Status.DISPATCHED]


def test_an_open_breaker_stops_it_as_it_stops_all(office: Office) -> None:
    """Asking again is no way around it."""
    batch_id = refused(office)
    with office.engine.begin() as connection:
        connection.execute(
            text("""insert into breaker (id, tenant, batch_id, trip, sent, bounced, complained, runs, opened_at)
                values (gen_random_uuid(), 'acme', :batch, 'bounces', 100, 9, 0, '{}', :now)"""),
            {"batch": UUID(batch_id), "now": NOW},
        )

    again(office, batch_id)
    send(office, batch_id, LATER)

    assert office.statuses() == [Status.QUEUED] * 3
    assert SqlBreakers(office.engine).of_batch(batch_id) is not None
    assert SqlOrderRuns(office.engine).overdue(before=LATER + timedelta(hours=9), limit=5) == []


def test_a_file_that_is_forgotten_is_named_and_one_that_is_there_is_kept(office: Office) -> None:
    """A mail without its attachment is another mail."""
    pdfs = {hashlib.sha256(one).hexdigest(): one for one in (b"kept", b"gone")}
    contents = [
        Content(
            subject="News",
            text="Look.",
            html=None,
            enclosures=(StoredAttachment(filename="a.pdf", content_type="application/pdf", size=4, sha256=sha256),),
        )
        for sha256 in pdfs
    ]
    drafts = [Draft(id=str(uuid4()), number=at, to=Party(f"u{at}@users.test"), content=at) for at in range(2)]
    batch = Batch(id=str(uuid4()), tenant="acme", from_=Party("desk@acme.test"))
    SqlOutbox(office.engine).accept(batch, contents, drafts, files=pdfs, now=NOW)
    becomes(office, "rejected", "refused")
    with office.engine.begin() as connection:
        connection.execute(text("delete from file where content = :content"), {"content": b"gone"})

    resent = again(office, batch.id)
    much_later = LATER + FILES_KEPT + timedelta(seconds=1)
    becomes(office, "rejected", "refused")
    forget_outbound(office.engine, LATER + FILES_KEPT - timedelta(seconds=1))

    assert {one.obstacle for one in resent.groups} == {None, NotResent.CONTENT_GONE}
    assert office.values("select count(*) from file") == [1]
    assert forget_outbound(office.engine, much_later)[1] == 1


def test_of_another_tenant_there_is_nothing(office: Office) -> None:
    """Nor of what is no id."""
    batch_id, odd = refused(office), "1; drop table message"
    outbox = SqlOutbox(office.engine)

    for tenant, batch, message in (("umbrella", batch_id, ids(office)[0]), ("acme", odd, odd)):
        assert outbox.resend_batch(tenant, batch, by="eve", now=LATER) is None
        assert outbox.resend_message(tenant, message, by="eve", now=LATER) is None
    assert office.statuses() == [Status.REJECTED] * 3


def test_a_batch_of_ten_thousand_is_one_statement(office: Office) -> None:
    """In seconds; nobody waits for a loop."""
    batch_id = office.batch(10_000, now=NOW, content=CONTENT)
    becomes(office, "rejected", "refused")

    begun = datetime.now(UTC)
    resent = again(office, batch_id)

    assert resent.messages == 10_000
    assert datetime.now(UTC) - begun < timedelta(seconds=20)
    assert office.orders() == [LATER]
