"""Having an e-mail in hand: under which name, for how long without a sign of life, and the beats that give it.

One pace rules them all: a worker beats every `MAILROOM_BEAT_S` seconds (15), and one that missed three beats is dead.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from mailroom.domain.errors import MailroomError
from mailroom.domain.inbound.received_email import Entry
from mailroom.operations.loops import every
from mailroom.ports.ledger import Lease, Ledger

#: A child process works under the name of the worker that started it.
WORKER_VARIABLE = "MAILROOM_WORKER"

_MISSED = 3


def heartbeat_s() -> float:
    """Return the seconds between two signs of life."""
    return float(os.environ.get("MAILROOM_BEAT_S") or 15)


def stale_s() -> float:
    """Return the seconds of silence after which a worker is dead."""
    return _MISSED * heartbeat_s()


def worker_name() -> str:
    """Return the name under which this process has e-mails in hand."""
    return os.environ.get(WORKER_VARIABLE) or f"{socket.gethostname()}-{os.getpid()}"


def lease_at(now: datetime) -> Lease:
    """Return this process's wish to have an e-mail in hand."""
    return Lease(worker_name(), stale_before=now - timedelta(seconds=stale_s()))


@asynccontextmanager
async def held_lease(entry: Entry, ledger: Ledger) -> AsyncIterator[None]:
    """Beat for `entry` as long as the block runs, whoever runs it: listener, pool, child process or a stock worker.

    A block shorter than one beat, as nearly all are, asks the ledger for nothing.
    """
    beating = asyncio.create_task(_heartbeat(entry, ledger))
    try:
        yield
    finally:
        beating.cancel()


async def _heartbeat(entry: Entry, ledger: Ledger) -> None:
    async def beat() -> None:
        await asyncio.to_thread(ledger.heartbeat, [entry.id], worker=worker_name(), now=datetime.now(UTC))

    def failed(error: Exception) -> None:
        # After an outage the next beat may work: the claim is stale only after several.
        if not isinstance(error, MailroomError):
            raise error

    await every(heartbeat_s(), beat, failed=failed)
