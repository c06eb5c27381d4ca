"""Recognition of a restored database, in SQL: see `mailroom.ports.restores` for the signs, and ADR 10 for why these.

Each process remembers the highest counter that it has seen, so that its next transaction recognises a restore without
reading the outside counter. That is read before the database's: it is only raised after the database has committed.
"""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, ClassVar, TypeVar
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, Connection, Engine, and_, false, func, or_, select, text
from sqlalchemy.engine import Row

from mailroom.adapters.postgres.engine import transaction
from mailroom.adapters.postgres.models import table
from mailroom.adapters.postgres.outbound.holds import hold
from mailroom.adapters.postgres.outbound.models import IS_WAITING, BatchRow, MessageRow
from mailroom.adapters.postgres.outbound.rows import is_held
from mailroom.domain.errors import MailroomError, TransientError
from mailroom.domain.outbound.message import UNANSWERED, Batch, ResendPolicy
from mailroom.ports.holds import HoldReason
from mailroom.ports.restores import OutsideCounter, Recognised

log = logging.getLogger(__name__)

Result = TypeVar("Result")

#: While messages are claimed, the counter is advanced at least this often, in seconds.
BEAT_S = 5.0
#: After a restore the counter advances by this much: past values that a process could not write outside.
_LEAP = 1_000

_message, _batch = table(MessageRow).c, table(BatchRow).c

#: Database and table: a copy, or a restored dump, differs in one of them.
_TABLE = "(select oid from pg_database where datname = current_database()), 'message'::regclass::oid"
#: Server and timeline too, for a point-in-time recovery and a promoted replica; not every managed server shows them.
_SERVER = "(select system_identifier from pg_control_system()), substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)"
_IDENTITIES = f"{_SERVER}, {_TABLE}", _TABLE
#: The SQLSTATE of a right that the user lacks.
_DENIED = "42501"
_MAKE = text("insert into installation (id, counter) values (1, 0) on conflict do nothing")
_RESTORED_AT = text("select restored_at from installation")
_WRITE = text("""
    update installation set name = :name, counter = :counter, identity = :here,
        restored_at = coalesce(:restored_at, restored_at)
""")


def transact(engine: Engine, restores: "SqlRestores | None", what: str, work: Callable[[Connection], Result]) -> Result:
    """Return the result of `work` in one transaction; with `restores`, after checking that the database was not restored."""
    if restores is not None:
        return restores.transact(what, work)
    with transaction(engine, what) as connection:
        return work(connection)


def restored_at(connection: Connection) -> datetime | None:
    """Return when this database was last recognised as restored; None: never."""
    at: datetime | None = connection.execute(_RESTORED_AT).scalar_one_or_none()
    return at


class RestoredError(TransientError):
    """The database was restored and its waiting messages are not held yet; `SqlRestores` holds them and tries again."""


