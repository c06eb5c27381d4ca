"""Metrics of outbound mail in Prometheus's text format, without tenants, addresses or batches."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from datetime import datetime

from mailroom.api.metrics.inbound import metric
from mailroom.ports.events import Parked
from mailroom.ports.holds import HeldCount, HoldReason
from mailroom.ports.monitoring import Loop, OutboundCensus, Skipped
from mailroom.ports.reconciliations import Reconciliation
from mailroom.ports.scheduler import Scheduling

_PER_S = 60

#: Always exposed, so that a graph of what never happened is a line at 0 and not a gap.
_SIDES, _STOPPED = ("inbound", "outbound"), ("batch", "tenant")


def outbound_exposition(census: OutboundCensus, now: datetime) -> str:
    """Return the metrics of sent mail and of delivery events."""
    accepted = sum(group.messages for group in census.sent)
    sent = [
        ({"provider": group.provider or "", "status": group.status}, float(group.messages)) for group in census.sent
    ]
    values = [({"provider": group.provider, "kind": group.kind}, float(group.events)) for group in census.events]
    # A provider that was used recently and is idle now is exposed as 0, so that it can be divided by its limit.
    lately = {**dict.fromkeys(sorted(one.provider for one in census.ceilings), 0), **census.lately}
    rates = [({"provider": provider}, round(mails / _PER_S, 3)) for provider, mails in lately.items()]
    ceilings = [
        ({"provider": one.provider, "identity": _masked(one.identity)}, one.per_second) for one in census.ceilings
    ]
    breakers = [({"stops": what}, float(census.breakers.get(what, 0))) for what in _STOPPED]
    nothing = HeldCount(0, 0)
    held = [({"reason": reason.value}, float(census.held.get(reason, nothing).batches)) for reason in HoldReason]
    lines = [
        *metric("mailroom_outbound_accepted_total", "counter", "Messages accepted in total.", [({}, accepted)]),
        *metric("mailroom_outbound_messages", "gauge", "Messages by provider and status.", sent),
        *metric("mailroom_delivery_events_total", "counter", "Provider events by kind.", values),
        *metric(
            "mailroom_outbound_per_second",
            "gauge",
            "Mails a second sent to a provider in the last minute.",
            rates,
        ),
        *metric(
            "mailroom_outbound_limit_per_second",
            "gauge",
            "Rate limit of a provider account in mails a second, as a worker last read it; 0 means stopped.",
            ceilings,
        ),
        *metric(
            "mailroom_outbox_orders",
            "gauge",
            "Orders in the outbox, not yet on the mailbox queue.",
            [({}, census.orders)],
        ),
        *_age(
            "mailroom_outbox_oldest_seconds",
            "Age of the oldest order in the outbox.",
            census.oldest_order,
            now,
        ),
        *_age(
            "mailroom_mailbox_oldest_seconds",
            "Time that the oldest due order has waited on the mailbox queue for a flow run to start.",
            census.oldest_published,
            now,
        ),
        *_age(
            "mailroom_outbound_oldest_due_seconds",
            "Age of the oldest message that is due and not sent.",
            census.oldest_due,
            now,
        ),
        *_age(
            "mailroom_outbound_oldest_unknown_seconds", "Age of the oldest unknown outcome.", census.oldest_unknown, now
        ),
        *metric("mailroom_batches_held", "gauge", "Held batches, to be resumed or cancelled by an operator.", held),
        *metric("mailroom_breakers_open", "gauge", "Open circuit breakers by scope.", breakers),
        *_reconciled(census.reconciled),
    ]
    return _text(lines)


def parked_exposition(parked: Parked, now: datetime) -> str:
    """Return the metrics of parked events: those of unknown messages."""
    states = [({"state": "waiting"}, float(parked.waiting)), ({"state": "aged"}, float(parked.aged))]
    about = "Delivery events without a matching message, by state: retried or given up."
    lines = [
        *metric("mailroom_parked_events", "gauge", about, states),
        *_age("mailroom_parked_oldest_seconds", "Age of the oldest parked event that is retried.", parked.oldest, now),
    ]
    return _text(lines)


def skipped_exposition(skipped: Sequence[Skipped]) -> str:
    """Return the metric of rows that loops skip; a loop that skips none is exposed as 0."""
    rows = {loop.value: 0 for loop in Loop} | {one.loop: one.rows for one in skipped}
    about = "Rows that a loop cannot read and skips; /readyz and the flow watch list them."
    samples = [({"loop": loop}, float(count)) for loop, count in rows.items()]
    return _text([*metric("mailroom_rows_skipped", "gauge", about, samples)])


def broken_exposition(parts: Sequence[str]) -> str:
    """Return the metric of groups of metrics that could not be counted."""
    about = "Groups of metrics that could not be counted and are missing."
    return _text([*metric("mailroom_metrics_missing", "gauge", about, [({"part": part}, 1.0) for part in parts])])


def hooks_exposition(waiting: int) -> str:
    """Return the metric of providers' calls that wait to be handled."""
    about = "Provider webhook calls stored and not yet processed."
    return _text([*metric("mailroom_hooks_waiting", "gauge", about, [({}, waiting)])])


def endpoints_exposition(waiting: int, disabled: int) -> str:
    """Return the metrics of tenants' webhooks."""
    about = "Events not yet sent to tenants' webhooks; disabled webhooks are not counted."
    lines = [
        *metric("mailroom_webhooks_waiting", "gauge", about, [({}, waiting)]),
        *metric("mailroom_endpoints_disabled", "gauge", "Disabled tenants' webhooks.", [({}, disabled)]),
    ]
    return _text(lines)


def _reconciled(last: Reconciliation | None) -> Iterator[str]:
    """Yield the last proof's metrics; none before the first, so that an alarm on its time finds it absent."""
    if last is None:
        return
    differences = [({"side": side}, float(last.differences.get(side, 0))) for side in _SIDES]
    yield from metric(
        "mailroom_reconcile_differences", "gauge", "Violations that the last reconcile found.", differences
    )
    at = last.ended_at.timestamp()
    yield from metric(
        "mailroom_reconcile_last_run_timestamp_seconds", "gauge", "When the last reconcile ended.", [({}, at)]
    )


def _masked(identity: str) -> str:
    """Return the label of an account; a login that is an address is replaced by its digest."""
    return re.sub(r"[^/]*@[^/]*", lambda login: hashlib.sha256(login[0].encode()).hexdigest()[:8], identity)


def _age(name: str, about: str, since: datetime | None, now: datetime) -> Iterator[str]:
    seconds = max((now - since).total_seconds(), 0.0) if since else 0.0
    yield from metric(name, "gauge", f"{about[:-1]}, 0 if none.", [({}, round(seconds, 3))])


def _text(lines: list[str]) -> str:
    return "\n".join(lines) + "\n"


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
    return "\n".join(lines) + "\n"
