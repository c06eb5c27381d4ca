"""Metrics of inbound mail in Prometheus's text format (version 0.0.4)."""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from math import isfinite

from mailroom.domain.inbound.reasons import InboundReason
from mailroom.domain.inbound.received_email import OPEN
from mailroom.ports.inbox_reader import TIMES_S, Census, FilingTimes, WorkerLine

#: A worker without a heartbeat for this long is dead or cut off; its last report no longer counts.
_ALIVE = timedelta(minutes=1)

Sample = tuple[dict[str, str], float]


def exposition(census: Census, now: datetime) -> str:
    """Return every metric of this installation."""
    waiting = [tally.oldest for tally in census.tallies if tally.state in OPEN]
    oldest_s = (now - min(waiting)).total_seconds() if waiting else 0.0
    alive = [worker for worker in census.workers if worker.beat_at > now - _ALIVE]
    labelled = [
        ({"state": tally.state, "reason": tally.reason or "", "route": tally.route or ""}, float(tally.emails))
        for tally in census.tallies
    ]
    reasons = Counter[tuple[str, str]]()
    for tally in census.tallies:
        if code := InboundReason.explain(tally.reason)["reason_code"]:
            reasons[tally.state, code] += tally.emails
    explained = [({"state": state, "reason_code": code}, float(count)) for (state, code), count in reasons.items()]
    unprocessed = [({"processor": name}, float(mails)) for name, mails in sorted(census.unprocessed.items())]
    total = sum(tally.emails for tally in census.tallies)
    lines = [
        *metric("mailroom_inbound_received_total", "counter", "E-mails received in total.", [({}, total)]),
        *metric("mailroom_inbound_emails", "gauge", "Received e-mails by state, reason and type of route.", labelled),
        *metric(
            "mailroom_inbound_reasons", "gauge", "E-mails that were not filed by state and stable reason.", explained
        ),
        *metric("mailroom_inbox_items", "gauge", "Inbox items in total.", [({}, census.items)]),
        *metric(
            "mailroom_inbound_oldest_waiting_seconds",
            "gauge",
            "Age of the oldest e-mail in progress, 0 if none.",
            [({}, round(max(oldest_s, 0.0), 3))],
        ),
        *metric("mailroom_processing_failed", "gauge", "Filed e-mails for which a processor failed.", unprocessed),
        *_histogram(census.times),
        *_workers(alive),
    ]
    return "\n".join(lines) + "\n"


def _histogram(times: FilingTimes) -> Iterator[str]:
    name = "mailroom_inbound_time_to_filed_seconds"
    yield from _head(name, "histogram", "Seconds from the receipt of an e-mail to its inbox items.")
    within = 0
    for bound, count in zip((*TIMES_S, "+Inf"), times.counts, strict=True):
        within += count
        yield _sample(f"{name}_bucket", {"le": str(bound)}, within)
    yield _sample(f"{name}_sum", {}, round(times.sum_s, 3))
    yield _sample(f"{name}_count", {}, within)


def _workers(workers: list[WorkerLine]) -> Iterator[str]:
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


def metric(name: str, kind: str, about: str, samples: Iterable[Sample]) -> Iterator[str]:
    """Yield the lines of one metric: help and type, then each sample."""
    yield from _head(name, kind, about)
    yield from (_sample(name, labels, value) for labels, value in samples)


def _head(name: str, kind: str, about: str) -> Iterator[str]:
    yield f"# HELP {name} {about}"
    yield f"# TYPE {name} {kind}"


def _sample(name: str, labels: dict[str, str], value: float) -> str:
    values = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
    number = int(value) if isfinite(value) and value == int(value) else value
    return f"{name}{{{values}}} {number}" if values else f"{name} {number}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
