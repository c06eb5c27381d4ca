"""Telling tenants' endpoints what became of their messages: taken, posted signed, and noted.

    activity ─ its transaction ─> to be told ── taken for a minute ──> POST ──> told
                                      ^                                  └──> again later, each time later, for three days
                                      └── replay                                └──> disabled, with the reason

An endpoint is told in order, one POST at a time, so that one that is down holds up nothing but itself. Killed between the
POST and the note, the same is told again: whoever is told knows it by its id.
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

#: Longer than the longest POST.
_HELD = timedelta(seconds=60)
#: One to which nothing can be posted is tried again after so long.
_ASIDE = timedelta(minutes=10)
#: Looked for more and more seldom while there is nothing; several threads look, each at its own time.
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
    """Tell one endpoint what waits for it, and return how much it was tried to tell; 0: nothing is to be told now."""
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
    except Exception as error:  # noqa: BLE001 - one endpoint must not keep all others from being told
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
    """Return what is posted."""
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
    """Tell endpoints until `stop` is set; an outage of the database is waited out."""
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
