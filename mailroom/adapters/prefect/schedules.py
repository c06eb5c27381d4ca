"""When the scheduler of a Prefect server last worked, read over REST from the runs that it made."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from mailroom.adapters.prefect.http import http_client, translated
from mailroom.domain.errors import MailroomError, TransientError
from mailroom.operations.fresh import Fresh
from mailroom.ports.scheduler import ScheduledDeployment, Scheduling

#: The work pool whose deployments are ours; others may share the server.
POOL = "mailroom"
#: Prefect gives it to each run that its scheduler makes.
_TAG = "auto-scheduled"
_MOST = 200
_TIMEOUT_S = 3
#: The scheduler makes runs at most this far ahead (PREFECT_SERVER_SERVICES_SCHEDULER_MAX_SCHEDULED_TIME).
_HORIZON = timedelta(days=100)


class PrefectScheduler:
    """The port `Scheduler` on a Prefect 3 server: three requests, whose result is cached for `fresh_s` seconds.

    A failure is cached as long: callers get the same error at once and do not wait for a server that hangs.
    """

    def __init__(self, api_url: str, *, fresh_s: float = 15.0) -> None:
        self._http = http_client(api_url)
        self._known = Fresh(self._asked, fresh_s)

    def look(self) -> Scheduling:
        """Return when the scheduler last worked, and the deployments without a run ahead."""
        scheduling = self._known.get()
        if isinstance(scheduling, MailroomError):
            # A new one each time: one exception raised in many threads would collect all their tracebacks.
            raise type(scheduling)(scheduling.message, **scheduling.facts)
        return scheduling

    def deployments(self) -> list[ScheduledDeployment]:
        """Return the deployments with a schedule: two requests, and one for each of them."""
        try:
            ours = {"work_pools": {"name": {"any_": [POOL]}}}
            found = self._post("/deployments/filter", {**ours, "limit": _MOST})
            scheduled = [one for one in found if any(plan["active"] for plan in one["schedules"])]
            return sorted((self._deployment(one) for one in scheduled), key=lambda one: one.name)
        except (ValueError, KeyError, TypeError) as error:
            raise TransientError("Prefect's response cannot be read", kind=type(error).__name__) from None

    def _deployment(self, one: Mapping[str, Any]) -> ScheduledDeployment:
        of = {"deployments": {"id": {"any_": [one["id"]]}}, "limit": 1}
        ahead = {"flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}}, "sort": "EXPECTED_START_TIME_ASC"}
        begun = {"flow_runs": {"start_time": {"is_null_": False}}, "sort": "START_TIME_DESC"}
        nexts, lasts = (self._post("/flow_runs/filter", {**of, **which}) for which in (ahead, begun))
        last = lasts[0] if lasts else {}
        state = last.get("state") or {}
        next_at = (nexts[0].get("next_scheduled_start_time") or nexts[0].get("expected_start_time")) if nexts else None
        return ScheduledDeployment(
            name=one["name"],
            paused=one["paused"],
            last_at=_time(last.get("start_time")),
            last_state=state.get("name"),
            last_message=state.get("message"),
            next_at=_time(next_at),
        )

    def _asked(self) -> Scheduling | MailroomError:
        try:
            return self._ask()
        except MailroomError as error:
            return error
        except (ValueError, KeyError, TypeError) as error:
            # A proxy's page in place of an answer.
            return TransientError("Prefect's response cannot be read", kind=type(error).__name__)

    def _ask(self) -> Scheduling:
        ours = {"work_pools": {"name": {"any_": [POOL]}}}
        made = {"flow_runs": {"tags": {"all_": [_TAG]}}}
        ahead = {"flow_runs": made["flow_runs"] | {"state": {"type": {"any_": ["SCHEDULED"]}}}}
        deployments = self._post("/deployments/filter", {**ours, "limit": _MOST})
        # Ids of runs are UUIDs of version 7: sorted by id is sorted by time of creation.
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
        runs = self._ahead(names, ahead, _MOST)
        idle = names.keys() - {run["deployment_id"] for run in runs}
        if len(runs) == _MOST:
            # Schedules of seconds fill a page: a deployment that is not on it may be on the next.
            idle = {key for key in idle if not self._ahead([key], ahead, 1)}
        return tuple(sorted(names[key] for key in idle))

    def _ahead(self, deployments: Iterable[str], ahead: dict[str, Any], most: int) -> list[Any]:
        wanted = {"deployments": {"id": {"any_": list(deployments)}}, "limit": most}
        runs: list[Any] = self._post("/flow_runs/filter", {**ahead, **wanted})
        return runs

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        with translated():
            answer = self._http.post(path, json=body, timeout=_TIMEOUT_S)
            answer.raise_for_status()
            return answer.json()


def _time(written: str | None) -> datetime | None:
    return datetime.fromisoformat(written) if written else None


def _endless(deployment: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the active schedules that always have a run ahead. An RRULE may have had its last run, and a schedule of a few
    times a year has its next run beyond the scheduler's horizon."""
    schedules = [one["schedule"] for one in deployment["schedules"] if one["active"]]
    return [one for one in schedules if _is_soon(one)]


def _is_soon(schedule: Mapping[str, Any]) -> bool:
    if interval := schedule.get("interval"):
        return timedelta(seconds=interval) < _HORIZON
    fields = str(schedule.get("cron") or "").split()
    if len(fields) < 5:
        return bool(fields) and fields[0] not in ("@yearly", "@annually")
    # A day of the month that must be a day of the week as well: Friday the 13th may be a year away.
    both = not schedule.get("day_or", True) and "*" not in (fields[2], fields[4])
    return fields[3] in ("*", "?") and not both


def _intervals(deployment: Mapping[str, Any]) -> list[timedelta]:
    return [timedelta(seconds=one["interval"]) for one in _endless(deployment) if one.get("interval")]
