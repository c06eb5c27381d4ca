"""Bad rows block nothing else: times, words and shapes that only SQL or older code can write."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import Engine, text

from mailroom.adapters.postgres.delivery.events import SqlEvents
from mailroom.adapters.postgres.outbound.outbox import SqlOutbox
from mailroom.domain.delivery.events import Kind
from mailroom.domain.errors import PermanentError
from mailroom.outbound.outbox_relay import relay
from mailroom.ports.monitoring import Loop
from mailroom.testing.api import NOW
from mailroom.testing.notices import an_event
from tests.support.background_loops import LATER, Installation
from tests.support.batch_requests import ADMIN, UMBRELLA, batch

#: Values that PostgreSQL stores and Python cannot read.
TIMES = ["infinity", "-infinity", "294276-12-30 00:00:00+00", "0001-01-01 00:00:00+01"]
SHAPES = [
    "[]",
    "5",
    '{"address": 5, "kind": 5}',
    # Python reads numbers of up to 4300 digits, and lists nested a thousand deep.
    pytest.param('{"address": ' + "9" * 5_000 + "}", id="digits"),
    pytest.param("[" * 3_000 + "]" * 3_000, id="deep"),
]


@pytest.fixture
def installation(engine: Engine, database_url: str) -> Installation:
    made = Installation(engine, database_url)
    made.fill()
    return made


def assert_nothing_stops(installation: Installation, *, own: set[int]) -> None:
    """Every list, page and metric answers, every loop completes, and a batch of another tenant is sent."""
    healthy = installation.fill_umbrella()

    answers = {(who, path): status for who, path, status in installation.reads()}
    for loop in installation.loops().values():
        loop()

    lists = {what: status for what, status in answers.items() if "{" not in what[1]}
    assert {what: status for what, status in lists.items() if status >= 400 and status != 404} == {}
    assert {status for what, status in answers.items() if "{" in what[1]} <= {200, 404, 410} | own
    assert {status for (who, path), status in answers.items() if who == "umbrella" and "_id}" in path} <= {404}
    assert healthy in installation.relayed()


@pytest.mark.parametrize("value", TIMES)
def test_an_impossible_time_blocks_nothing(installation: Installation, value: str) -> None:
    """Each time column of each table in turn: no read, and so no list, page, metric or loop, may fail by it."""
    installation.spoil_times(value)

    assert_nothing_stops(installation, own=set())

    assert installation.check()["unusable time"] > 5


@pytest.mark.parametrize("value", SHAPES)
def test_json_of_another_shape_blocks_nothing(installation: Installation, value: str) -> None:
    """A request for the row itself may answer that it cannot be read; everything else works."""
    installation.spoil_shapes(value)

    assert_nothing_stops(installation, own={502})


def test_an_envelope_that_is_not_known_is_no_bad_row(installation: Installation, engine: Engine) -> None:
    """Older code stored it as JSON null: there is nothing to repair."""
    with engine.begin() as connection:
        connection.execute(text("update inbound_email set envelope = cast('null' as jsonb)"))

    assert installation.check() == {}


@pytest.mark.parametrize("largest", [True, False])
def test_absurd_numbers_block_nothing(installation: Installation, engine: Engine, largest: bool) -> None:
    """A column's largest number overflows in a sum; a negative one is no count of attempts, bytes or mails."""
    provider = "insert into provider values ('ses/1', 'ses', 14, 50000, 0, false, 1000, :now)"
    with engine.begin() as connection:
        connection.execute(text(provider), {"now": NOW})
    installation.spoil_numbers(largest=largest)

    assert_nothing_stops(installation, own={502})

    output = an_event(Kind.DELIVERED, "after", message_id=installation.ids["message_id"], provider_message_id="known")
    assert SqlEvents(engine).record([output], now=NOW).matched == 1


def test_unknown_words_block_nothing(installation: Installation) -> None:
    """A status, lane, policy or trip of newer code, or written by hand."""
    installation.spoil_words()

    assert_nothing_stops(installation, own={502})

    wrong = installation.check()
    assert (wrong["unknown status"], wrong["unknown word"]) == (2, 2)


