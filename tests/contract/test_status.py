"""Is everything well? By the page and the API, on PostgreSQL: what is wrong is said, and what hangs delays and hides nothing."""

import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from mailroom.adapters.postgres.engine import make_engine
from mailroom.adapters.postgres.operations.roster import SqlRoster
from mailroom.adapters.postgres.operations.status import SqlStatusFacts
from mailroom.api.app import create_app
from mailroom.domain.errors import TransientError
from mailroom.domain.inbound.received_email import State
from mailroom.operations.status import Level, StatusReader, StatusRow
from mailroom.operations.status_rows import sources
from mailroom.ports.api_keys import Holder
from mailroom.ports.scheduler import ScheduledDeployment, Scheduling
from mailroom.testing.api import BROWSER, Memory, TestClient
from mailroom.testing.scheduler import MemoryScheduler
from tests.support.inboxes import an_email, save


def now() -> datetime:
    return datetime.now(UTC)


class Fixed(MemoryScheduler):
    """A scheduler with these deployments."""

    def __init__(self, *deployments: ScheduledDeployment) -> None:
        super().__init__(Scheduling(last_worked_at=None))
        self.listed = list(deployments)

    def deployments(self) -> list[ScheduledDeployment]:
        return self.listed


class World:
    """A service on PostgreSQL, with queues and a scheduler of the test's own."""

    def __init__(self, engine: Engine, **parts: Any) -> None:
        soon = ScheduledDeployment("watch", False, now(), "Completed", "0 findings", now() + timedelta(minutes=4))
        given: dict[str, Any] = {"dead_letters": {"inbound": lambda: 0}, "scheduler": Fixed(soon)} | parts
        self.reader = StatusReader(sources(SqlStatusFacts(engine), **given), patience_s=parts.pop("patience_s", 20))
        memory = Memory()
        memory.keys.holders.update({"root": Holder("root"), "acme": Holder("anna", "acme")})
        services = replace(memory.services(), status=self.reader, now=now)
        self.client = TestClient(create_app(services), base_url="http://mail.example")

    def rows(self) -> dict[str, StatusRow]:
        return {row.name: row for row in self.reader.look(now=now()).rows}

    def ask(self, path: str, key: str = "root") -> Any:
        return self.client.get(
            path, headers={"Authorization": f"Bearer {key}"} | (BROWSER if path == "/status" else {})
        )


def proof(engine: Engine, **differences: int) -> None:
    with engine.begin() as connection:
        values = "(begun_at, ended_at, differences, counts) values (now(), now(), cast(:found as jsonb), '{}')"
        inside = ", ".join(f'"{name}": {count}' for name, count in differences.items())
        connection.execute(text(f"insert into reconciliation {values}"), {"found": "{" + inside + "}"})


@pytest.fixture
def well(engine: Engine) -> World:
    """An installation in which all is well."""
    SqlRoster(engine).heartbeat("worker-1", now=now(), in_hand=2, paused_by=None)
    proof(engine, inbound=0)
    return World(engine)


def test_a_healthy_installation_is_well_in_one_sentence(well: World) -> None:
    """On the page and in the API; for a tenant neither exists."""
    said = well.ask("/v1/status").json()

    assert [row for row in said["rows"] if row["level"] != "good"] == []
    assert (said["well"], said["sentence"]) == (True, "Everything is well.")
    assert "<h1>Everything is well.</h1>" in well.ask("/status").text
    assert [well.ask(path, "acme").status_code for path in ("/status", "/v1/status")] == [404, 404]
    assert 'href="/status"' not in well.ask("/quarantine", "acme").text