class SqlRestores:
    """Recognises restores of one database; one for each engine of a process, and safe to share between threads."""

    #: The highest counter that this process has seen, by the installation's name.
    _seen: ClassVar[dict[UUID, int]] = {}

    def __init__(
        self,
        engine: Engine,
        outside: OutsideCounter,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        beat_s: float = BEAT_S,
    ) -> None:
        self._engine, self._outside, self._clock, self._beat_s = engine, outside, clock, beat_s
        self._lock = threading.RLock()
        self._read_at = self._advanced_at = float("-inf")
        self._claimed = False
        self._identity: str | None = None

    def start(self) -> None:
        """Advance the counter before a process works; if that fails, it is advanced before the first claim."""
        try:
            self.advance()
        except MailroomError as error:
            log.warning("cannot check yet whether the database was restored: %s", error)

    def claiming(self) -> None:
        """Advance before a claim, and remember it: `trail` advances after the last claim."""
        if self._age_s() >= self._beat_s:
            self.advance()
        self._claimed = True

    def trail(self) -> None:
        """Advance after the last claim, so that a dump from before it has a lower counter."""
        if self._claimed and self._age_s() >= self._beat_s:
            self._claimed = False
            self.advance()

    def transact(self, what: str, work: Callable[[Connection], Result]) -> Result:
        """Return the result of `work` in one transaction; after a restore, waiting messages are held first."""
        try:
            with transaction(self._engine, what) as connection:
                self.verify(connection)
                return work(connection)
        except RestoredError:
            self.recognise()
        with transaction(self._engine, what) as connection:
            self.verify(connection)
            return work(connection)

    def verify(self, connection: Connection) -> None:
        """Return if neither the identity nor the highest counter seen shows that the database was restored.

        Raises:
            RestoredError: it was.
        """
        row = self._row(connection)
        if (why := self._sign(row)) is not None:
            raise RestoredError("the database was restored", why=why)

    def look(self, *, max_age_s: float = 0) -> Recognised | None:
        """Compare with the outside counter, and hold waiting messages after a restore; None if it was read within `max_age_s`.

        Raises:
            TransientError: the outside counter was never read in this process, and cannot be now.
        """
        with self._lock:
            if time.monotonic() - self._read_at < max_age_s:
                return None
            self._read_outside()
        with transaction(self._engine) as connection:
            restored = self._sign(self._row(connection)) is not None
        return self.recognise() if restored else None

    def advance(self) -> None:
        """Look, then advance the counter in the database, then outside.

        Raises:
            TransientError: as `look`. A value that cannot be written outside is written the next time.
        """
        with self._lock:
            self.look()
            name, counter = self._step()
            self._raise_outside(name, counter)
            self._advanced_at = time.monotonic()

    def recognise(self, *, because: str | None = None) -> Recognised | None:
        """Hold all waiting messages if this database was restored and they are not held yet, and return how many.

        One transaction: after a crash the next call finds the same; of two concurrent calls, the second finds nothing.

        Args:
            because: Hold them in any case, for this reason.
        """
        with self._lock:
            if because is not None:
                # The counter must pass the one outside, or the next process takes this for a restore again.
                with suppress(TransientError):
                    self._read_outside()
            with transaction(self._engine, "commit of recognise") as connection:
                gone = connection.execute(_MAKE).rowcount > 0
                row = self._lock_row(connection)
                why = because or self._sign(None if gone else row)
                if why is None:
                    return None
                held = _hold_all(connection, self._clock())
                counter = max(row.counter, self._seen.get(row.name, 0)) + _LEAP
                name = self._write(connection, row, counter, restored_at=self._clock())
            self._seen[name] = counter
        log.warning("the database was restored (%s): %d messages of %d batches are held", why, held[1], held[0])
        self._raise_outside(name, counter)
        return Recognised(why, *held)

    def name(self) -> str | None:
        """Return the installation's name; None before the first process."""
        with transaction(self._engine) as connection:
            row = self._row(connection)
            return str(row.name) if row and row.name else None

    def waiting(self) -> int:
        """Return how many messages would be held if this were a restore."""
        with transaction(self._engine) as connection:
            return int(connection.execute(select(func.count()).where(_possibly_sent())).scalar_one())

    def counter(self) -> int:
        """Return the database's counter."""
        with transaction(self._engine) as connection:
            row = self._row(connection)
            return row.counter if row else 0

    def _row(self, connection: Connection) -> Row[Any] | None:
        """Return the row of the installation, with the database's present identity as `here`."""
        return connection.execute(text(self._select())).first()

    def _lock_row(self, connection: Connection) -> Row[Any]:
        return connection.execute(text(f"{self._select()} for update of installation")).one()

    def _select(self) -> str:
        """Return the query with all identity that this server shows; found once."""
        if self._identity is None:
            self._identity = next((one for one in _IDENTITIES if self._says(one)), _TABLE)
        return f"select name, counter, identity, concat_ws('/', {self._identity}) as here from installation"  # noqa: S608 - constants

    def _says(self, identity: str) -> bool:
        try:
            with transaction(self._engine) as connection:
                connection.execute(text(f"select concat_ws('/', {identity})"))
        except MailroomError as error:
            # For mail a missing right is transient, because an administrator may grant it; this right is not needed.
            if isinstance(error, TransientError) and error.facts.get("sqlstate") != _DENIED:
                raise
            return False
        return True

    def _age_s(self) -> float:
        return time.monotonic() - self._advanced_at

    def _sign(self, row: Row[Any] | None) -> str | None:
        """Return the sign that this database was restored, or None. One without a name is new."""
        if row is None:
            return "the row in table installation is missing"
        if row.name is None:
            return None
        if row.identity != row.here:
            return "the identity of the database has changed"
        seen = self._seen.get(row.name, 0)
        return f"its counter is {row.counter}, but was {seen} before" if row.counter < seen else None

    def _step(self) -> tuple[UUID, int]:
        with transaction(self._engine, "commit of advance") as connection:
            row = self._lock_row(connection)
            name = self._write(connection, row, row.counter + 1)
            counter = row.counter + 1
        self._seen[name] = max(counter, self._seen.get(name, 0))
        return name, counter

    @staticmethod
    def _write(connection: Connection, row: Row[Any], counter: int, *, restored_at: datetime | None = None) -> UUID:
        name: UUID = row.name or uuid4()
        values = {"name": name, "counter": counter, "here": row.here, "restored_at": restored_at}
        connection.execute(_WRITE, values)
        return name

    def _read_outside(self) -> None:
        """Remember the outside counter; an outage raises only if it was never read in this process."""
        with transaction(self._engine) as connection:
            row = self._row(connection)
        try:
            value = None if row is None or row.name is None else self._outside.read(str(row.name))
        except TransientError:
            if self._read_at == float("-inf"):
                raise
            log.warning("the counter in the archive's bucket cannot be read; restores are detected without it")
            return
        except MailroomError as error:
            # Not permitted, or not readable: such an installation must still send.
            log.error("restores are detected without the counter in the archive's bucket; correct this: %s", error)
            value = None
        if row is not None and row.name is not None:
            self._seen[row.name] = max(value or 0, self._seen.get(row.name, 0))
        self._read_at = time.monotonic()

    def _raise_outside(self, name: UUID, counter: int) -> None:
        try:
            self._outside.raise_to(str(name), counter)
        except MailroomError as error:
            log.warning("the counter in the archive's bucket cannot be advanced now: %s", error)


