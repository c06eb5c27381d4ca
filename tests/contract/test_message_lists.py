"""Lists of batches and messages, and what recipients did, over HTTP on a real database."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, text

from mailroom.adapters.postgres.delivery.events import SqlEvents
from mailroom.adapters.postgres.roles import grant_roles
from mailroom.adapters.postgres.schema import MIGRATIONS, migrations
from mailroom.api.services import Services
from mailroom.domain.delivery.events import Actor, DeliveryEvent, Kind
from mailroom.testing.api import NOW, TestClient
from mailroom.testing.archive import MemoryArchive
from tests.support.batch_requests import ADMIN, UMBRELLA, batch, message, sent, submitted

HOUR = timedelta(hours=1)


@pytest.fixture
def clock(api: TestClient) -> list[datetime]:
    """The time of the API, which a test may change."""
    state = api.app.state  # type: ignore[attr-defined]
    now = [NOW]
    services: Services = state.services
    state.services = replace(services, now=lambda: now[0])
    return now


def listed(api: TestClient, path: str, headers: dict[str, str] | None = None, **params: Any) -> list[dict[str, Any]]:
    """Return all lines of a list, page by page."""
    found: list[dict[str, Any]] = []
    cursor = None
    while True:
        page = api.get(path, params=params | ({"cursor": cursor} if cursor else {}), headers=headers or {}).json()
        found += page["items"]
        if not (cursor := page["next"]):
            return found


def to(lines: list[dict[str, Any]]) -> list[str]:
    return [line["to"].partition("@")[0] for line in lines]


def event(message_id: str, kind: Kind, number: int, actor: Actor = Actor.HUMAN) -> DeliveryEvent:
    return DeliveryEvent(
        provider="ses", event_id=f"{message_id}-{number}", kind=kind, at=NOW, message_id=message_id, actor=actor
    )


def test_batches_are_listed_newest_first_and_only_ones_own(api: TestClient, clock: list[datetime]) -> None:
    """A caller that lost its answer finds its batch; another tenant's is not there."""
    ids = []
    for at in range(5):
        clock[0] = NOW + at * HOUR
        ids.append(submitted(api, batch(metadata={"run": str(at)}))["id"])
    submitted(api, batch(), Authorization=UMBRELLA["Authorization"])

    assert [line["id"] for line in listed(api, "/v1/batches", limit=2)] == ids[::-1]
    [newest] = api.get("/v1/batches", params={"limit": 1}).json()["items"]
    assert newest == api.get(f"/v1/batches/{ids[-1]}").json() | {"done_at": None}
    times = {"since": (NOW + HOUR).isoformat(), "until": (NOW + 3 * HOUR).isoformat()}
    assert [line["id"] for line in listed(api, "/v1/batches", **times)] == [ids[2], ids[1]]
    assert len(listed(api, "/v1/batches", headers=UMBRELLA)) == 1
    assert len(listed(api, "/v1/batches", headers=ADMIN)) == 6
    assert len(listed(api, "/v1/batches", headers=ADMIN, tenant="acme")) == 5
    assert api.get("/v1/batches", params={"tenant": "acme"}, headers=UMBRELLA).status_code == 404
    for wrong in (
        {"limit": 0},
        {"limit": 1_000},
        {"cursor": "x"},
        {"status": "lost"},
        {"since": "monday"},
        {"stream": "Weekly"},
        {"streams": "weekly"},
    ):
        assert api.get("/v1/batches", params=wrong).status_code == 422, wrong


