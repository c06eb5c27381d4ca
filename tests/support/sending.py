"""For tests of sending: a real outbox and dispatch; in memory a provider and a rate without a limit."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import Engine, text

from mailroom.adapters.postgres.delivery.breakers import SqlBreakers
from mailroom.adapters.postgres.outbound.dispatching import SqlDispatch
from mailroom.adapters.postgres.outbound.outbox import SqlOutbox
from mailroom.adapters.postgres.outbound.pauses import SqlPauses
from mailroom.domain.outbound.message import Batch, Content, Draft, Party
from mailroom.outbound.dispatching import Outbound
from mailroom.ports.provider import MailProvider
from mailroom.testing.archive import MemoryArchive
from mailroom.testing.provider import MemoryProvider
from mailroom.testing.rate import MemoryRate

CONTENT = Content(subject="Your invoice", text="It is attached.", html=None)


@dataclass
class Office:
    """An outbound side on a real database."""

    engine: Engine
    outbound: Outbound
    provider: MemoryProvider
    rate: MemoryRate

    def batch(self, count: int = 3, *, now: datetime, content: Content = CONTENT, **changes: Any) -> str:
        """Submit a batch and return its id."""
        batch = Batch(**{"id": str(uuid4()), "tenant": "acme", "from_": Party("desk@acme.test")} | changes)
        drafts = [Draft(id=str(uuid4()), number=at, to=Party(f"u{at}@users.test"), content=0) for at in range(count)]
        return SqlOutbox(self.engine).accept(batch, [content], drafts, now=now).batch_id

    def values(self, statement: str) -> list[Any]:
        """Return the only column of a query."""
        with self.engine.connect() as connection:
            return list(connection.execute(text(statement)).scalars())

    def statuses(self) -> list[str]:
        """Return the statuses of all messages, by their numbers."""
        return self.values("select status from message order by number")

    def orders(self) -> list[datetime]:
        """Return the due times of all orders but each batch's first."""
        return self.values("select due_at from outbox where id not in (select min(id) from outbox group by batch_id)")


@contextmanager
def office_on(engine: Engine, *, provider: MailProvider | None = None, rate: Any = None) -> Iterator[Office]:
    """An outbound side whose provider is in memory."""
    memory, open_rate = MemoryProvider(), MemoryRate()
    with ThreadPoolExecutor(8) as hands:
        outbound = Outbound(
            dispatch=SqlDispatch(engine),
            breakers=SqlBreakers(engine),
            pauses=SqlPauses(engine),
            archive=MemoryArchive(),
            provider=provider or memory,
            rate=rate or open_rate,
            sender_threads=hands,
        )
        yield Office(engine, outbound, memory, open_rate)
