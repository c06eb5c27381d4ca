"""Schedules fire: Prefect's scheduler has runs ahead for every active schedule, and has not stopped creating them.

Without it neither watch nor sweeps, reconciliation or recurring sends start, and nothing else reports it.
"""

import os
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from mailroom.audit.report import Report

POOL = "mailroom"
#: The scheduler passes once a minute; its first pass after a start may take as long.
_FIRST_PASS = timedelta(seconds=75)
_LOOK_AGAIN_S = 5.0
_OVERDUE = timedelta(minutes=10)
_PAGE = 200
#: Prefect creates runs at most this far ahead.
_HORIZON = timedelta(days=100)


def check_schedules(api_url: str, report: Report, *, patience: timedelta = _FIRST_PASS) -> None:
    """Report each active schedule without a run ahead, and a stopped scheduler; wait up to `patience` for its first pass."""
    deadline = time.monotonic() + patience.total_seconds()
    with _client(api_url) as prefect:
        while True:
            try:
                wrong = _look(prefect, report, datetime.now(UTC))
            except httpx.HTTPError as error:
                wrong = [(api_url, f"Prefect cannot be reached ({type(error).__name__}): schedules are not checked")]
            if not wrong or time.monotonic() > deadline:
                break
            report.progress("waiting for the first pass of Prefect's scheduler")
            time.sleep(_LOOK_AGAIN_S)
    for subject, do in wrong:
        report.violate("schedule silent", subject, do)


def _client(api_url: str) -> httpx.Client:
    user, _, password = os.environ.get("PREFECT_API_AUTH_STRING", "").partition(":")
    key = os.environ.get("PREFECT_API_KEY")
    return httpx.Client(
        base_url=api_url.rstrip("/"),
        timeout=10,
        auth=(user, password) if user else None,
        headers={"Authorization": f"Bearer {key}"} if key and not user else {},
    )


def _look(prefect: httpx.Client, report: Report, now: datetime) -> list[tuple[str, str]]:
    """Return the current problems of schedules, each with what to do."""
    ours = {"work_pools": {"name": {"any_": [POOL]}}}
    wrong: list[tuple[str, str]] = []
    report.counts["schedules"] = 0
    shortest: timedelta | None = None
    for deployment in _all(prefect, "/deployments/filter", ours):
        endless = [one["schedule"] for one in deployment["schedules"] if one["active"] and not deployment["paused"]]
        endless = [one for one in endless if _has_run_ahead(one)]
        report.counts["schedules"] += len(endless)
        ahead = {"deployments": {"id": {"any_": [deployment["id"]]}}, "flow_runs": _made("SCHEDULED"), "limit": 1}
        if endless and not _ask(prefect, "/flow_runs/filter", ahead):
            wrong.append((deployment["name"], "an active schedule has no future run: see the Prefect server's log"))
        for one in endless:
            if interval := one.get("interval"):
                shortest = min(shortest or timedelta.max, timedelta(seconds=interval))
    newest = _ask(prefect, "/flow_runs/filter", {**ours, "flow_runs": _made(), "sort": "ID_DESC", "limit": 1})
    if newest:
        worked = datetime.fromisoformat(newest[0]["created"])
        report.counts["seconds since the scheduler worked"] = round((now - worked).total_seconds())
        if shortest is not None and now - worked > shortest + _OVERDUE:
            wrong.append(
                (
                    "scheduler",
                    f"last created a run at {worked:%Y-%m-%d %H:%M:%S} UTC; check that the service is running",
                )
            )
    return wrong


def _has_run_ahead(schedule: dict[str, Any]) -> bool:
    """Return whether a working schedule always has a run ahead: not an RRULE, which ends, nor one a few times a year."""
    if seconds := schedule.get("interval"):
        return timedelta(seconds=seconds) < _HORIZON
    words = str(schedule.get("cron") or "").split()
    if len(words) < 5:
        return bool(words) and words[0] not in ("@yearly", "@annually")
    day, month, weekday = words[2:5]
    is_rare = schedule.get("day_or") is False and day != "*" and weekday != "*"
    return month in ("*", "?") and not is_rare


def _made(*states: str) -> dict[str, Any]:
    """Return the filter of runs created by the scheduler."""
    made: dict[str, Any] = {"tags": {"all_": ["auto-scheduled"]}}
    return made | ({"state": {"type": {"any_": list(states)}}} if states else {})


def _ask(prefect: httpx.Client, path: str, body: dict[str, Any]) -> list[Any]:
    answer = prefect.post(path, json=body)
    answer.raise_for_status()
    items: list[Any] = answer.json()
    return items


def _all(prefect: httpx.Client, path: str, body: dict[str, Any]) -> list[Any]:
    items: list[Any] = []
    while True:
        page = _ask(prefect, path, body | {"limit": _PAGE, "offset": len(items)})
        items += page
        if len(page) < _PAGE:
            return items
