"""A row of the same refusal stops its batch, and no other, until an operator closes the breaker."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text

from mailroom.adapters.postgres.delivery.breakers import SqlBreakers
from mailroom.adapters.postgres.outbound.outbox import SqlOutbox
from mailroom.domain.delivery.reputation import Trip
from mailroom.domain.errors import ContentRefused, MailroomError, RecipientRefused
from mailroom.domain.outbound.message import Batch, Draft, Lane, Party, Status
from mailroom.outbound.dispatch_result import DispatchResult
from mailroom.outbound.dispatching import Sender
from tests.support.sending import CONTENT, Office, office_on

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
NO = RecipientRefused("no", step="rcpt", code=550, enhanced="5.7.1", hard=False, suppress="soft", rule="r")


@pytest.fixture
def office(engine: Engine) -> Iterator[Office]:
    with office_on(engine) as made:
        yield made


def batch(office: Office, count: int, *, tenant: str = "acme", domains: int = 5) -> str:
    """Submit a batch to this many recipients of this many domains."""
    made = Batch(id=str(uuid4()), tenant=tenant, from_=Party(f"desk@{tenant}.test"))
    to = [Party(f"u{at}@d{at % domains}.test") for at in range(count)]
    drafts = [Draft(id=str(uuid4()), number=at, to=one, content=0) for at, one in enumerate(to)]
    return SqlOutbox(office.engine).accept(made, [CONTENT], drafts, now=NOW).batch_id


def sent(office: Office, batch_id: str, now: datetime = NOW) -> DispatchResult:
    return Sender(batch_id, Lane.BULK, office.outbound, clock=lambda: now).send_some(100)


def statuses(office: Office, batch_id: str) -> dict[str, int]:
    query = "select status, count(*) from message where batch_id = :id group by status"
    with office.engine.connect() as connection:
        return {row[0]: row[1] for row in connection.execute(text(query), {"id": batch_id})}


@pytest.mark.parametrize("permit", [1, 7, 40])
def test_twenty_are_refused_and_the_rest_waits_for_an_operator(office: Office, permit: int) -> None:
    """However many go at once: those refused behind the twentieth wait too, so that nothing has to be sent again by hand."""
    batch_id = batch(office, 60)
    office.provider.answers.extend([NO] * 60)
    office.rate.permit = permit

    tally = sent(office, batch_id)
    if tally.broken is None:
        tally = sent(office, batch_id)

    assert tally.broken is not None
    assert (tally.broken.batch_id, tally.broken.trip) == (batch_id, Trip.SAME_REFUSAL)
    assert (tally.broken.answer, tally.broken.tally.sent) == ("rcpt 550 5.7.1", 20)
    found = statuses(office, batch_id)
    assert found.pop(Status.REJECTED) == 20
    assert set(found) <= {Status.ACCEPTED, Status.QUEUED}
    assert sum(found.values()) == 40


def test_no_other_batch_stops_of_the_tenant_or_of_another(office: Office) -> None:
    """The answer may be right for this list, and another tenant's mail has nothing to do with it."""
    stopped, same, other = batch(office, 40), batch(office, 5), batch(office, 5, tenant="umbrella")
    office.provider.answers.extend([NO] * 40)
    sent(office, stopped)
    office.provider.answers.clear()

    assert [sent(office, one).dispatched for one in (same, other)] == [5, 5]
    assert SqlBreakers(office.engine).of_batch(stopped) is not None


def test_after_it_is_closed_the_batch_goes_on_and_counts_from_zero(office: Office) -> None:
    """Resume in Prefect, the command and the page close it alike."""
    batch_id = batch(office, 60)
    office.provider.answers.extend([NO] * 60)
    sent(office, batch_id)
    broken = SqlBreakers(office.engine).of_batch(batch_id)
    assert broken is not None
    office.outbound.breakers.close(broken.id, by="ada", now=NOW)
    office.provider.answers.clear()
    office.provider.answers.extend([NO] * 19)

    sent(office, batch_id, NOW + timedelta(minutes=1))

    assert statuses(office, batch_id) == {Status.REJECTED: 39, Status.DISPATCHED: 21}


def test_a_row_goes_on_in_the_next_run(office: Office) -> None:
    """A tenant's quota of ten an hour, or a worker that is killed, must not begin it again each time."""
    batch_id = batch(office, 60)
    office.provider.answers.extend([NO] * 60)
    office.rate.permit = 4
    for at in range(5):
        sender = Sender(batch_id, Lane.BULK, office.outbound, clock=lambda: NOW)
        permits = office.rate.wait(4, lane=Lane.BULK)
        sender._take(permits, DispatchResult())
        assert (SqlBreakers(office.engine).of_batch(batch_id) is not None) is (at == 4)


@pytest.mark.parametrize(
    ("answers", "domains"),
    [
        ([*[NO] * 19, None, *[NO] * 19], 5),
        ([*[NO] * 19, ContentRefused("no", code=554, step="after_dot"), *[NO] * 19], 5),
        ([NO] * 60, 4),
    ],
)
def test_refusals_that_are_the_recipients_own_stop_nothing(
    office: Office, answers: list[MailroomError | None], domains: int
) -> None:
    """A success between, another answer, or one receiver's policy."""
    batch_id = batch(office, 60, domains=domains)
    office.provider.answers.extend(answers)
    office.rate.permit = 5

    tally = sent(office, batch_id)

    assert tally.broken is None
    assert set(statuses(office, batch_id)) <= {Status.REJECTED, Status.DISPATCHED}
    assert office.values("select count(*) from breaker") == [0]
