"""What the API reports of Prefect's scheduler: on a server that answers as Prefect does, and on one that hangs."""

import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse

from mailroom.adapters.prefect.http import PrefectRuns
from mailroom.adapters.prefect.schedules import PrefectScheduler
from mailroom.api.app import create_app
from mailroom.audit.report import Report
from mailroom.audit.schedules import check_schedules
from mailroom.domain.errors import TransientError
from mailroom.ports.scheduler import ScheduledDeployment, Scheduler, Scheduling
from mailroom.testing.api import Memory, TestClient
from mailroom.testing.scheduler import MemoryScheduler
from tests.support.http_server import serving


@dataclass
class Server:
    """The relevant part of a Prefect server: its deployments, and the runs that its scheduler made, newest first."""

    deployments: list[dict[str, Any]] = field(default_factory=list)
    runs: list[dict[str, Any]] = field(default_factory=list)
    shown: set[str | None] = field(default_factory=set)

    def deploy(self, name: str, *schedules: dict[str, Any], ahead: int = 0) -> None:
        """Add a deployment with `ahead` scheduled runs."""
        plans = [{"active": True, "schedule": one} for one in schedules]
        self.deployments.append({"id": name, "name": name, "paused": False, "schedules": plans})
        now = datetime.now(UTC).isoformat()
        self.runs += [{"deployment_id": name, "created": now, "state_type": "SCHEDULED"} for _ in range(ahead)]

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.post("/api/deployments/filter")
        async def deployments(request: Request) -> list[dict[str, Any]]:
            self.shown.add(request.headers.get("authorization"))
            return self.deployments if not json.loads(await request.body()).get("offset") else []

        @app.post("/api/flow_runs/filter")
        async def runs(request: Request) -> list[dict[str, Any]]:
            asked = json.loads(await request.body())
            wanted = asked.get("deployments", {}).get("id", {}).get("any_")
            return [run for run in self.runs if wanted is None or run["deployment_id"] in wanted][: asked["limit"]]

        return app


def silent(url: str) -> tuple[tuple[str, ...], list[str]]:
    """Return the deployments without a scheduled run, as the service and as the check report them."""
    report = Report(emit=lambda _: None, progress=lambda _: None)
    check_schedules(f"{url}/api", report, patience=timedelta(0))
    return PrefectScheduler(f"{url}/api").look().idle, sorted(one.subject for one in report.violations)


@pytest.mark.parametrize(
    ("schedule", "idle"),
    [
        ({"interval": 300}, True),
        ({"interval": 90 * 86_400}, True),
        ({"interval": 365 * 86_400}, False),
        ({"cron": "0 8 * * MON", "timezone": "Europe/Vienna"}, True),
        ({"cron": "0 8 31 * *"}, True),
        ({"cron": "0 8 13 * FRI", "day_or": True}, True),
        ({"cron": "0 8 13 * FRI", "day_or": False}, False),
        ({"cron": "0 8 1 1 *"}, False),
        ({"cron": "@daily"}, True),
        ({"cron": "@yearly"}, False),
        ({"rrule": "FREQ=DAILY;COUNT=1"}, False),
    ],
)
def test_only_a_schedule_whose_next_time_the_scheduler_reaches_is_missed(schedule: dict[str, Any], idle: bool) -> None:
    """Runs are made 100 days ahead: a yearly schedule has none for months, and the alarm would never end."""
    server = Server()
    server.deploy("watch", {"interval": 300}, ahead=3)
    server.deploy("letter", schedule)

    with serving(server.app()) as url:
        assert silent(url) == ((("letter",), ["letter"]) if idle else ((), []))


def test_schedules_of_seconds_hide_no_other_that_has_nothing_ahead() -> None:
    """The scheduler makes a hundred runs ahead of each; two such schedules fill a page and would hide a dead one."""
    server = Server()
    for name in ("one", "two"):
        server.deploy(name, {"interval": 5}, ahead=100)
    server.deploy("three", {"interval": 300}, ahead=3)
    server.deploy("dead", {"interval": 300})

    with serving(server.app()) as url:
        assert silent(url) == (("dead",), ["dead"])


