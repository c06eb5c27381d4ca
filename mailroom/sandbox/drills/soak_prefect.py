"""Queries of a soak to the Prefect server and the emulator: schedules, their runs, runs in progress, mails that SES accepted."""

import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx

_OURS = re.compile(r"X-Correlation-ID: (\S+)")
_POOL = {"work_pools": {"name": {"any_": ["mailroom"]}}}
_PAGE = 200
_PATIENCE_S = 180.0


@dataclass(slots=True)
class SoakPrefect:
    """The Prefect server of a soak. `schedules` are the active ones: the deployment's id by its name."""

    api_url: str
    schedules: dict[str, str] = field(default_factory=dict)

    def quicken(self, *, at_most_s: float) -> None:
        """Shorten every active schedule with an interval to run at least this often, as an operator may do in the UI."""
        for deployment in self._all("/deployments/filter", {}):
            for one in deployment["schedules"]:
                if not one["active"]:
                    continue
                self.schedules[deployment["name"]] = deployment["id"]
                if one["schedule"].get("interval", 0) > at_most_s:
                    path = f"{self.api_url}/deployments/{deployment['id']}/schedules/{one['id']}"
                    httpx.patch(
                        path, json={"schedule": {"interval": at_most_s}}, timeout=_PATIENCE_S
                    ).raise_for_status()

    def completed(self) -> dict[str, int]:
        """Return the number of completed runs of each schedule that the scheduler created."""
        made = {"tags": {"all_": ["auto-scheduled"]}, "state": {"type": {"any_": ["COMPLETED"]}}}
        return {
            name: len(self._all("/flow_runs/filter", {"deployments": {"id": {"any_": [known]}}, "flow_runs": made}))
            for name, known in self.schedules.items()
        }

    def failed(self) -> dict[str, int]:
        """Return how many runs failed or crashed, by their flow and state."""
        wanted = {"flow_runs": {"state": {"type": {"any_": ["FAILED", "CRASHED"]}}}}
        names = {one["id"]: one["name"] for one in self._all("/flows/filter", {}, pools=False)}
        runs = self._all("/flow_runs/filter", wanted)
        return dict(Counter(f"{names.get(run['flow_id'], '?')} {run['state_type'].lower()}" for run in runs))

    def under_way(self) -> int:
        """Return the number of runs that are running or due."""
        working = {"state": {"type": {"any_": ["RUNNING", "PENDING", "CANCELLING"]}}}
        due = {
            "state": {"type": {"any_": ["SCHEDULED"]}},
            "next_scheduled_start_time": {"before_": datetime.now(UTC).isoformat()},
        }
        return sum(self._count(wanted) for wanted in (working, due))

    def received(self, aws_endpoint: str) -> list[str]:
        """Return our ids of the mails that the emulator's SES accepted, with repetitions."""
        answer = httpx.get(f"{aws_endpoint}/moto-api/data.json", timeout=_PATIENCE_S).raise_for_status()
        return [
            message_id
            for mail in answer.json()["ses"].get("RawMessage", [])
            for message_id in _OURS.findall(mail["raw_data"])
        ]

    def _count(self, wanted: dict[str, Any]) -> int:
        answer = httpx.post(f"{self.api_url}/flow_runs/count", json={**_POOL, "flow_runs": wanted}, timeout=_PATIENCE_S)
        return int(answer.raise_for_status().json())

    def _all(self, path: str, body: dict[str, Any], *, pools: bool = True) -> list[Any]:
        items: list[Any] = []
        while True:
            wanted = {**(_POOL if pools else {}), **body, "limit": _PAGE, "offset": len(items)}
            page = httpx.post(f"{self.api_url}{path}", json=wanted, timeout=_PATIENCE_S).raise_for_status().json()
            items += page
            if len(page) < _PAGE:
                return items
