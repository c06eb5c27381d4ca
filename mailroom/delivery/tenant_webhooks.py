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
from mailroom.domain.outbound.reasons import OutboundReason
from mailroom.operations.loops import Backoff, SteadyLoop
from mailroom.ports.endpoints import Attempt, Endpoints, WebhookDelivery, WebhookEvent
from mailroom.ports.webhooks import Webhooks

log = logging.getLogger(__name__)

#: Length of a lease; longer than the longest POST.
_HELD = timedelta(seconds=60)
#: Pause before an endpoint is tried again whose POST could not even be attempted.
_ASIDE = timedelta(minutes=10)
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
    parcel = endpoints.take(now=now, until=now + _HELD)
    if parcel is None:
        return 0
    endpoint = parcel.endpoint
    first, last = parcel.events[0].sequence, parcel.events[-1].sequence
    values: dict[str, Any] = {"at": now, "news": len(parcel.events), "first": first, "last": last}
    try:
        body = body_of(parcel)
        headers = signed_headers(body, f"{endpoint.id}.{first}.{last}", endpoint.secret, now=now)
        status = webhooks.post(endpoint.url, body, headers)
    except (TransientError, Refused) as error:
        fault = str(error.facts.get("step") or error.facts.get("kind") or error.message)
        attempt = Attempt(**values, status=error.facts.get("status"), fault=PostFault.read(fault) or fault)
        _give_back(endpoints, parcel, attempt, clock(), jitter())
    except Exception as error:  # noqa: BLE001 - one endpoint must not block the others
        endpoints.set_aside(endpoint.id, error, until=clock() + _ASIDE)
    else:
        endpoints.delivered(parcel, Attempt(**values, status=status))
    return len(parcel.events)


def _give_back(endpoints: Endpoints, parcel: WebhookDelivery, attempt: Attempt, now: datetime, jitter: float) -> None:
    endpoint = parcel.endpoint
    if attempt.status == _GONE:
        endpoints.failed(parcel, attempt, retry_at=None, reason=Disabled.GONE)
    elif endpoint.failing_since is not None and now - endpoint.failing_since >= PATIENCE:
        endpoints.failed(parcel, attempt, retry_at=None, reason=Disabled.FAILING_FOR_DAYS)
    else:
        endpoints.failed(parcel, attempt, retry_at=next_try(endpoint.tries, now, jitter=jitter))
        return
    log.error("webhook %s of tenant %s is disabled: status %s", endpoint.id, endpoint.tenant, attempt.status)


def body_of(parcel: WebhookDelivery) -> bytes:
    """Return the body of a webhook POST: JSON with the endpoint's id, its tenant and the events."""
    values = {
        "webhook": parcel.endpoint.id,
        "tenant": parcel.endpoint.tenant,
        "events": [_event(news) for news in parcel.events],
    }
    return json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode()


def _event(news: WebhookEvent) -> dict[str, Any]:
    return {
        "id": f"{news.message_id}.{news.sequence}",
        "sequence": news.sequence,
        "event": f"message.{news.kind}",
        "at": news.at.isoformat(),
        "actor": news.actor,
        "facts": facts_for_tenants(news.facts),
        "message": {
            "id": news.message_id,
            "batch_id": news.batch_id,
            "reference": news.reference,
            "to": news.recipient,
            "metadata": dict(news.metadata),
            "status": news.status,
            "reason": OutboundReason.old_word(news.reason),
            **OutboundReason.explain(news.reason),
        },
    }


def run_notifier(endpoints: Endpoints, webhooks: Webhooks, stop: threading.Event) -> None:
    """Post webhooks until `stop` is set; an outage of the database is waited out."""
    forgot_at, idle = _now(), Backoff(_PAUSE_S, _IDLE_S)

    def step() -> float:
        nonlocal forgot_at
        posted = notify(endpoints, webhooks)
        if _now() - forgot_at >= _FORGET_EVERY:
            forgot_at = _now()
            endpoints.forget(before=forgot_at - _KEPT_FOR)
        if posted:
            idle.reset()
            return 0
        return idle.grow() * random.uniform(0.5, 1)

    SteadyLoop(step, log=log, failing="endpoints wait: %s").run(stop)
