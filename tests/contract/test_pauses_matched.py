"""Which batches a pause concerns: those of its provider and of its sender's domain; and how long its row is kept."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, text

from mailroom.adapters.postgres.delivery.breakers import SqlBreakers
from mailroom.adapters.postgres.outbound.message_reader import SqlMessageReader
from mailroom.adapters.postgres.outbound.pauses import SqlPauses
from mailroom.adapters.postgres.outbound.retention import forget_outbound
from mailroom.domain.delivery.same_refusals import SentTo
from mailroom.domain.errors import MailroomError, Paused, SenderRefused
from mailroom.domain.outbound.message import Party
from tests.support.sending import Office, office_on

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
QUARTER, HOUR, DAY = timedelta(minutes=15), timedelta(hours=1), timedelta(days=1)
ACCOUNT = Paused("stopped", code=554)


@pytest.fixture
def office(engine: Engine) -> Iterator[Office]:
    with office_on(engine) as made:
        yield made


@pytest.fixture
def pauses(engine: Engine) -> SqlPauses:
    return SqlPauses(engine)


def begin(pauses: SqlPauses, error: MailroomError = ACCOUNT, *, domain: str = "", provider: str = "memory") -> None:
    pauses.begin(error, identity=f"{provider}/test", provider=provider, sender_domain=domain, now=NOW)


def waiting(office: Office, address: str, provider: str | None = "memory") -> str:
    """Return the id of a batch that waits for a pause; its message was tried by this provider, or by none."""
    batch_id = office.batch(1, now=NOW, from_=Party(address))
    with office.engine.begin() as connection:
        connection.execute(
            text(
                "update message set status = 'deferred', reason = 'paused', due_at = :due, provider = :provider "
                "where batch_id = :id"
            ),
            {"due": NOW + HOUR, "provider": provider, "id": batch_id},
        )
    return batch_id


def due(office: Office) -> set[str]:
    """Return the ids of the batches that are due now."""
    return set(office.values(f"select batch_id::text from message where due_at <= '{NOW.isoformat()}'"))


def test_a_probe_of_one_account_wakes_the_batches_of_its_provider(office: Office, pauses: SqlPauses) -> None:
    """Also those that were put off before their first attempt, which have no provider yet."""
    begin(pauses)
    ours, fresh = waiting(office, "a@acme.test"), waiting(office, "b@acme.test", None)
    waiting(office, "c@acme.test", "ses")

    assert pauses.probe_now("memory/test", None, now=NOW) == 2
    assert due(office) == {ours, fresh}


@pytest.mark.parametrize(
    ("asked", "address", "wakes"),
    [
        ("acme.test", "desk@acme.test", True),
        ("ACME.test", "desk@Acme.Test", True),
        ("a_b.test", "desk@axb.test", False),
        ("acme.test", "desk@mail.acme.test", False),
        ("acme.test", "desk@notacme.test", False),
        ("xn--bcher-kva.test", "desk@bücher.test", True),
        ("bücher.test", "desk@bücher.test", True),
        ("BÜCHER.test", "desk@xn--bcher-kva.test", True),
    ],
)
def test_a_probe_of_a_sender_wakes_the_batches_of_its_domain(
    office: Office, pauses: SqlPauses, asked: str, address: str, wakes: bool
) -> None:
    """The pause has the domain as it goes to the provider; `_` is a letter, no wildcard."""
    domain = {"bücher.test": "xn--bcher-kva.test"}.get(asked.lower(), asked.lower())
    begin(pauses, SenderRefused("not verified", sender_domain=domain), domain=domain)
    batch_id = waiting(office, address)

    woken = pauses.probe_now("memory/test", asked, now=NOW)

    assert (woken or 0, due(office)) == ((1, {batch_id}) if wakes else (0, set()))


@pytest.mark.parametrize("asked", ["", "%", "no domain", "x" * 300, "a\x00b"])
def test_what_is_no_domain_is_no_pause_of_an_account(office: Office, pauses: SqlPauses, asked: str) -> None:
    """A mistyped sender must not be read as the whole account."""
    begin(pauses)

    assert pauses.probe_now("memory/test", asked, now=NOW) is None


def test_a_batch_shows_the_pause_of_its_provider_and_sender(office: Office, pauses: SqlPauses) -> None:
    """A longer pause of another account says nothing of it."""
    begin(pauses, SenderRefused("not verified", sender_domain="xn--bcher-kva.test"), domain="xn--bcher-kva.test")
    begin(pauses, provider="ses")
    with office.engine.begin() as connection:
        connection.execute(text("update provider_pause set until = until + interval '1 day' where provider = 'ses'"))
    reader = SqlMessageReader(office.engine)
    addresses = {"desk@bücher.test": "memory", "b@acme.test": "ses", "c@acme.test": "memory"}

    lines = [reader.batch("acme", waiting(office, address, name)) for address, name in addresses.items()]

    assert [line and line.paused and line.paused.identity for line in lines] == ["memory/test", "ses/test", None]


def test_a_pause_that_nobody_ends_is_deleted_after_a_day(office: Office, pauses: SqlPauses) -> None:
    """The provider was changed, or no mail is left: nobody probes it. One that is probed stays."""
    begin(pauses)
    begin(pauses, provider="ses")
    late = NOW + QUARTER + DAY

    forget_outbound(office.engine, late)
    kept = len(pauses.all())
    pauses.admit("ses/test", "acme.test", now=late)
    forget_outbound(office.engine, late + timedelta(seconds=1))

    assert kept == 2
    assert [one.identity for one in pauses.all()] == ["ses/test"]


def test_a_row_of_refusals_is_deleted_with_the_end_of_its_batch(office: Office) -> None:
    """While a message may still be sent it stays: waiting, sending, unknown or held."""
    batch_id = office.batch(1, now=NOW)
    SqlBreakers(office.engine).count_refusals(batch_id, [SentTo("rcpt 550", "users.test")], now=NOW)
    kept = []
    for status in ("queued", "deferred", "sending", "unknown", "held"):
        with office.engine.begin() as connection:
            connection.execute(text("update message set status = :status"), {"status": status})
        forget_outbound(office.engine, NOW)
        kept += office.values("select count(*) from same_refusal")
    with office.engine.begin() as connection:
        connection.execute(text("update message set status = 'rejected'"))

    forget_outbound(office.engine, NOW)

    assert kept == [1] * 5
    assert office.values("select count(*) from same_refusal") == [0]
