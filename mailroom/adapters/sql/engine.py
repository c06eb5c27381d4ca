"""Connections to Mailroom's PostgreSQL, its migrations, and the translation of its errors."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, InterfaceError, InvalidatePoolError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import ConnectionPoolEntry

from mailroom.crash import crash_point
from mailroom.domain.errors import MailroomError, PermanentError, TransientError

#: SQLSTATE classes after which the same transaction may work: connection, a demoted server, serialisation, resources, locks, operator, system.
_TRANSIENT = ("08", "25", "40", "53", "55", "57", "58")


#: A transaction here takes milliseconds; one that does nothing for so long belongs to a process that froze.
_LONGEST_PAUSE_MS = 15_000

#: A connection that was used so recently is not asked whether it lives: no server restarts in less, and asking costs a
#: quarter of all exchanges with it.
_LIVES_FOR_S = 0.5
#: A server that has vanished says nothing: without these a call waits until the kernel gives up, a quarter of an hour.
_GIVE_UP = {"connect_timeout": 10, "tcp_user_timeout": 30_000, "keepalives_idle": 10, "keepalives_interval": 5}


def make_engine(url: str, *, pool_size: int = 10) -> Engine:
    """Return an engine for `postgresql://...`; connections are checked after a pause, so a restart of the server is survived.

    Parameters are hidden from errors: they hold addresses and subjects. A worker that freezes in a transaction (a paused
    machine) would hold its locks for as long: the server ends its session, and another worker goes on with the mail.
    """
    driver_url = url.replace("postgresql://", "postgresql+psycopg://", 1)
    engine = create_engine(
        driver_url,
        pool_size=pool_size,
        max_overflow=10,
        hide_parameters=True,
        connect_args=_GIVE_UP | {"options": f"-c idle_in_transaction_session_timeout={_LONGEST_PAUSE_MS}"},
    )
    event.listen(engine, "checkin", _note_use)
    event.listen(engine, "checkout", _check_after_pause)
    return engine


def _note_use(_connection: psycopg.Connection[Any] | None, entry: ConnectionPoolEntry) -> None:
    entry.info["used_at"] = time.monotonic()


def _check_after_pause(connection: psycopg.Connection[Any], entry: ConnectionPoolEntry, _proxy: object) -> None:
    """Ask the server for a sign of life; without one the pool replaces all its connections. A new one was never used."""
    used_at = entry.info.get("used_at")
    if used_at is None or time.monotonic() - used_at < _LIVES_FOR_S:
        return
    try:
        connection.execute("")
        connection.rollback()
    except psycopg.Error as error:
        raise InvalidatePoolError from error


@contextmanager
def transaction(engine: Engine, what: str = "") -> Iterator[Connection]:
    """Run the block in one transaction, committed at its end; `what` names the commit of one that writes (see `crash`).

    Raises:
        TransientError: the database or the connection failed; nothing is known to be written.
        PermanentError: the statement itself is wrong.
    """
    with _translating():
        with engine.begin() as connection:
            yield connection
            crash_point("before", what)
        crash_point("after", what)


@contextmanager
def statement(engine: Engine, what: str = "") -> Iterator[Connection]:
    """Run a block of one statement, which is a transaction by itself: two exchanges with the server fewer.

    Raises:
        TransientError, PermanentError: as `transaction`.
    """
    with _translating(), engine.connect() as connection:
        crash_point("before", what)
        yield connection.execution_options(isolation_level="AUTOCOMMIT")
        crash_point("after", what)


@contextmanager
def _translating() -> Iterator[None]:
    try:
        yield
    except MailroomError:
        raise
    except DBAPIError as error:
        # The driver's text names values of the row, so neither it nor its cause may travel on.
        raise _translated(error) from None
    except PoolTimeout:
        raise TransientError("no database connection is free") from None


def _translated(error: DBAPIError) -> MailroomError:
    sqlstate = getattr(error.orig, "sqlstate", None)
    if error.connection_invalidated or isinstance(error, (OperationalError, InterfaceError)):
        return TransientError("the database cannot be reached or cannot serve now", sqlstate=sqlstate)
    if sqlstate is not None and sqlstate.startswith(_TRANSIENT):
        return TransientError("the database cannot serve now", sqlstate=sqlstate)
    return PermanentError("the database refused a statement", sqlstate=sqlstate)


def head() -> str:
    """Return the newest version of the schema that this code knows."""
    return str(ScriptDirectory.from_config(_alembic()).get_current_head())


def _alembic() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def migrate(url: str) -> None:
    """Bring the schema to the newest version; nothing happens when it is there already."""
    config = _alembic()
    engine = config.attributes["engine"] = make_engine(url)
    try:
        command.upgrade(config, "head")
    finally:
        engine.dispose()
