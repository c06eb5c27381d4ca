"""Changes that only an administrator of the database can make: as the owner of its tables, with triggers and foreign keys off.

The tests' databases have the owner `mailroom`, and the application's role has the same password.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, NullPool, create_engine, text
from sqlalchemy.engine import make_url

from mailroom.adapters.postgres.operations.dumps import restore
from mailroom.adapters.postgres.roles import grant_roles

OWNER = "mailroom"


def owner_of(url: str) -> str:
    """Return the URL of the same database for its owner."""
    return make_url(url).set(username=OWNER).render_as_string(hide_password=False)


@contextmanager
def tampering(engine: Engine, *, triggers: bool = False) -> Iterator[Connection]:
    """Run the block in a transaction of the owner, without triggers unless `triggers`."""
    owner = create_engine(engine.url.set(username=OWNER), poolclass=NullPool)
    with owner.begin() as connection:
        if not triggers:
            connection.execute(text("set local session_replication_role = replica"))
        yield connection


def restored(url: str, file: Path) -> None:
    """Restore a dump as an administrator does, who then runs `mailroom migrate`, which grants the application's role again."""
    restore(owner_of(url), file)
    grant_roles(owner_of(url), url)


def tamper(engine: Engine, statement: str, **values: Any) -> None:
    """Execute a statement as the owner, without triggers."""
    with tampering(engine) as connection:
        if values:
            connection.execute(text(statement), values)
        else:
            connection.exec_driver_sql(statement)