def test_each_thing_that_is_wrong_says_what_to_do(engine: Engine) -> None:
    """Counted at the top, the worst first."""
    old = now() - timedelta(hours=1)
    save(engine, an_email(State.RECEIVED, received_at=old))
    save(engine, an_email(State.QUARANTINED, reason="no_route", received_at=now()))
    roster = SqlRoster(engine)
    roster.heartbeat("paused", now=now(), in_hand=0, paused_by="archive")
    proof(engine, inbound=2)
    late = ScheduledDeployment("reconcile", False, old, "Completed", None, old)
    world = World(engine, dead_letters={"inbound": lambda: 3}, scheduler=Fixed(late))

    rows, said = world.rows(), world.ask("/status").text

    wrong = {name for name, row in rows.items() if row.level is not Level.GOOD}
    assert wrong == {"Oldest not finished", "Quarantine", "paused", "Last proof", "Dead letters: inbound", "reconcile"}
    assert all(rows[name].what_to_do for name in wrong)
    assert f"<h1>{len(wrong)} things need you.</h1>" in said
    assert rows["Quarantine"].value == "1 not filed, 1 of them in the last day"


def test_without_a_worker_and_without_a_proof_it_is_not_well(engine: Engine) -> None:
    """A new installation, or one whose machine is gone."""
    rows = World(engine).rows()

    assert (rows["Workers"].level, rows["Last proof"].level) == (Level.BAD, Level.LOOK)


def test_what_is_away_is_said_and_hides_nothing(engine: Engine, well: World) -> None:
    """Prefect, a queue, and the database; the others are as they are."""

    def away() -> int:
        raise TransientError("AWS cannot be reached")

    def broken() -> int:
        raise KeyError("unforeseen")

    world = World(engine, dead_letters={"inbound": away, "mailbox": broken}, scheduler=MemoryScheduler(None))
    rows = world.rows()
    nowhere = make_engine("postgresql://127.0.0.1:1/nowhere")
    lost = {
        row.name: row
        for row in StatusReader(sources(SqlStatusFacts(nowhere), dead_letters={}, scheduler=None)).look(now=now()).rows
    }

    unknown = {name: row.value for name, row in rows.items() if row.level is Level.UNKNOWN}
    assert unknown == {
        "Queue inbound": "AWS cannot be reached",
        "Queue mailbox": "could not be found out (KeyError)",
        "Prefect": "Prefect cannot be reached",
    }
    assert rows["Mail"].level is Level.GOOD
    assert lost["Database"].level is Level.UNKNOWN


def test_what_hangs_delays_nothing_and_is_asked_once(engine: Engine, well: World) -> None:
    """A look ends in time; the source that hangs is not asked again before it answers, so no threads gather."""
    go_on, asked = threading.Event(), []

    def hangs() -> int:
        asked.append(1)
        go_on.wait(60)
        return 0

    fresh = sources(SqlStatusFacts(engine), dead_letters={"inbound": hangs}, scheduler=None)
    reader = StatusReader(fresh, patience_s=1)
    first, second = (list(reader.look(now=now()).rows) for _ in range(2))
    go_on.set()
    while not any(row.name == "Dead letters: inbound" for row in reader.look(now=now()).rows):
        time.sleep(0.05)

    assert [row.value for rows in (first, second) for row in rows if row.name == "Queue inbound"] == [
        "does not answer in time"
    ] * 2
    assert len(asked) >= 1
    assert asked[:2] in ([1], [1, 1])


@pytest.mark.parametrize(
    ("deployment", "level"),
    [
        (ScheduledDeployment("a", True), Level.LOOK),
        (ScheduledDeployment("a"), Level.BAD),
        (ScheduledDeployment("a", next_at=datetime(2100, 1, 1, tzinfo=UTC)), Level.GOOD),
        (
            ScheduledDeployment(
                "a", False, datetime(2020, 1, 1, tzinfo=UTC), "Crashed", None, datetime(2100, 1, 1, tzinfo=UTC)
            ),
            Level.LOOK,
        ),
    ],
)
def test_schedules_are_judged_by_their_runs(engine: Engine, deployment: ScheduledDeployment, level: Level) -> None:
    """Paused, without a run ahead, new, and one whose last run crashed."""
    assert World(engine, scheduler=Fixed(deployment)).rows()["a"].level is level
