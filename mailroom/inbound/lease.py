"""Leases on e-mails: the worker's name, the heartbeat that keeps a lease, and when a lease expires.

A worker sends a heartbeat every `MAILROOM_BEAT_S` seconds (15); after three missed heartbeats it counts as dead.
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

#: Environment variable with the worker's name, by which a child process leases under the name of its worker.
WORKER_VARIABLE = "MAILROOM_WORKER"

_MISSED_HEARTBEATS = 3


def heartbeat_s() -> float:
    """Return the seconds between two heartbeats."""
    return float(os.environ.get("MAILROOM_BEAT_S") or 15)


def stale_s() -> float:
    """Return the seconds without a heartbeat after which a worker counts as dead."""
    return _MISSED_HEARTBEATS * heartbeat_s()


def worker_name() -> str:
    """Return the name under which this process leases e-mails."""
    return os.environ.get(WORKER_VARIABLE) or f"{socket.gethostname()}-{os.getpid()}"


def lease_at(now: datetime) -> Lease:
    """Return this process's lease request."""
    return Lease(worker_name(), stale_before=now - timedelta(seconds=stale_s()))


@asynccontextmanager
async def held_lease(entry: Entry, ledger: Ledger) -> AsyncIterator[None]:
    """Send heartbeats for `entry` while the block runs, in any process: listener, pool, child process or a stock worker.

    A block shorter than one heartbeat interval, as nearly all are, makes no call to the ledger.
    """
    heartbeats = asyncio.create_task(_heartbeat(entry, ledger))
    try:
        yield
    finally:
        heartbeats.cancel()


async def _heartbeat(entry: Entry, ledger: Ledger) -> None:
    async def send() -> None:
        await asyncio.to_thread(ledger.heartbeat, [entry.id], worker=worker_name(), now=datetime.now(UTC))

    def failed(error: Exception) -> None:
        # After an outage the next heartbeat may succeed: the lease expires only after several are missed.
        if not isinstance(error, MailroomError):
            raise error

    await every(heartbeat_s(), send, failed=failed)