def test_the_check_shows_the_key_that_the_service_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Prefect requires a key, the check without it reported that schedules are silent."""
    monkeypatch.delenv("PREFECT_API_AUTH_STRING", raising=False)
    monkeypatch.setenv("PREFECT_API_KEY", "pnu_123")
    server = Server()

    with serving(server.app()) as url:
        silent(url)

    assert server.shown == {"Bearer pnu_123"}


@pytest.fixture(params=["memory", "prefect"])
def scheduler(request: pytest.FixtureRequest) -> Iterator[Scheduler]:
    """An installation with three deployments: one has runs ahead, one has none, one has no schedule."""
    if request.param == "memory":
        every, now = timedelta(minutes=5), datetime.now(UTC)
        yield MemoryScheduler(Scheduling(last_worked_at=now, active=("dead", "watch"), idle=("dead",), every=every))
        return
    server = Server()
    server.deploy("watch", {"interval": 300}, ahead=3)
    server.deploy("dead", {"interval": 600})
    server.deploy("by hand")
    with serving(server.app()) as url:
        yield PrefectScheduler(f"{url}/api")


def test_a_look_says_what_is_scheduled_and_what_has_nothing_ahead(scheduler: Scheduler) -> None:
    """`/readyz` and the monitor use the same value, wherever it comes from."""
    found = scheduler.look()

    assert (sorted(found.active), found.idle, found.every) == (["dead", "watch"], ("dead",), timedelta(minutes=5))
    assert found.last_worked_at is not None
    assert abs(datetime.now(UTC) - found.last_worked_at) < timedelta(minutes=1)
    assert found.is_silent(datetime.now(UTC))


@pytest.mark.parametrize(
    "away", [MemoryScheduler(None), PrefectScheduler("http://127.0.0.1:1/api")], ids=["memory", "prefect"]
)
def test_a_scheduler_that_cannot_be_reached_is_an_outage(away: Scheduler) -> None:
    """An unreachable scheduler says nothing about schedules."""
    with pytest.raises(TransientError):
        away.look()


def test_a_response_that_is_not_json_is_an_outage() -> None:
    """A proxy's page with status 200 must not end the loop."""
    app = FastAPI()

    @app.post("/api/{anything}/filter")
    def page(anything: str) -> HTMLResponse:
        return HTMLResponse("<html>")

    with serving(app) as url, pytest.raises(TransientError, match="cannot be read"):
        PrefectScheduler(f"{url}/api").look()


@pytest.fixture
def hanging() -> Iterator[str]:
    """The URL of a server that takes connections and never answers, as a frozen process does."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as frozen:
        yield f"http://127.0.0.1:{frozen.getsockname()[1]}"


def test_a_prefect_that_hangs_keeps_neither_readyz_nor_metrics_waiting(hanging: str) -> None:
    """A load balancer waits only seconds: the service would be taken out for a part that it can do without."""
    services = replace(
        Memory().services(),
        scheduler=PrefectScheduler(f"{hanging}/api"),
        runs=PrefectRuns(api_url=f"{hanging}/api", ui_url=hanging),
    )
    client = TestClient(create_app(services))

    def ask(path: str) -> float:
        began = time.monotonic()
        assert client.get(path).status_code == 200
        return time.monotonic() - began

    with ThreadPoolExecutor(12) as asking:
        first = list(asking.map(ask, ["/readyz", "/metrics"] * 6))
    then = ask("/readyz")

    assert max(first) < 5
    assert then < 1
    assert client.get("/readyz").json()["checks"] == {"database": "ok", "prefect": "unreachable"}


def test_a_prefect_that_begins_to_hang_is_unreachable_at_once(hanging: str) -> None:
    """A reading of some seconds ago says nothing about now."""
    server = Server()
    server.deploy("watch", {"interval": 300}, ahead=3)
    with serving(server.app()) as url:
        scheduler = PrefectScheduler(f"{url}/api")
        scheduler.look()
    runs = PrefectRuns(api_url=f"{hanging}/api", ui_url=hanging)
    client = TestClient(create_app(replace(Memory().services(), scheduler=scheduler, runs=runs)))
    began = time.monotonic()

    ready = client.get("/readyz")

    assert (ready.status_code, ready.json()["checks"]["prefect"]) == (200, "unreachable")
    assert time.monotonic() - began < 4


@pytest.mark.parametrize("page", ["<html>", "", "[1, 2"])
def test_a_proxy_that_answers_for_prefect_costs_neither_readyz_nor_metrics(page: str) -> None:
    """Status 200 without JSON, as from a sign-in page or an empty upstream: Prefect is unreachable, and nothing else is."""
    app = FastAPI()

    @app.api_route("/api/{anything:path}", methods=["GET", "POST"])
    def answer(anything: str) -> HTMLResponse:
        return HTMLResponse(page)

    with serving(app) as url:
        runs = PrefectRuns(api_url=f"{url}/api", ui_url=url)
        client = TestClient(create_app(replace(Memory().services(), runs=runs)))
        ready, metrics = client.get("/readyz"), client.get("/metrics")

    assert (ready.status_code, ready.json()["checks"]["prefect"]) == (200, "unreachable")
    assert metrics.status_code == 200


def test_each_scheduled_deployment_says_its_last_and_its_next_run() -> None:
    """For the status page; without a schedule it is not listed, and one without runs has none."""
    server, at = Server(), "2026-11-22T03:30:00+00:00"
    server.deploy("watch", {"interval": 300})
    server.deploy("new", {"interval": 300})
    server.deploy("receive-email")
    ended = {"start_time": at, "state": {"name": "Completed", "message": "0 findings"}, "expected_start_time": at}
    server.runs = [{"deployment_id": "watch", "created": at, "state_type": "SCHEDULED", **ended}]
    with serving(server.app()) as url:
        found = PrefectScheduler(f"{url}/api").deployments()

    moment = datetime.fromisoformat(at)
    assert found == [
        ScheduledDeployment("new"),
        ScheduledDeployment("watch", False, moment, "Completed", "0 findings", moment),
    ]
    with pytest.raises(TransientError):
        PrefectScheduler("http://127.0.0.1:1/api").deployments()
