"""Metrics of the installation itself: workers, Prefect's scheduler, webhooks, skipped rows, missing metrics."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from mailroom.api.metrics.text_format import as_text, metric
from mailroom.ports.inbox_reader import WorkerLine
from mailroom.ports.monitoring import Loop, Skipped
from mailroom.ports.scheduler import Scheduling

#: A worker without a heartbeat for this long is dead or cut off; its last report no longer counts.
_ALIVE = timedelta(minutes=1)


def alive_workers(workers: Iterable[WorkerLine], now: datetime) -> list[WorkerLine]:
    """Return the workers with a recent heartbeat."""
    return [worker for worker in workers if worker.beat_at > now - _ALIVE]


def worker_metrics(workers: list[WorkerLine]) -> Iterator[str]:
    """Yield the metrics of these workers."""
    in_hand = [({"worker": worker.name}, float(worker.in_hand)) for worker in workers]
    paused = [({"worker": one.name, "by": by}, float(bool(by))) for one in workers for by in [_paused_by(one)]]
    yield from metric("mailroom_workers", "gauge", "Workers with a recent heartbeat.", [({}, len(workers))])
    yield from metric(
        "mailroom_worker_in_hand", "gauge", "E-mails received from the queue and not yet deleted from it.", in_hand
    )
    yield from metric(
        "mailroom_worker_paused",
        "gauge",
        "1 while a worker is paused by an outage or by an operator in Prefect.",
        paused,
    )


def _paused_by(worker: WorkerLine) -> str:
    return "; ".join(by for by in (worker.paused_by, worker.held_by) if by)


def skipped_exposition(skipped: Sequence[Skipped]) -> str:
    """Return the metric of rows that loops skip; a loop that skips none is exposed as 0."""
    rows = {loop.value: 0 for loop in Loop} | {one.loop: one.rows for one in skipped}
    about = "Rows that a loop cannot read and skips; /readyz and the flow watch list them."
    samples = [({"loop": loop}, float(count)) for loop, count in rows.items()]
    return as_text([*metric("mailroom_rows_skipped", "gauge", about, samples)])


def broken_exposition(parts: Sequence[str]) -> str:
    """Return the metric of groups of metrics that could not be counted."""
    about = "Groups of metrics that could not be counted and are missing."
    return as_text([*metric("mailroom_metrics_missing", "gauge", about, [({"part": part}, 1.0) for part in parts])])


def hooks_exposition(waiting: int) -> str:
    """Return the metric of providers' calls that wait to be handled."""
    about = "Provider webhook calls stored and not yet processed."
    return as_text([*metric("mailroom_hooks_waiting", "gauge", about, [({}, waiting)])])


def endpoints_exposition(waiting: int, disabled: int) -> str:
    """Return the metrics of tenants' webhooks."""
    about = "Events not yet sent to tenants' webhooks; disabled webhooks are not counted."
    lines = [
        *metric("mailroom_webhooks_waiting", "gauge", about, [({}, waiting)]),
        *metric("mailroom_endpoints_disabled", "gauge", "Disabled tenants' webhooks.", [({}, disabled)]),
    ]
    return as_text(lines)


def scheduler_exposition(scheduling: Scheduling, now: datetime) -> str:
    """Return the time when Prefect's scheduler last worked; no sample before its first."""
    worked = scheduling.last_worked_at
    lines = [
        *metric(
            "mailroom_scheduler_last_worked_timestamp_seconds",
            "gauge",
            "When Prefect's scheduler last scheduled a run.",
            [({}, round(worked.timestamp(), 3))] if worked else [],
        ),
        *metric(
            "mailroom_scheduler_silent",
            "gauge",
            "1 while an active schedule has no future run, or the scheduler has stopped; scheduled flows then do not "
            "start.",
            [({}, float(scheduling.is_silent(now)))],
        ),
    ]
    return as_text(lines)
