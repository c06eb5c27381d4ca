"""Connections to Mailroom's PostgreSQL, its migrations, and the translation of its errors."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, InterfaceError, InvalidatePoolError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import ConnectionPoolEntry

from mailroom.adapters.postgres.gate import gate_of
from mailroom.adapters.postgres.readable_values import saturate_times, tolerate_unreadable_json
from mailroom.adapters.postgres.schema import MIGRATIONS
from mailroom.crash_points import crash_point
from mailroom.domain.errors import MailroomError, PermanentError, TransientError, UnfitSchema

#: SQLSTATE classes after which the same transaction may succeed: connection, demoted server, serialisation, resources, locks,
#: operator, system; and a missing right, which an administrator may grant and which says nothing about the mail.
_TRANSIENT = ("08", "25", "40", "53", "55", "57", "58", "42501")

#: A table, a column or a schema is missing: it was removed while this code runs.
_UNFIT = frozenset({"42P01", "42703", "3F000"})

#: A transaction here takes milliseconds; one that is idle for this long belongs to a frozen process.
_LONGEST_PAUSE_MS = 15_000

#: How long a migration waits for a table that running processes use: behind it all others that need the table wait.
LONGEST_WAIT_MS = 5_000

#: A connection that was used within this time is not checked: no server restarts faster, and checks would be a quarter of
#: all round trips.
_LIVES_FOR_S = 0.5
#: Without these a call to a vanished server waits until the kernel gives up, a quarter of an hour.
_GIVE_UP = {"connect_timeout": 10, "tcp_user_timeout": 30_000, "keepalives_idle": 10, "keepalives_interval": 5}


def make_engine(url: str, *, pool_size: int = 10, max_overflow: int = 10) -> Engine:
    """Return an engine for `postgresql://...`; idle connections are checked before use, so a restart of the server is survived.

    Parameters are hidden from errors: they contain addresses and subjects. The server ends the session of a worker that
    freezes in a transaction (a paused machine), because its locks would stop the other workers.
    """
    driver_url = url.replace("postgresql://", "postgresql+psycopg://", 1)
    engine = create_engine(
        driver_url,
        pool_size=pool_size,
        max_overflow=max_overflow,
        hide_parameters=True,
        connect_args=_GIVE_UP
        | {"options": f"-c idle_in_transaction_session_timeout={_LONGEST_PAUSE_MS} -c timezone=UTC"},
    )
    event.listen(engine, "connect", _read_anything)
    event.listen(engine, "checkin", _note_use)
    event.listen(engine, "checkout", _check_after_pause)
    event.listen(engine, "do_executemany", _execute_many)
    return engine


def _read_anything(connection: psycopg.Connection[Any], _entry: ConnectionPoolEntry) -> None:
    saturate_times(connection)
    tolerate_unreadable_json(connection)


def _execute_many(cursor: psycopg.Cursor[Any], sql: str, rows: Sequence[Any], _context: object) -> bool:
    """Execute a statement for many rows, and keep the server's timeout for idle transactions running.

    psycopg ends its pipeline with a Flush behind the Sync: PostgreSQL stops that timeout at any message, and starts it again
    only after a query. Without the empty query, a worker that freezes here would hold its locks for ever.
    """
    cursor.executemany(sql, rows)
    cursor.connection.execute("")
    return True


def _note_use(_connection: psycopg.Connection[Any] | None, entry: ConnectionPoolEntry) -> None:
    entry.info["used_at"] = time.monotonic()


def _check_after_pause(connection: psycopg.Connection[Any], entry: ConnectionPoolEntry, _proxy: object) -> None:
    """Check an idle connection; if it is broken, the pool replaces all its connections. A new one needs no check."""
    used_at = entry.info.get("used_at")
    if used_at is None or time.monotonic() - used_at < _LIVES_FOR_S:
        return
    try:
        connection.execute("")
        connection.rollback()
    except psycopg.Error as error:
        raise InvalidatePoolError from error


@contextmanager
def transaction(engine: Engine, what: str = "", *, gated: bool = True) -> Iterator[Connection]:
    """Run the block in one transaction, committed at its end; `what` names the commit of a writing one (see `crash_points`).

    `gated=False` is for writes that must be tried even if the schema does not fit this code.

    Raises:
        TransientError: the database or the connection failed; nothing is known to be written.
        UnfitSchema: the schema does not fit this code; nothing is written.
        PermanentError: the statement itself is wrong.
    """
    with _translating(engine):
        if gated:
            gate_of(engine).passed(engine)
        with engine.begin() as connection:
            yield connection
            crash_point("before", what)
        crash_point("after", what)


@contextmanager
def statement(engine: Engine, what: str = "") -> Iterator[Connection]:
    """Run a block of one statement in autocommit: two round trips fewer than a transaction.

    Raises:
        TransientError, UnfitSchema, PermanentError: as `transaction`.
    """
    with _translating(engine):
        gate_of(engine).passed(engine)
        with engine.connect() as connection:
            crash_point("before", what)
            yield connection.execution_options(isolation_level="AUTOCOMMIT")
            crash_point("after", what)


@contextmanager
def _translating(engine: Engine) -> Iterator[None]:
    try:
        yield
    except MailroomError:
        raise
    except DBAPIError as error:
        # The driver's text may quote values of the row, so neither it nor its cause is passed on.
        raise _explained(engine, _translated(error)) from None
    except PoolTimeout:
        raise TransientError("no free database connection") from None


def _translated(error: DBAPIError) -> MailroomError:
    sqlstate = getattr(error.orig, "sqlstate", None)
    if error.connection_invalidated or isinstance(error, (OperationalError, InterfaceError)):
        return TransientError("the database cannot be reached or cannot serve now", sqlstate=sqlstate)
    if sqlstate is not None and sqlstate.startswith(_TRANSIENT):
        return TransientError("the database cannot serve now", sqlstate=sqlstate)
    if sqlstate in _UNFIT:
        return UnfitSchema("the schema does not fit this version; see `mailroom migrate --check`", sqlstate=sqlstate)
    return PermanentError("the database refused a statement", sqlstate=sqlstate)


def _explained(engine: Engine, error: MailroomError) -> MailroomError:
    """Return the schema's fault if there is one, else `error`: a migration may have run since the last check."""
    if not isinstance(error, (UnfitSchema, PermanentError)):
        return error
    try:
        return gate_of(engine).look_now(engine) or error
    except (DBAPIError, PoolTimeout):
        return error


def reach(engine: Engine) -> None:
    """Return if the database answers, whatever its schema.

    Raises:
        TransientError: it does not.
    """
    with _translating(engine), engine.connect() as connection:
        connection.exec_driver_sql("select 1")


def refuse_unfit(engine: Engine) -> None:
    """Return if the schema fits this code, checked now.

    Raises:
        UnfitSchema: it does not; the message says what to do.
        TransientError: the database cannot be reached.
        PermanentError: its catalogue may not be read.
    """
    with _translating(engine):
        fault = gate_of(engine).look_now(engine)
    if fault is not None:
        raise fault


def migrate(url: str, applied: list[str] | None = None) -> None:
    """Migrate the schema to the newest revision; nothing happens when it has that already.

    The revisions that this call ran are added to `applied`. Two concurrent calls run each migration once.
    """
    engine = make_engine(url)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes |= {"engine": engine, "applied": [] if applied is None else applied}
    try:
        command.upgrade(config, "head")
    finally:
        engine.dispose()