def test_batches_by_status_are_found_behind_many_others(
    api: TestClient, engine: Engine, archive: MemoryArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page looks through a bounded number of batches; where they end, the next page goes on, and none is left out."""
    monkeypatch.setattr("mailroom.adapters.postgres.outbound.message_reader._MOST_SEARCHED", 3)
    ids = [submitted(api, batch())["id"] for _ in range(10)]
    gone = {ids[0], ids[4], ids[9]}
    for batch_id in gone:
        sent(engine, batch_id, archive)

    assert {line["id"] for line in listed(api, "/v1/batches", status="dispatched")} == gone
    assert {line["id"] for line in listed(api, "/v1/batches", status="accepted", limit=1)} == set(ids) - gone
    assert len(listed(api, "/v1/batches", status=["accepted", "dispatched"], limit=2)) == 10
    assert listed(api, "/v1/batches", status="held") == []


def test_messages_are_found_by_reference_metadata_and_time(api: TestClient, clock: list[datetime]) -> None:
    """Support has an invoice's number, and not the id of a message."""
    submitted(api, batch(message(reference="inv-7", metadata={"invoice": "7", "customer": "c=1"})))
    clock[0] = NOW + HOUR
    bob = message(to="bob@users.test", reference="inv-8", metadata={"invoice": "8", "customer": "c=1"})
    submitted(api, batch(bob, message(to="carl@users.test", reference="inv-7")))
    clock[0] = NOW + 2 * HOUR
    submitted(api, batch(message(to="dora@users.test", metadata={"note": "größe \U0001f600"})))

    def found(**params: Any) -> list[str]:
        return sorted(to(listed(api, "/v1/messages", limit=1, **params)))

    assert found(reference="inv-7") == ["ada", "carl"]
    assert found(reference="inv-7", recipient="carl@users.test") == ["carl"]
    assert found(metadata="customer=c=1") == ["ada", "bob"]
    assert found(metadata=["customer=c=1", "invoice=8"]) == ["bob"]
    assert found(metadata="invoice=7", reference="inv-7") == ["ada"]
    assert found(metadata="note=größe \U0001f600") == ["dora"]
    assert found(metadata="invoice=7", status="dispatched") == []
    assert found(since=(NOW + HOUR).isoformat()) == ["bob", "carl", "dora"]
    assert found(since=(NOW + HOUR).isoformat(), until=(NOW + 2 * HOUR).isoformat()) == ["bob", "carl"]
    assert found(metadata="customer=c=1", since=(NOW + HOUR).isoformat()) == ["bob"]
    for nobody in ({"reference": "inv"}, {"reference": "INV-7"}, {"metadata": "invoice=70"}, {"metadata": "7"}):
        assert found(**nobody) == []


def test_batches_and_messages_of_a_stream(api: TestClient, engine: Engine, archive: MemoryArchive) -> None:
    """A batch that names none is in the stream that its line shows, also one of an earlier release."""
    one = message(reference="r1", metadata={"invoice": "1"})
    weekly = [submitted(api, batch(one, message(to="bob@users.test"), stream="weekly"))["id"] for _ in range(2)]
    receipt, bulk = submitted(api, batch(one))["id"], submitted(api, batch(lane="bulk"))["id"]
    submitted(api, batch(one, stream="weekly"), Authorization=UMBRELLA["Authorization"])
    sent(engine, weekly[0], archive)
    with engine.begin() as connection:
        connection.execute(text("update batch set stream = null where id = :id"), {"id": bulk})

    def batches(stream: str, headers: dict[str, str] | None = None, **params: Any) -> list[str]:
        lines = listed(api, "/v1/batches", headers=headers, limit=1, stream=stream, **params)
        assert {line["stream"] for line in lines} <= {stream}
        return [line["id"] for line in lines]

    def messages(stream: str, headers: dict[str, str] | None = None, **params: Any) -> list[str]:
        return sorted(to(listed(api, "/v1/messages", headers=headers, limit=1, stream=stream, **params)))

    assert sorted(batches("weekly")) == sorted(weekly)
    assert (batches("transactional"), batches("bulk"), batches("week")) == ([receipt], [bulk], [])
    assert batches("weekly", status="dispatched") == weekly[:1]
    assert (len(batches("weekly", ADMIN)), len(batches("weekly", ADMIN, tenant="umbrella"))) == (3, 1)
    assert (messages("weekly"), messages("bulk")) == (["ada", "ada", "bob", "bob"], ["ada"])
    assert messages("weekly", status="dispatched", recipient="bob@users.test") == ["bob"]
    assert messages("weekly", batch=receipt) == []
    assert messages("transactional", reference="r1") == ["ada"]
    assert len(messages("weekly", ADMIN, metadata="invoice=1")) == 3
    assert api.get("/v1/messages", params={"stream": "weekly' or 1=1"}).status_code == 422


def test_labels_of_another_tenant_find_nothing(api: TestClient) -> None:
    """Both number their invoices from 1; an administrator sees both, or one of them."""
    one = message(reference="r1", metadata={"invoice": "1"})
    submitted(api, batch(one))
    submitted(api, batch(one | {"to": "bob@users.test"}), Authorization=UMBRELLA["Authorization"])

    for params in ({"reference": "r1"}, {"metadata": "invoice=1"}):
        assert to(listed(api, "/v1/messages", **params)) == ["ada"]
        assert to(listed(api, "/v1/messages", headers=UMBRELLA, **params)) == ["bob"]
        assert sorted(to(listed(api, "/v1/messages", headers=ADMIN, limit=1, **params))) == ["ada", "bob"]
        assert to(listed(api, "/v1/messages", headers=ADMIN, tenant="acme", **params)) == ["ada"]


@pytest.mark.parametrize(
    "params",
    [{"reference": ""}, {"reference": "é"}, {"reference": "x" * 201}, {"metadata": "a\x00=b"}, {"metadata": "=x"},
     {"metadata": ["a=b"] * 11}, {"since": "yesterday"}, {"until": "0001-01-01"}, {"metadata": "x" * 1_102}],
)  # fmt: skip
def test_filters_are_bounded(api: TestClient, params: dict[str, Any]) -> None:
    """A filter that can find nothing is a mistake, and one that PostgreSQL cannot read an error of ours."""
    assert api.get("/v1/messages", params=params).status_code == 422


def test_what_an_earlier_release_accepts_meanwhile_is_found(api: TestClient, engine: Engine) -> None:
    """In a rolling deploy old processes write messages; triggers label them and count what recipients did."""
    output = submitted(api, batch())
    columns = 'batch_id, tenant, recipient, "to", content, size, status, due_at, attempts, created_at, changed_at'
    insert = f"""
        insert into message (id, number, reference, metadata, {columns})
        select gen_random_uuid(), 1, cast(:reference as text), cast(:metadata as jsonb), {columns} from message limit 1
    """
    with engine.begin() as connection:
        # The others are of no shape that this release writes: they keep nobody from writing.
        for reference, metadata in (("old", '{"invoice": "7"}'), ("odd", '{"a": null, "b": {}}'), ("list", "[7]")):
            connection.execute(text(insert), {"reference": reference, "metadata": metadata})
        connection.execute(
            text("insert into activity (message_id, at, kind, facts) select id, now(), 'opened', '{}' from message")
        )

    assert len(listed(api, "/v1/messages", reference="old")) == 1
    assert len(listed(api, "/v1/messages", metadata="invoice=7")) == 1
    assert api.get(output["url"]).json()["engagement"]["opened"] == 4


def test_numbers_of_a_batch_count_everything_that_recipients_did(
    api: TestClient, engine: Engine, archive: MemoryArchive
) -> None:
    """The status has the weightiest event alone: an open was hidden behind a click, and a click behind a complaint."""
    output = submitted(api, batch(*(message(to=f"u{at}@users.test") for at in range(7))))
    ids = [mail.id for mail in sorted(sent(engine, output["id"], archive), key=lambda mail: mail.to.address)]
    events = SqlEvents(engine)
    happened = [
        (0, Kind.OPENED), (0, Kind.OPENED), (0, Kind.CLICKED), (0, Kind.UNSUBSCRIBED),
        (1, Kind.CLICKED),
        (2, Kind.OPENED), (2, Kind.COMPLAINED),
        (3, Kind.UNSUBSCRIBED), (3, Kind.UNSUBSCRIBED),
        (4, Kind.DELIVERED),
        (6, Kind.CLICKED), (6, Kind.BOUNCED_HARD),
    ]  # fmt: skip
    events.record([event(ids[at], kind, number) for number, (at, kind) in enumerate(happened)], now=NOW)
    machine = [event(ids[5], kind, number, Actor.MACHINE) for number, kind in enumerate((Kind.OPENED, Kind.CLICKED))]
    events.record(machine, now=NOW)
    events.record([event(ids[0], Kind.OPENED, 99)], now=NOW)

    shown = api.get(output["url"]).json()

    assert shown["engagement"] == {"opened": 4, "clicked": 3, "unsubscribed": 2}
    assert shown["statuses"] == {"bounced": 1, "clicked": 2, "complained": 1, "delivered": 3}
    assert api.get("/v1/batches").json()["items"][0]["engagement"] == shown["engagement"]
    page = api.get(f"/batches/{output['id']}", headers={"Accept": "text/html"}).text
    assert "Recipients: 4 opened, 3 clicked, 2 unsubscribed" in page


def test_a_batch_that_nobody_opened_says_zero(api: TestClient) -> None:
    """A number that is missing is not known; this one is."""
    output = submitted(api, batch())

    assert api.get(output["url"]).json()["engagement"] == {"opened": 0, "clicked": 0, "unsubscribed": 0}
    assert "Recipients:" not in api.get(f"/batches/{output['id']}", headers={"Accept": "text/html"}).text


def test_what_was_there_before_the_migration_is_found_and_counted(
    api: TestClient, engine: Engine, owner_engine: Engine, owner_url: str, archive: MemoryArchive
) -> None:
    """An upgrade loses nothing: older messages have their labels, and older batches their numbers."""
    output = submitted(api, batch(message(reference="r1", metadata={"invoice": "7"}), message(to="bob@users.test")))
    ada, _ = (mail.id for mail in sorted(sent(engine, output["id"], archive), key=lambda mail: mail.to.address))
    SqlEvents(engine).record([event(ada, Kind.CLICKED, 1), event(ada, Kind.UNSUBSCRIBED, 2)], now=NOW)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes |= {"engine": owner_engine, "applied": []}
    before = migrations()[[script.revision for script in migrations()].index("0022") - 1].revision

    command.downgrade(config, before)
    command.upgrade(config, "head")
    grant_roles(owner_url)

    assert (
        to(listed(api, "/v1/messages", reference="r1"))
        == to(listed(api, "/v1/messages", metadata="invoice=7"))
        == ["ada"]
    )
    assert api.get(output["url"]).json()["engagement"] == {"opened": 1, "clicked": 1, "unsubscribed": 1}
