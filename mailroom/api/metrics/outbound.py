"""Metrics of outbound mail, without tenants, addresses or batches."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime

from mailroom.api.metrics.text_format import age, as_text, metric
from mailroom.ports.events import Parked
from mailroom.ports.holds import HeldCount, HoldReason
from mailroom.ports.monitoring import OutboundCensus
from mailroom.ports.pauses import Pause
from mailroom.ports.reconciliations import Reconciliation

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
        *age(
            "mailroom_outbox_oldest_seconds",
            "Age of the oldest order in the outbox.",
            census.oldest_order,
            now,
        ),
        *age(
            "mailroom_mailbox_oldest_seconds",
            "Time that the oldest due order has waited on the mailbox queue for a flow run to start.",
            census.oldest_published,
            now,
        ),
        *age(
            "mailroom_outbound_oldest_due_seconds",
            "Age of the oldest message that is due and not sent.",
            census.oldest_due,
            now,
        ),
        *age(
            "mailroom_outbound_oldest_unknown_seconds", "Age of the oldest unknown outcome.", census.oldest_unknown, now
        ),
        *metric("mailroom_batches_held", "gauge", "Held batches, to be resumed or cancelled by an operator.", held),
        *metric("mailroom_breakers_open", "gauge", "Open circuit breakers by scope.", breakers),
        *_paused(census.pauses),
        *_reconciled(census.reconciled),
    ]
    return as_text(lines)


def parked_exposition(parked: Parked, now: datetime) -> str:
    """Return the metrics of parked events: those of unknown messages."""
    states = [({"state": "waiting"}, float(parked.waiting)), ({"state": "aged"}, float(parked.aged))]
    about = "Delivery events without a matching message, by state: retried or given up."
    lines = [
        *metric("mailroom_parked_events", "gauge", about, states),
        *age("mailroom_parked_oldest_seconds", "Age of the oldest parked event that is retried.", parked.oldest, now),
    ]
    return as_text(lines)


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


def _paused(pauses: Sequence[Pause]) -> Iterator[str]:
    """Yield the metrics of pauses; senders are counted, because their domains are tenants'."""
    counts: Counter[tuple[str, str, str]] = Counter()
    until: dict[tuple[str, str, str], float] = {}
    for pause in pauses:
        key = pause.provider, _masked(pause.identity), "sender" if pause.sender_domain else "account"
        counts[key] += 1
        until[key] = max(until.get(key, 0.0), pause.until.timestamp())
    samples = {key: dict(zip(("provider", "identity", "scope"), key, strict=True)) for key in counts}
    about = "Pauses of a provider's account, or of senders at it, that end by a probe."
    yield from metric(
        "mailroom_provider_pauses", "gauge", about, [(labels, float(counts[key])) for key, labels in samples.items()]
    )
    about = "When the next message is tried through a paused account; the latest of several."
    ends = [(labels, until[key]) for key, labels in samples.items()]
    yield from metric("mailroom_provider_paused_until_timestamp_seconds", "gauge", about, ends)


def _masked(identity: str) -> str:
    """Return the label of an account; a login that is an address is replaced by its digest."""
    return re.sub(r"[^/]*@[^/]*", lambda login: hashlib.sha256(login[0].encode()).hexdigest()[:8], identity)
