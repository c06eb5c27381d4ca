"""How closely three workers keep a provider's rate, measured at the receiving end. `python -m benchmarks.rate`.

A PostgreSQL and an SMTP server of its own; three processes send one batch together, and begin when all are ready.
Counted are the second with most mails, and the mails of the whole time but its first and last two seconds.
"""

import multiprocessing
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy import Engine

from mailroom.adapters.postgres.delivery.breakers import SqlBreakers
from mailroom.adapters.postgres.engine import make_engine, migrate
from mailroom.adapters.postgres.outbound.dispatching import SqlDispatch
from mailroom.adapters.postgres.outbound.outbox import SqlOutbox
from mailroom.adapters.postgres.outbound.rate_permits import SqlRate
from mailroom.adapters.providers.smtp import Smtp, Tls
from mailroom.domain.outbound.message import Batch, Content, Draft, Lane, Party
from mailroom.domain.outbound.rate_slots import RateSlots
from mailroom.outbound.dispatching import SENDER_THREADS, Outbound, Sender
from mailroom.sandbox.stack.postgres import running_postgres
from mailroom.sandbox.stand_ins.receiver import Receiver, receiving
from mailroom.testing.archive import MemoryArchive
from tests.support.loopback_ports import free_port

WORKERS, SECONDS, WARM_S = 3, 20, 2
_SPAWN = multiprocessing.get_context("spawn")


@dataclass
class Clocked(Receiver):
    """A receiver that records the time of each mail."""

    moments: list[float] = field(default_factory=list)

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        """Accept the mail, and record the time."""
        answer = await super().handle_DATA(server, session, envelope)
        self.moments.append(time.monotonic())
        return answer


def main() -> None:
    """Measure and print one table."""
    print(f"{'asked/s':>8} {'most in 1 s':>12} {'used %':>7} {'received':>9} {'twice':>6}")
    with (
        tempfile.TemporaryDirectory() as path,
        running_postgres(Path(path), port=free_port(), password="for-the-benchmark") as server,  # noqa: S106
    ):
        url = server.url("mailroom")
        migrate(url)
        for per_second in (14, 200):
            _measure(url, per_second)


def _measure(url: str, per_second: int) -> None:
    receiver, port = Clocked(), free_port()
    engine = make_engine(url)
    batch_id, ready = _batch(engine, per_second * SECONDS), _SPAWN.Barrier(WORKERS)
    engine.dispose()
    with receiving(receiver, port=port):
        workers = [_SPAWN.Process(target=work, args=(url, port, per_second, batch_id, ready)) for _ in range(WORKERS)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    moments = sorted(receiver.moments)
    used = _used(moments, per_second)
    twice = len(receiver.accepted) - len(set(receiver.accepted))
    print(
        f"{per_second:>8} {_most_in_a_second(moments):>12} {100 * used:>7.1f} {len(moments):>9} {twice:>6}", flush=True
    )


def work(url: str, port: int, per_second: int, batch_id: str, ready: Barrier) -> None:
    """Send a batch, as a worker does, in a separate process."""
    engine = make_engine(url)
    provider = Smtp(host="127.0.0.1", port=port, tls=Tls.OFF)
    with ThreadPoolExecutor(SENDER_THREADS) as threads:
        rate = SqlRate(engine, f"smtp/{per_second}", pace=lambda: RateSlots.of(per_second))
        outbound = Outbound(
            dispatch=SqlDispatch(engine),
            breakers=SqlBreakers(engine),
            archive=MemoryArchive(),
            provider=provider,
            rate=rate,
            sender_threads=threads,
        )
        sender = Sender(batch_id, Lane.BULK, outbound)
        ready.wait()
        while not sender.send_some(1_000).over:
            pass
    provider.close()


def _used(moments: Sequence[float], per_second: int) -> float:
    """Return the used share of the rate while all workers had mails to send."""
    begin, end = moments[0] + WARM_S, moments[-1] - WARM_S
    return sum(begin <= moment < end for moment in moments) / (per_second * (end - begin))


def _most_in_a_second(moments: Sequence[float]) -> int:
    most, begin = 0, 0
    for at, moment in enumerate(moments):
        while moments[begin] <= moment - 1:
            begin += 1
        most = max(most, at - begin + 1)
    return most


def _batch(engine: Engine, mails: int) -> str:
    batch = Batch(id=str(uuid4()), tenant="bench", from_=Party("desk@acme.test"), lane=Lane.BULK)
    drafts = [Draft(id=str(uuid4()), number=at, to=Party(f"u{at}@users.test"), content=0) for at in range(mails)]
    SqlOutbox(engine).accept(batch, [Content(subject="s", text="t", html=None)], drafts, now=datetime.now(UTC))
    return batch.id


if __name__ == "__main__":
    main()
