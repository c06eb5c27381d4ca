"""For tests of restores: an installation whose processes start and stop, and the ways to restore an earlier database."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path

import psycopg

from mailroom.adapters.postgres.engine import make_engine
from mailroom.adapters.postgres.operations.dumps import dump
from mailroom.adapters.postgres.operations.restores import SqlRestores
from mailroom.adapters.postgres.outbound.dispatching import SqlDispatch
from mailroom.adapters.postgres.outbound.outbox import SqlOutbox
from mailroom.domain.outbound.message import Lane
from mailroom.outbound.dispatching import Sender
from mailroom.outbound.mailbox import BatchOrder, read
from mailroom.outbound.outbox_relay import relay
from mailroom.outbound.unknown_outcomes import settle_unknown
from mailroom.ports.dispatch import Claimed
from mailroom.ports.restores import OutsideCounter
from mailroom.testing.counter import MemoryCounter
from mailroom.testing.provider import MemoryProvider
from mailroom.testing.queue import MemoryQueue
from tests.support.sending import Office, office_on
from tests.support.tampering import owner_of, restored

_numbers = count()


@dataclass
class Process:
    """A process of the installation: it relays, sweeps and sends as production does."""

    office: Office
    restores: SqlRestores
    #: The mailbox queue.
    posts: MemoryQueue

    @property
    def outbox(self) -> SqlOutbox:
        return SqlOutbox(self.office.engine, self.restores)

    def given(self, claims: Sequence[Claimed]) -> None:
        """Have the provider accept the claimed messages."""
        provider = self.office.outbound.provider
        assert isinstance(provider, MemoryProvider)
        provider.accepted += [claim.draft.id for claim in claims]

    def work(self, now: datetime) -> None:
        """Relay, sweep, and carry out each order that is due as a run of `send-batch` does."""
        relay(self.outbox, self.posts, now=now)
        self.outbox.remind(before=now - timedelta(minutes=15), limit=100, now=now)
        relay(self.outbox, self.posts, now=now)
        for word in self._due(now):
            self._run(word.batch_id, now)

    def _due(self, now: datetime) -> list[BatchOrder]:
        """Take the orders that are due from the mailbox queue, and leave the later ones."""
        due, done, later = list[BatchOrder](), list[str](), list[str]()
        while received := self.posts.receive(most=10, wait_s=0):
            for one in received:
                word = read(one.body, {})
                waits = isinstance(word, BatchOrder) and word.due_at > now
                (later if waits else done).append(one.receipt_handle)
                due += [word] if isinstance(word, BatchOrder) and not waits else []
        self.posts.delete(done)
        self.posts.hide(later, seconds=0)
        return due

    def _run(self, batch_id: str, now: datetime) -> None:
        outbound = self.office.outbound
        settle_unknown(outbound, now=now)
        sender = Sender(batch_id, Lane.TRANSACTIONAL, outbound, clock=lambda: now)
        while (planned := outbound.dispatch.plan(batch_id, now=now)).due:
            if sender.send_some(planned.due).resume_at:
                break


@dataclass
class Installation:
    """A database, the counter outside it, and a provider that counts."""

    postgres_url: str
    url: str
    counter: OutsideCounter = field(default_factory=MemoryCounter)
    provider: MemoryProvider = field(default_factory=MemoryProvider)
    posts: MemoryQueue = field(default_factory=MemoryQueue)
    _made: list[str] = field(default_factory=list)

    def drop(self) -> None:
        """Drop its databases: the server would write all of them to disk before it stops."""
        with psycopg.connect(self.postgres_url, autocommit=True) as connection:
            for name in {*self._made, self.url.rpartition("/")[2]}:
                connection.execute(f'drop database if exists "{name}" with (force)'.encode())

    @contextmanager
    def process(self, *, beat_s: float = 0) -> Iterator[Process]:
        """Run a process from start to end; it shares no memory with others."""
        SqlRestores._seen.clear()
        engine = make_engine(self.url)
        restores = SqlRestores(engine, self.counter, beat_s=beat_s)
        restores.start()
        with office_on(engine, provider=self.provider) as office:
            office.outbound.dispatch = SqlDispatch(engine, restores)
            yield Process(office, restores, self.posts)
        engine.dispose()

    def twice(self) -> int:
        """Return how many messages the provider was given more than once."""
        return sum(times > 1 for times in Counter(self.provider.accepted).values())

    def values(self, statement: str) -> list[str]:
        with psycopg.connect(self.url) as connection:
            return [row[0] for row in connection.execute(statement)]

    def dump(self, folder: Path) -> Path:
        file = folder / f"dump-{next(_numbers)}"
        dump(owner_of(self.url), file)
        return file

    def restore_over(self, file: Path) -> None:
        """pg_restore over the same database."""
        restored(self.url, file)

    def restore_fresh(self, file: Path) -> None:
        """pg_restore into a new database, which the installation uses from now on."""
        name = f"restored_{next(_numbers)}"
        with psycopg.connect(self.postgres_url, autocommit=True) as connection:
            connection.execute(f'create database "{name}"')
        self.url = f"{self.url.rpartition('/')[0]}/{name}"
        self._made.append(name)
        restored(self.url, file)

    def put_back(self, file: Path, *, tables: tuple[str, ...] = ()) -> None:
        """Put rows back by plain SQL, as an administrator does by hand: of all tables, or of these alone."""
        there = self.values("select tablename::text from pg_tables where schemaname = 'public'")
        wanted = tables or tuple(one for one in there if one != "alembic_version")
        before, here = self.url, psycopg.connect(owner_of(self.url))
        self.restore_fresh(file)
        there_url, self.url = self.url, before
        with here, psycopg.connect(owner_of(there_url)) as there_:
            # As a superuser does, who keeps foreign keys and triggers out of the way.
            here.execute("set session_replication_role = replica")
            for name in wanted:
                here.execute(f"delete from {name}".encode())
                with (
                    there_.cursor().copy(f"copy {name} to stdout".encode()) as source,
                    here.cursor().copy(f"copy {name} from stdin".encode()) as target,
                ):
                    for piece in source:
                        target.write(piece)