def test_a_skipped_row_is_reported_and_does_not_come_first_again(installation: Installation, engine: Engine) -> None:
    """The oldest come first, a hundred at a time: a hundred bad rows must not hide all others."""
    batch_id = installation.ids["batch_id"]
    with engine.begin() as connection:
        connection.execute(text("update batch set lane = 'no such lane'"))
        connection.execute(
            text("insert into outbox (batch_id, due_at) select :batch, :now from generate_series(1, 150)"),
            {"batch": batch_id, "now": NOW},
        )
    healthy = installation.fill_umbrella()
    outbox, held = SqlOutbox(engine), timedelta(seconds=31)

    published = [relay(outbox, installation.queue, now=LATER + held * at) for at in range(3)]

    assert published == [0, 1, 0]
    assert installation.relayed() == {healthy}
    [named] = installation.values("select subject from skipped_row where subject like '%' || '" + batch_id + "'")
    assert named == f"batch {batch_id}"
    assert installation.values("select distinct why from skipped_row") == ["unknown lane"]


def test_a_skipped_row_is_shown_until_it_is_repaired(installation: Installation, engine: Engine) -> None:
    """In health, metrics and the check, by its id; repairing the row is all that an operator has to do."""
    with engine.begin() as connection:
        connection.execute(text("update batch set lane = 'no such lane'"))
    for loop in installation.loops().values():
        loop()

    ready = installation.client.get("/readyz").json()
    metrics = installation.client.get("/metrics").text
    [skipped] = [one for one in installation.services.watch.skipped() if one.loop == Loop.RELAY]  # type: ignore[union-attr]
    wrong = installation.check()
    with engine.begin() as connection:
        connection.execute(text("update skipped_row set seen_at = seen_at - interval '3 hours'"))
    after = installation.client.get("/readyz").json()

    assert ready["status"] == "ok"
    assert ready["rows_skipped"]["relay"] == 2
    assert 'mailroom_rows_skipped{loop="relay"} 2' in metrics
    assert 'mailroom_rows_skipped{loop="tracking"} 0' in metrics
    assert (f"batch {installation.ids['batch_id']}", "unknown lane") in skipped.named
    assert (wrong["skipped row"], wrong["unknown word"]) == (2, 2)
    assert after["rows_skipped"] == {}


@pytest.mark.parametrize("rate", ["NaN", "Infinity", "-1"])
def test_a_rate_that_is_not_a_number_blocks_nothing(installation: Installation, engine: Engine, rate: str) -> None:
    """The published terms of one account are read for every tenant's preview."""
    with engine.begin() as connection:
        connection.execute(
            text("insert into provider values ('ses/1', 'ses', cast(:rate as float8), null, null, false, 1000, :now)"),
            {"rate": rate, "now": NOW},
        )
        connection.execute(
            text("insert into rate values ('ses/1', 'ses', cast(:rate as float8), :now)"), {"rate": rate, "now": NOW}
        )

    previewed = installation.client.post("/v1/batches?dry_run=true", json=batch(), headers=UMBRELLA)

    assert previewed.status_code == 200
    assert installation.client.get("/metrics").status_code == 200


def test_a_batch_that_cannot_be_shown_can_be_cancelled(installation: Installation, engine: Engine) -> None:
    """Whatever is wrong with it, its owner or an operator can cancel it."""
    with engine.begin() as connection:
        connection.execute(text("update batch set lane = 'no such lane', \"from\" = '[]'"))

    shown = installation.client.get(f"/v1/batches/{installation.ids['batch_id']}", headers=ADMIN)
    ended = installation.client.post(f"/v1/batches/{installation.ids['batch_id']}/cancel", headers=ADMIN)

    assert (shown.status_code, ended.status_code) == (502, 200)
    assert "a row of the database cannot be read" in shown.json()["detail"]
    assert ended.json()["cancelled"] == 1


def test_a_metric_that_cannot_be_counted_costs_no_other(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other metrics must still raise their alarms."""

    def refuse(self: object, *, now: datetime) -> object:
        raise PermanentError("the database refused a statement")

    # A missing table is a schema that does not fit and answers 503: see test_schema_api.py.
    monkeypatch.setattr(SqlEvents, "parked", refuse)

    metrics = installation.client.get("/metrics")

    assert metrics.status_code == 200
    assert 'mailroom_metrics_missing{part="parked"} 1' in metrics.text
    assert "mailroom_outbound_accepted_total 2" in metrics.text
