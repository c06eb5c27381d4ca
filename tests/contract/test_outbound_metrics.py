"""`/metrics` of outbound mail, on a real database: accepted, sent, reported by events, and the age of what waits."""

from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

from sqlalchemy import Engine, text

from mailroom.adapters.postgres.delivery.breakers import SqlBreakers
from mailroom.adapters.postgres.delivery.events import SqlEvents
from mailroom.adapters.postgres.operations.monitoring import SqlMonitoring, SqlReconciliations
from mailroom.adapters.postgres.outbound.dispatching import SqlDispatch
from mailroom.adapters.postgres.outbound.outbox import SqlOutbox
from mailroom.adapters.postgres.outbound.terms import SqlTerms
from mailroom.api.app import create_app
from mailroom.domain.delivery.events import Kind
from mailroom.domain.outbound.message import Batch, Content, Draft, Party
from mailroom.domain.outbound.rate_slots import RateLimit
from mailroom.ports.reconciliations import Reconciliation
from mailroom.testing.api import NOW, Memory, TestClient
from mailroom.testing.notices import an_event


def accepted(engine: Engine, *ends: tuple[str, str | None, int | None], due_s: int = 0) -> list[str]:
    """Accept a message for each (status, provider, seconds since it was sent), and return their ids."""
    batch = Batch(id=str(uuid4()), tenant="acme", from_=Party("desk@acme.test"), send_at=NOW - timedelta(seconds=due_s))
    drafts = [Draft(id=str(uuid4()), number=at, to=Party(f"u{at}@users.test"), content=0) for at in range(len(ends))]
    SqlOutbox(engine).accept(batch, [Content(subject="a", text="b", html=None)], drafts, now=NOW)
    with engine.begin() as connection:
        for draft, (status, provider, ago_s) in zip(drafts, ends, strict=True):
            handed_at = None if ago_s is None else NOW - timedelta(seconds=ago_s)
            values = {"status": status, "provider": provider, "handed_at": handed_at, "id": draft.id}
            connection.execute(
                text(
                    "update message set status = :status, provider = :provider, handed_at = :handed_at where id = :id"
                ),
                values,
            )
    return [draft.id for draft in drafts]


def metrics(engine: Engine) -> list[str]:
    services = replace(Memory().services(), watch=SqlMonitoring(engine))
    answer = TestClient(create_app(services)).get("/metrics")
    assert answer.status_code == 200
    return [line for line in answer.text.splitlines() if not line.startswith("#")]


def test_messages_are_counted_by_provider_and_outcome(engine: Engine) -> None:
    """The first two graphs that an operator looks at: how much came in, and its outcome for each provider."""
    accepted(
        engine, ("delivered", "ses", 500), ("delivered", "ses", 500), ("bounced", "smtp", 500), ("queued", None, None)
    )

    output = metrics(engine)

    assert "mailroom_outbound_accepted_total 4" in output
    assert 'mailroom_outbound_messages{provider="ses",status="delivered"} 2' in output
    assert 'mailroom_outbound_messages{provider="smtp",status="bounced"} 1' in output
    assert 'mailroom_outbound_messages{provider="",status="queued"} 1' in output


def test_events_are_counted_by_kind_as_reported(engine: Engine) -> None:
    """A repeated event counts once; whether it changed a status is another question."""
    [message] = accepted(engine, ("dispatched", "ses", 500))
    events = [an_event(kind, f"{message}-{kind}", message_id=message) for kind in (Kind.DELIVERED, Kind.OPENED)]
    SqlEvents(engine).record([*events, events[0]], now=NOW)

    output = metrics(engine)

    assert 'mailroom_delivery_events_total{provider="ses",kind="delivered"} 1' in output
    assert 'mailroom_delivery_events_total{provider="ses",kind="opened"} 1' in output


def test_rate_in_use_is_that_of_the_last_minute(engine: Engine) -> None:
    """Beside the provider's limit it shows how much room is left."""
    accepted(engine, *[("dispatched", "ses", 30)] * 90, *[("dispatched", "ses", 61)] * 10)

    assert 'mailroom_outbound_per_second{provider="ses"} 1.5' in metrics(engine)


def test_waiting_and_unknown_messages_have_an_age(engine: Engine) -> None:
    """A long queue is busy; an old queue is stuck. What is scheduled for later is neither."""
    quiet = metrics(engine)
    accepted(engine, ("unknown", "ses", 7200), ("unknown", "ses", 60), ("queued", None, None), due_s=90)
    accepted(engine, ("scheduled", None, None), due_s=-3600)

    output = metrics(engine)

    assert "mailroom_outbound_oldest_due_seconds 0" in quiet
    assert "mailroom_outbound_oldest_due_seconds 90" in output
    assert "mailroom_outbound_oldest_unknown_seconds 7200" in output


