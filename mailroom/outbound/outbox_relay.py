"""The outbox relay: posts orders of batches from the outbox to the mailbox queue.

A batch is accepted once the database has it, whether or not anything else is up. The relay posts the order, then records
that it did; killed in between, it posts again, and the listener treats a repeated order of a batch as one.
"""

import json
import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from mailroom.operations.loops import Backoff, SteadyLoop
from mailroom.ports.mailbox import Mailbox
from mailroom.ports.outbox import Outbox, OutboxOrder

log = logging.getLogger(__name__)

_MOST = 100
#: The lease of orders that a relay took; those that it could not publish wait as long. Posting an order twice is harmless.
_HELD = timedelta(seconds=30)
#: Pauses between polls for orders of other processes, growing while there are none; this process's own wake the relay at once.
_PAUSE_S, _IDLE_S = 0.5, 2.0


def relay(outbox: Outbox, mailbox: Mailbox, *, now: datetime) -> int:
    """Publish waiting orders and return how many."""
    orders = outbox.take(most=_MOST, now=now, until=now + _HELD)
    if orders:
        mailbox.post([order_body(order) for order in orders])
        outbox.published(orders, now=now)
    return len(orders)


def order_body(order: OutboxOrder) -> str:
    """Return an order's message body for the queue; `mailroom.outbound.mailbox` reads it."""
    return json.dumps({"batch_id": order.batch_id, "due_at": order.due_at.isoformat(), "lane": order.lane})


def run_relay(
    outbox: Outbox,
    mailbox: Mailbox,
    stop: threading.Event,
    *,
    handed: threading.Event | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> None:
    """Relay until `stop` is set; outages of the database or the queue are retried.

    Args:
        handed: Set when this process wrote an order; wakes the relay.
    """
    idle = Backoff(_PAUSE_S, _IDLE_S)

    def step() -> float:
        published = relay(outbox, mailbox, now=clock())
        if published:
            log.info("published %d orders", published)
        pause_s = idle.reset() if published else idle.grow()
        return pause_s if published < _MOST else 0

    waiting, working = "orders cannot be published now and wait in the outbox: %s", "publishing of orders resumed"
    SteadyLoop(step, log=log, failing=waiting, again=working).run(stop, wake=handed or threading.Event())