def _hold_all(connection: Connection, now: datetime) -> tuple[int, int]:
    """Hold waiting messages and those that a policy would send again; return how many batches and messages."""
    batches = connection.execute(select(func.count(_message.batch_id.distinct())).where(_possibly_sent())).scalar_one()
    return batches, hold(connection, _possibly_sent(), HoldReason.RESTORED, now)


def _possibly_sent() -> ColumnElement[bool]:
    """Return the condition that a message may have been sent after the dump; also one that was held then and resumed later."""
    return or_(_open(), and_(is_held(), _message.reason != HoldReason.RESTORED))


def _open() -> ColumnElement[bool]:
    """Return the condition that a message will be sent without a person, now or later."""
    again = select(_batch.id).where(_batch.policy == ResendPolicy.PREFER_DELIVERY)
    sent_again = and_(_message.status.in_(UNANSWERED), _message.batch_id.in_(again))
    return or_(text(IS_WAITING), sent_again)


_ADD_ATTEMPTS = text("update batch_attempts set attempts = attempts + :mails where batch_id = :batch")
_BEGIN_ATTEMPTS = text("""
    insert into batch_attempts (batch_id, attempts) select :batch, sum(attempts) from message where batch_id = :batch
    on conflict (batch_id) do update set attempts = batch_attempts.attempts + :mails
""")
_MISSING_ATTEMPTS = text("""
    select batch_attempts.attempts - coalesce((select sum(attempts) from message where batch_id = :batch), 0) as missing
    from batch_attempts where batch_id = :batch
""")


def count_attempts(connection: Connection, batch: Batch, mails: int) -> None:
    """Count the attempts of a batch beside its messages. Last in a claim: other claims of the batch wait here for its commit."""
    values = {"batch": UUID(batch.id), "mails": mails}
    if not connection.execute(_ADD_ATTEMPTS, values).rowcount:
        connection.execute(_BEGIN_ATTEMPTS, values)


def hold_put_back(connection: Connection, batch: Batch, now: datetime) -> int:
    """Hold waiting messages of a batch whose messages have fewer attempts than were counted: its rows alone were restored."""
    batch_id = UUID(batch.id)
    missing = connection.execute(_MISSING_ATTEMPTS, {"batch": batch_id}).scalar_one_or_none()
    if not missing or missing < 0:
        return 0
    again = _message.status.in_(UNANSWERED) if batch.policy is ResendPolicy.PREFER_DELIVERY else false()
    which = and_(_message.batch_id == batch_id, or_(text(IS_WAITING), again))
    held = hold(connection, which, HoldReason.RESTORED, now)
    connection.execute(_ADD_ATTEMPTS, {"batch": batch_id, "mails": -missing})
    log.warning("rows of batch %s were restored to a state before sending: %d messages are held", batch.id, held)
    return held
