"""Delivery of tenant webhooks: pending events are leased, posted with a signature, and recorded as delivered.

    activity ─ same transaction ─> pending ── leased for a minute ──> POST ──> delivered
                                      ^                                 └──> retried, with growing pauses, for three days
                                      └── replay                               └──> endpoint disabled, with the reason

Each endpoint gets its events in order, one POST at a time, so one that is down delays only itself. A process killed between
the POST and its record posts the same events again; the receiver recognises them by their ids.
"""

import json
import logging
import random
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from mailroom.domain.delivery.post_faults import PostFault
from mailroom.domain.delivery.signed_posts import signed_headers
from mailroom.domain.delivery.tenant_webhooks import PATIENCE, Disabled, facts_for_tenants, next_try
from mailroom.domain.errors import Refused, TransientError
from mailroom.domain.outbound.advice import explain
from mailroom.domain.outbound.reasons import OutboundReason
from mailroom.operations.loops import Backoff, SteadyLoop
from mailroom.ports.endpoints import Attempt, Endpoints, WebhookDelivery, WebhookEvent
from mailroom.ports.webhooks import Webhooks

log = logging.getLogger(__name__)

#: Length of a lease; longer than the longest POST.
_LEASE = timedelta(seconds=60)
#: Pause before an endpoint is tried again whose POST could not even be attempted.
_SET_ASIDE_FOR = timedelta(minutes=10)
#: First and longest pause between polls while nothing is pending; several threads poll, with jitter.
_PAUSE_S, _IDLE_S = 1.0, 8.0
_FORGET_EVERY, _KEPT_FOR = timedelta(hours=1), timedelta(days=30)
_GONE = 410


def _now() -> datetime:
    return datetime.now(UTC)


def notify(
    endpoints: Endpoints,
    webhooks: Webhooks,
    *,
    clock: Callable[[], datetime] = _now,
    jitter: Callable[[], float] = random.random,
) -> int:
    """Post pending events to one endpoint, and return how many were in the POST; 0 if nothing is due now."""
    now = clock()
    delivery = endpoints.take(now=now, until=now + _LEASE)
    if delivery is None:
        return 0
    endpoint = delivery.endpoint
    first, last = delivery.events[0].sequence, delivery.events[-1].sequence
    values: dict[str, Any] = {"at": now, "news": len(delivery.events), "first": first, "last": last}
    try:
        body = body_of(delivery)
        headers = signed_headers(body, f"{endpoint.id}.{first}.{last}", endpoint.secret, now=now)
        status = webhooks.post(endpoint.url, body, headers)
    except (TransientError, Refused) as error:
        fault = str(error.facts.get("step") or error.facts.get("kind") or error.message)
        attempt = Attempt(**values, status=error.facts.get("status"), fault=PostFault.read(fault) or fault)
        _record_failure(endpoints, delivery, attempt, clock(), jitter())
    except Exception as error:  # noqa: BLE001 - one endpoint must not block the others
        endpoints.set_aside(endpoint.id, error, until=clock() + _SET_ASIDE_FOR)
    else:
        endpoints.delivered(delivery, Attempt(**values, status=status))
    return len(delivery.events)


def _record_failure(
    endpoints: Endpoints, delivery: WebhookDelivery, attempt: Attempt, now: datetime, jitter: float
) -> None:
    endpoint = delivery.endpoint
    if attempt.status == _GONE:
        endpoints.failed(delivery, attempt, retry_at=None, reason=Disabled.GONE)
    elif endpoint.failing_since is not None and now - endpoint.failing_since >= PATIENCE:
        endpoints.failed(delivery, attempt, retry_at=None, reason=Disabled.FAILING_FOR_DAYS)
    else:
        endpoints.failed(delivery, attempt, retry_at=next_try(endpoint.tries, now, jitter=jitter))
        return
    log.error("webhook %s of tenant %s is disabled: status %s", endpoint.id, endpoint.tenant, attempt.status)


def body_of(delivery: WebhookDelivery) -> bytes:
    """Return the body of a webhook POST: JSON with the endpoint's id, its tenant and the events."""
    values = {
        "webhook": delivery.endpoint.id,
        "tenant": delivery.endpoint.tenant,
        "events": [_event(event) for event in delivery.events],
    }
    return json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode()


def _event(event: WebhookEvent) -> dict[str, Any]:
    return {
        "id": f"{event.message_id}.{event.sequence}",
        "sequence": event.sequence,
        "event": f"message.{event.kind}",
        "at": event.at.isoformat(),
        "actor": event.actor,
        "facts": facts_for_tenants(event.facts),
        "message": {
            "id": event.message_id,
            "batch_id": event.batch_id,
            "reference": event.reference,
            "to": event.recipient,
            "metadata": dict(event.metadata),
            "status": event.status,
            "reason": OutboundReason.old_word(event.reason),
            **explain(event.reason, message_id=event.message_id, batch_id=event.batch_id, sender=event.sender),
        },
    }


def run_notifier(endpoints: Endpoints, webhooks: Webhooks, stop: threading.Event) -> None:
    """Post webhooks until `stop` is set; an outage of the database is waited out."""
    pruned_at, idle = _now(), Backoff(_PAUSE_S, _IDLE_S)

    def step() -> float:
        nonlocal pruned_at
        posted = notify(endpoints, webhooks)
        if _now() - pruned_at >= _FORGET_EVERY:
            pruned_at = _now()
            endpoints.forget(before=pruned_at - _KEPT_FOR)
        if posted:
            idle.reset()
            return 0
        return idle.grow() * random.uniform(0.5, 1)

    SteadyLoop(step, log=log, failing="webhooks cannot be sent now: %s").run(stop)
