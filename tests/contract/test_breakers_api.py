"""Circuit breakers over HTTP and on the command line: who sees them, who closes them, and which runs are resumed."""

import json
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text
from typer.testing import CliRunner

from mailroom.adapters.postgres.delivery.breakers import SqlBreakers
from mailroom.cli import breakers as command
from mailroom.cli._installation import Opened
from mailroom.ports.breakers import Broken
from mailroom.testing.api import BROWSER, NOW, TestClient
from mailroom.testing.runs import MemoryRuns
from tests.support.batch_requests import ADMIN, UMBRELLA, batch, message, submitted


@pytest.fixture
def broken(api: TestClient, engine: Engine, runs: MemoryRuns) -> Broken:
    """A stopped batch of acme's with one suspended run and one that was cancelled since."""
    to = [message(to=f"u{at}@users.test") for at in range(100)]
    batch_id = submitted(api, batch(*to))["batch_id"]
    with engine.begin() as connection:
        connection.execute(text("update message set status = 'complained', handed_at = :now"), {"now": NOW})
    breakers = SqlBreakers(engine)
    found = breakers.check(batch_id, now=NOW)
    assert found is not None
    waiting = str(uuid4())
    runs.suspended.add(waiting)
    for run in (waiting, str(uuid4())):
        breakers.hold(found.id, run)
    again = breakers.of_batch(batch_id)
    assert again is not None
    return again


def test_open_breakers_are_listed_for_the_tenants_they_stop(api: TestClient, broken: Broken) -> None:
    """A tenant sees why its batch stopped, and nothing of another's; the runs are the administrator's."""
    [mine] = api.get("/v1/breakers").json()["items"]
    theirs = api.get("/v1/breakers", headers=UMBRELLA).json()["items"]
    [whole] = api.get("/v1/breakers", headers=ADMIN).json()["items"]

    assert (mine["batch_id"], mine["trip"], mine["sent"], mine["complained"]) == (
        broken.batch_id,
        "complaints",
        100,
        100,
    )
    assert (mine["runs"], whole["runs"]) == ([], list(broken.runs))
    assert theirs == []


def test_an_administrator_closes_it_and_its_runs_go_on(api: TestClient, broken: Broken, runs: MemoryRuns) -> None:
    """Repeated after a lost response it stays closed; no run is left suspended to be resumed."""
    output = [api.post(f"/v1/breakers/{broken.id}/close", headers=ADMIN).json() for _ in range(2)]
    listed = [api.get("/v1/breakers", params=asked).json()["items"] for asked in ({}, {"closed": "true"})]

    assert [one["resumed"] for one in output] == [1, 0]
    assert output[0]["closed_by"] == "admin"
    assert runs.asked == [("resume", run) for run in broken.runs] * 2
    assert [len(items) for items in listed] == [0, 1]


def test_a_tenant_may_not_close_it(api: TestClient, broken: Broken, runs: MemoryRuns) -> None:
    """The reputation at stake is the installation's."""
    answer = api.post(f"/v1/breakers/{broken.id}/close")

    assert answer.status_code == 403
    assert runs.asked == []


@pytest.mark.parametrize("breaker_id", ["0190a1b2-0000-7000-8000-0000000000ff", "none"])
def test_an_unknown_breaker_is_not_found(api: TestClient, breaker_id: str) -> None:
    """Any malformed id is answered as an unknown one."""
    assert api.post(f"/v1/breakers/{breaker_id}/close", headers=ADMIN).status_code == 404


def test_pages_say_that_a_batch_was_stopped_and_how_to_resume_it(api: TestClient, broken: Broken) -> None:
    """Users who wait for a batch look at its page first."""
    of_batch = api.get(f"/batches/{broken.batch_id}", headers=BROWSER).text
    listed = api.get("/breakers", headers=BROWSER).text
    whole = api.get("/breakers", headers=ADMIN | BROWSER).text
    foreign = api.get("/breakers", headers=UMBRELLA | BROWSER).text

    assert "too many recipients reported a message as spam" in of_batch
    assert f"mailroom breakers close {broken.id}" in listed
    assert f"/runs/flow-run/{broken.runs[0]}" in whole
    assert "flow-run" not in listed
    assert broken.id not in foreign
    assert "No open breakers" in foreign


def test_the_command_line_lists_and_closes(
    engine: Engine, broken: Broken, runs: MemoryRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At night there may be a terminal and no browser."""
    opened = Opened()
    opened.engine, opened.runs = engine, runs
    monkeypatch.setattr(command, "Opened", lambda: opened)
    runner = CliRunner()

    listed = runner.invoke(command.app, ["list"])
    closed = runner.invoke(command.app, ["close", broken.id, "--json"])
    after = runner.invoke(command.app, ["list"])

    assert broken.id in listed.output
    assert "2 runs paused" in listed.output
    assert json.loads(closed.output)["resumed"] == 1
    assert after.output == "no open breakers\n"
