"""Connections to Mailroom's PostgreSQL, its migrations, and the translation of its errors."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from mailroom.crash import crash_point
from mailroom.domain.errors import MailroomError, PermanentError, TransientError

#: SQLSTATE classes after which the same transaction may work: connection, a demoted server, serialisation, resources, locks, operator, system.
_TRANSIENT = ("08", "25", "40", "53", "55", "57", "58")


#: A transaction here takes milliseconds; one that does nothing for so long belongs to a process that froze.
_LONGEST_PAUSE_MS = 15_000

#: A server that has vanished says nothing: without these a call waits until the kernel gives up, a quarter of an hour.
_GIVE_UP = {"connect_timeout": 10, "tcp_user_timeout": 30_000, "keepalives_idle": 10, "keepalives_interval": 5}


def make_engine(url: str, *, pool_size: int = 10) -> Engine:
    """Return an engine for `postgresql://...`; connections are checked before use, so a restart of the server is survived.

    Parameters are hidden from errors: they hold addresses and subjects. A worker that freezes in a transaction (a paused
    machine) would hold its locks for as long: the server ends its session, and another worker goes on with the mail.
    """
    driver_url = url.replace("postgresql://", "postgresql+psycopg://", 1)
    return create_engine(
        driver_url,
        pool_size=pool_size,
        max_overflow=10,
        pool_pre_ping=True,
        hide_parameters=True,
        connect_args=_GIVE_UP | {"options": f"-c idle_in_transaction_session_timeout={_LONGEST_PAUSE_MS}"},
    )


@contextmanager
def transaction(engine: Engine, what: str = "") -> Iterator[Connection]:
    """Run the block in one transaction, committed at its end; `what` names the commit of one that writes (see `crash`).

    Raises:
        TransientError: the database or the connection failed; nothing is known to be written.
        PermanentError: the statement itself is wrong.
    """
    try:
        with engine.begin() as connection:
            yield connection
            crash_point("before", what)
        crash_point("after", what)
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


def migrate(url: str) -> None:
    """Bring the schema to the newest version; nothing happens when it is there already."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    engine = config.attributes["engine"] = make_engine(url)
    try:
        command.upgrade(config, "head")
    finally:
        engine.dispose()
