"""When the scheduler of a Prefect server last worked: read from the runs that it made, by its REST API."""

import time
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from threading import Lock
from typing import Any

from mailroom.adapters.prefect_http import http_client, translated
from mailroom.watching import Scheduling

#: The work pool whose deployments are ours; others may share the server.
POOL = "mailroom"
#: Prefect gives it to each run that its scheduler makes.
_TAG = "auto-scheduled"
_MOST = 200
_TIMEOUT_S = 3


class PrefectScheduler:
    """The port `Scheduler` on a Prefect 3 server: three reads, whose answer is kept for `fresh_s` seconds."""

    def __init__(self, api_url: str, *, fresh_s: float = 15.0) -> None:
        self._http = http_client(api_url)
        self._fresh_s = fresh_s
        self._lock = Lock()
        self._known: tuple[float, Scheduling] | None = None

    def look(self) -> Scheduling:
        """Return what the scheduler has done."""
        with self._lock:
            if self._known is None or time.monotonic() - self._known[0] > self._fresh_s:
                self._known = time.monotonic(), self._ask()
            return self._known[1]

    def _ask(self) -> Scheduling:
        ours = {"work_pools": {"name": {"any_": [POOL]}}}
        made = {"flow_runs": {"tags": {"all_": [_TAG]}}}
        ahead = {"flow_runs": made["flow_runs"] | {"state": {"type": {"any_": ["SCHEDULED"]}}}}
        deployments = self._post("/deployments/filter", {**ours, "limit": _MOST})
        # Ids of runs are UUIDs of version 7: in their order is in the order in which they were made.
        newest = self._post("/flow_runs/filter", {**ours, **made, "sort": "ID_DESC", "limit": 1})
        active = [one for one in deployments if not one["paused"] and _endless(one)]
        idle = self._idle(active, {**ours, **ahead}) if active else ()
        return Scheduling(
            last_worked_at=datetime.fromisoformat(newest[0]["created"]) if newest else None,
            active=tuple(sorted(one["name"] for one in active)),
            idle=idle,
            every=min((every for one in active for every in _intervals(one)), default=None),
        )

    def _idle(self, active: Iterable[Mapping[str, Any]], ahead: dict[str, Any]) -> tuple[str, ...]:
        names = {one["id"]: one["name"] for one in active}
        runs = self._post("/flow_runs/filter", {**ahead, "deployments": {"id": {"any_": list(names)}}, "limit": _MOST})
        # More than one page are ahead: who is not on it may be on the next.
        if len(runs) == _MOST:
            return ()
        return tuple(sorted(name for key, name in names.items() if key not in {run["deployment_id"] for run in runs}))

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        with translated():
            answer = self._http.post(path, json=body, timeout=_TIMEOUT_S)
            answer.raise_for_status()
            return answer.json()


def _endless(deployment: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the active schedules that always have a next time; an RRULE may have had its last."""
    schedules = [one["schedule"] for one in deployment["schedules"] if one["active"]]
    return [one for one in schedules if one.get("interval") or one.get("cron")]


def _intervals(deployment: Mapping[str, Any]) -> list[timedelta]:
    return [timedelta(seconds=one["interval"]) for one in _endless(deployment) if one.get("interval")]