def test_the_limit_of_an_account_is_shown_beside_the_rate_in_use(engine: Engine) -> None:
    """The limit that an operator lowered in Prefect holds, not the provider's; a login that is an address is not shown."""
    terms = SqlTerms(engine)
    for identity, per_second, ago in (
        ("ses/1/eu-west-1", 14.0, 0),
        ("ses/1/eu-west-1", 3.5, 0),
        ("smtp/relay:587/desk@acme.test", 0.0, 23),
        ("postmark/old", 9.0, 25),
    ):
        held = RateLimit(identity.partition("/")[0], identity, per_second)
        terms.hold(held, now=NOW - timedelta(hours=ago))

    output = [line for line in metrics(engine) if "_per_second{" in line]

    assert output == [
        'mailroom_outbound_per_second{provider="ses"} 0',
        'mailroom_outbound_per_second{provider="smtp"} 0',
        'mailroom_outbound_limit_per_second{provider="ses",identity="ses/1/eu-west-1"} 3.5',
        'mailroom_outbound_limit_per_second{provider="smtp",identity="smtp/relay:587/e17a101e"} 0',
    ]


def test_an_order_of_a_cancelled_batch_has_no_age(engine: Engine) -> None:
    """It will not be begun, and nothing waits for it."""
    outbox = SqlOutbox(engine)
    accepted(engine, ("queued", None, None), due_s=60)
    orders = outbox.take(most=10, now=NOW, until=NOW)
    outbox.published(orders, now=NOW - timedelta(seconds=30))

    before = metrics(engine)
    outbox.cancel("acme", orders[0].batch_id, now=NOW)

    assert "mailroom_mailbox_oldest_seconds 30" in before
    assert "mailroom_mailbox_oldest_seconds 0" in metrics(engine)


def test_orders_have_an_age_until_a_run_begins(engine: Engine) -> None:
    """First in the outbox, then on the mailbox queue, which has no age metric; scheduled orders are not late."""
    outbox, dispatch = SqlOutbox(engine), SqlDispatch(engine)
    accepted(engine, ("queued", None, None), due_s=60)
    accepted(engine, ("scheduled", None, None), due_s=-3600)
    with engine.begin() as connection:
        connection.execute(text("update outbox set written_at = :then"), {"then": NOW - timedelta(seconds=40)})
        batch_id = connection.execute(text("select batch_id::text from outbox order by id limit 1")).scalar_one()

    waiting = metrics(engine)
    orders = outbox.take(most=10, now=NOW, until=NOW)
    outbox.published(orders, now=NOW - timedelta(seconds=30))
    published = metrics(engine)
    dispatch.plan(batch_id, now=NOW)
    begun = metrics(engine)

    assert {"mailroom_outbox_orders 2", "mailroom_outbox_oldest_seconds 40", "mailroom_mailbox_oldest_seconds 0"} <= {
        *waiting
    }
    assert {"mailroom_outbox_orders 0", "mailroom_outbox_oldest_seconds 0", "mailroom_mailbox_oldest_seconds 30"} <= {
        *published
    }
    assert "mailroom_mailbox_oldest_seconds 0" in begun


def test_breakers_and_the_last_proof_are_shown(engine: Engine) -> None:
    """Both are alarms: one that somebody must close, and one that something is lost."""
    with engine.begin() as connection:
        connection.execute(text("insert into tenant (id, created_at, policy) values ('acme', now(), '{}')"))
    [*_, last] = accepted(engine, *[("complained", "ses", 500)] * 100)
    with engine.connect() as connection:
        batch_id = connection.execute(text("select batch_id from message where id = :id"), {"id": last}).scalar_one()
    before = metrics(engine)

    SqlBreakers(engine).check(str(batch_id), now=NOW)
    for wrong in (7, 2):
        SqlReconciliations(engine).note(
            Reconciliation(begun_at=NOW, ended_at=NOW, differences={"inbound": 0, "outbound": wrong}, counts={})
        )
    output = metrics(engine)

    assert 'mailroom_breakers_open{stops="batch"} 0' in before
    assert not any(line.startswith("mailroom_reconcile") for line in before)
    assert 'mailroom_breakers_open{stops="batch"} 1' in output
    assert 'mailroom_breakers_open{stops="tenant"} 0' in output
    assert 'mailroom_reconcile_differences{side="inbound"} 0' in output
    assert 'mailroom_reconcile_differences{side="outbound"} 2' in output
    assert f"mailroom_reconcile_last_run_timestamp_seconds {int(NOW.timestamp())}" in output
