"""Schedules: this file starts no flow, it only waits until the scheduler does."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import yaml

from mailroom.settings import CHECKOUT
from tests.support.patience import PATIENCE_S
from tests.support.running_stack import Stack, wait_until

_MADE_BY_SCHEDULER = {"tags": {"all_": ["auto-scheduled"]}}
_SHORT_S = 5


def scheduled_runs(stack: Stack, deployment: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the runs of a deployment that the scheduler made."""
    wanted = {"deployments": {"id": {"any_": [deployment["id"]]}}, "flow_runs": _MADE_BY_SCHEDULER}
    found: list[dict[str, Any]] = stack.prefect("POST", "/flow_runs/filter", wanted)
    return found


def deployments(stack: Stack) -> dict[str, dict[str, Any]]:
    """Return our deployments by name."""
    ours = {"work_pools": {"name": {"any_": ["mailroom"]}}}
    return {one["name"]: one for one in stack.prefect("POST", "/deployments/filter", ours)}


@contextmanager
def every(stack: Stack, seconds: float, deployment: dict[str, Any]) -> Iterator[None]:
    """Set the schedule of a deployment to a short interval, as a person may in the UI."""
    [schedule] = deployment["schedules"]
    path = f"/deployments/{deployment['id']}/schedules/{schedule['id']}"
    stack.prefect("PATCH", path, {"schedule": {"interval": seconds}})
    try:
        yield
    finally:
        stack.prefect("PATCH", path, {"schedule": schedule["schedule"]})


@contextmanager
def recurring(stack: Stack, request: Path) -> Iterator[dict[str, Any]]:
    """Set up a recurring send of this file as an operator does: the deployment `weekly` with another schedule."""
    like = deployments(stack)["weekly"]
    wanted = {name: like[name] for name in ("flow_id", "entrypoint", "work_pool_name", "work_queue_name")}
    wanted |= {
        "name": "often",
        "parameters": {"request": str(request)},
        "enforce_parameter_schema": False,
        "schedules": [{"active": True, "schedule": {"interval": _SHORT_S}}],
    }
    made = stack.prefect("POST", "/deployments/", wanted)
    try:
        yield made
    finally:
        stack.prefect("DELETE", f"/deployments/{made['id']}")


def test_every_active_schedule_of_prefect_yaml_has_runs_within_a_minute(stack: Stack) -> None:
    """Once no schedule ever fired and all tests passed, because each test started its flow by hand."""
    listed = yaml.safe_load((CHECKOUT / "prefect.yaml").read_text())["deployments"]
    active = [one["name"] for one in listed if any(plan.get("active", True) for plan in one.get("schedules", []))]
    there = deployments(stack)

    def first(name: str) -> datetime:
        runs = wait_until(lambda: scheduled_runs(stack, there[name]), f"{name} is scheduled")
        return min(datetime.fromisoformat(run["created"]) for run in runs)

    took = {name: first(name) - datetime.fromisoformat(there[name]["created"]) for name in active}

    assert {"watch", "reconcile", "seal", "audit", "sweep-inbound", "sweep-outbound"} <= took.keys()
    # A start of the stack takes about twenty seconds; where it took longer, the machine is as much slower.
    assert max(took.values()) < timedelta(seconds=max(60, 3 * stack.started_s)), took


def scheduler_state(stack: Stack) -> dict[str, Any] | None:
    """Return the scheduler's entry of /readyz once it is not silent."""
    ready: dict[str, Any] = httpx.get(f"{stack['api_url']}/readyz", timeout=PATIENCE_S).json()
    return ready if ready["scheduler"] and not ready["scheduler"]["silent"] else None


def test_everything_that_says_how_the_installation_is_says_when_the_scheduler_last_worked(stack: Stack) -> None:
    """When schedules stop, no scheduled flow can report it."""
    ready = wait_until(lambda: scheduler_state(stack), "the scheduler has passed")
    status = stack.json("status")
    metrics = httpx.get(f"{stack['api_url']}/metrics", timeout=PATIENCE_S).text
    checked = json.loads(stack.mailroom("check", "--json", check=False).stdout)

    assert ready["scheduler"]["silent"] is False
    assert status["scheduler"]["last_worked_at"] is not None
    assert status["scheduler"]["silent"] is False
    assert "mailroom_scheduler_silent 0" in metrics.splitlines()
    assert "mailroom_scheduler_last_worked_timestamp_seconds 1" in metrics
    assert checked["counts"]["schedules"] >= 4
    assert "schedule silent" not in checked["wrong"]


def test_what_is_scheduled_runs_to_its_end_by_itself(stack: Stack, tmp_path: Path) -> None:
    """Watch, sweeps, reconciliation, seals, audit and a recurring send: from the schedule to Completed, and to a delivered message."""
    request = tmp_path / "often.json"
    message = {"to": "success@simulator.amazonses.com", "subject": "Often", "text": "Again."}
    request.write_text(json.dumps({"from": "desk@mailroom.test", "messages": [message]}))
    there = deployments(stack)
    began = time.time()

    def completed(deployment: dict[str, Any]) -> list[dict[str, Any]]:
        runs = scheduled_runs(stack, deployment)
        recent = [run for run in runs if datetime.fromisoformat(run["created"]).timestamp() > began]
        assert not [run["state"] for run in recent if run["state_type"] in ("FAILED", "CRASHED")]
        return [run for run in recent if run["state_type"] == "COMPLETED"]

    names = ("watch", "sweep-inbound", "sweep-outbound", "reconcile", "export-installation", "seal", "audit")
    with (
        recurring(stack, request) as often,
        every(stack, _SHORT_S, there["watch"]),
        every(stack, _SHORT_S, there["sweep-inbound"]),
        every(stack, _SHORT_S, there["sweep-outbound"]),
        every(stack, _SHORT_S, there["reconcile"]),
        every(stack, _SHORT_S, there["audit"]),
        every(stack, _SHORT_S, there["export-installation"]),
        every(stack, _SHORT_S, there["seal"]),
    ):
        for deployment in [*(there[name] for name in names), often]:
            done = wait_until(lambda which=deployment: completed(which), f"{deployment['name']} ran by itself")
            assert done[0]["auto_scheduled"]

    stack.ask("select journal_append('acme', 'life', '{\"kind\":\"deposit\"}')")
    with every(stack, _SHORT_S, there["seal"]):
        wait_until(
            lambda: stack.ask("select 1 from seal where tenant = 'acme' and stream = 'life'"), "a journal was sealed"
        )
    key = "select batch_id from idempotency_key where key like 'often@%%'"
    sent = f"select 1 from message where batch_id in ({key}) and status = 'delivered'"
    wait_until(lambda: stack.ask(sent), "a recurring message was delivered")
