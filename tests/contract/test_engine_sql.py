"""Database connections: a dead one is replaced before it is used, and a single statement is a transaction."""

import pytest
from sqlalchemy import Connection, Engine, text

from mailroom.adapters.postgres import engine as connections
from mailroom.adapters.postgres.engine import make_engine, statement, transaction
from mailroom.domain.errors import PermanentError, TransientError
from tests.support.tampering import owner_of


def end_all(engine: Engine, database_url: str) -> None:
    """End every session of `engine`, as a restart of the server does."""
    with transaction(engine) as connection:
        connection.execute(text("select 1"))
    other = make_engine(owner_of(database_url))
    with transaction(other) as connection:
        mine = "datname = current_database() and pid <> pg_backend_pid()"
        connection.execute(text(f"select pg_terminate_backend(pid, 10000) from pg_stat_activity where {mine}"))
    other.dispose()


def add_tenant(connection: Connection, *names: str) -> None:
    for name in names:
        connection.execute(
            text("insert into tenant (id, policy, created_at) values (:name, '{}', now())"), {"name": name}
        )


def test_connection_that_died_in_a_pause_is_replaced(
    engine: Engine, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restart of the server between two mails goes unnoticed."""
    monkeypatch.setattr(connections, "_LIVES_FOR_S", 0)
    end_all(engine, database_url)

    with statement(engine) as connection:
        assert connection.execute(text("select 1")).scalar_one() == 1


def test_connection_that_died_in_use_is_an_outage_that_passes(
    engine: Engine, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """During work there is no check first: the call fails as repeatable, and the repetition works."""
    monkeypatch.setattr(connections, "_LIVES_FOR_S", 3600)
    end_all(engine, database_url)

    with pytest.raises(TransientError), statement(engine) as connection:
        connection.execute(text("select 1"))

    with statement(engine) as connection:
        assert connection.execute(text("select 1")).scalar_one() == 1


def test_statement_is_a_transaction_by_itself_and_leaves_the_connection_as_it_was(engine: Engine) -> None:
    """The pool is shared: after a statement without BEGIN, a later failing transaction must still leave nothing."""
    with statement(engine) as connection:
        add_tenant(connection, "acme")

    with pytest.raises(PermanentError), transaction(engine) as connection:
        add_tenant(connection, "globex", "acme")

    with transaction(engine) as connection:
        assert connection.execute(text("select id from tenant")).scalars().all() == ["acme"]


@pytest.mark.parametrize("rows", [1, 2, 3, 200])
def test_transaction_in_which_nothing_happens_any_more_is_ended_also_after_many_rows(
    engine: Engine, database_url: str, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    """A frozen worker loses its locks, whatever it did last; another that waits for them then gets the row."""
    monkeypatch.setattr(connections, "_LONGEST_PAUSE_MS", 300)
    frozen = make_engine(database_url)

    with frozen.connect() as one:
        one.execute(text("insert into tenant (id, policy, created_at) values (:name, '{}', now())"), named(rows))
        with transaction(engine) as other:
            other.execute(text("set local lock_timeout = '10s'"))
            add_tenant(other, "tenant 0")
        one.invalidate()
    frozen.dispose()


def named(rows: int) -> list[dict[str, str]]:
    return [{"name": f"tenant {number}"} for number in range(rows)]
