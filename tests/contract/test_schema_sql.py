"""The schema in a real database: what its migrations write, what breaks the code, and that work pauses and resumes."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import psycopg
import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, text

from mailroom.adapters.postgres import gate
from mailroom.adapters.postgres.engine import make_engine, reach, refuse_unfit, statement, transaction
from mailroom.adapters.postgres.inbound.ledger import SqlLedger
from mailroom.adapters.postgres.operations.roster import SqlRoster
from mailroom.adapters.postgres.schema import MIGRATIONS, look, migrations, this_code
from mailroom.domain.errors import PermanentError, TransientError, UnfitSchema
from mailroom.domain.inbound.received_email import Arrival, Entry, ObjectRef
from mailroom.ports.ledger import Lease
from mailroom.sandbox.stack.postgres import Postgres
from mailroom.settings import CHECKOUT
from tests.support.tampering import owner_of

NOW = datetime(2026, 11, 29, 9, 30, tzinfo=UTC)
#: From here on migrations say which code they serve.
FIRST = "0011"
#: Migrations that remove something and still serve the code of the one before, each with its reason.
HARMLESS: dict[str, str] = {}

Columns = dict[tuple[str, str], tuple[str, bool, bool]]

TAKEN_AWAY = {
    "the schema": ("alter schema public rename to away", "alter schema away rename to public"),
    "a table": ("alter table inbound_email rename to away", "alter table away rename to inbound_email"),
    "a column": ("alter table worker rename in_hand to away", "alter table worker rename away to in_hand"),
    "the revision": ("alter table alembic_version rename to away", "alter table away rename to alembic_version"),
    "its age": (
        "update alembic_version set version_num = '0001'",
        "update alembic_version set version_num = '{newest}'",
    ),
    "its service": ("update schema_serves set oldest_code = 99", "update schema_serves set oldest_code = 1"),
}


def execute(url: str, *statements: str) -> None:
    with psycopg.connect(owner_of(url), autocommit=True) as connection:
        for one in statements:
            connection.execute(one.format(newest=this_code().newest))


@contextmanager
def taken_away(url: str, what: str) -> Iterator[None]:
    """Remove part of the schema for the length of a block."""
    away, back = TAKEN_AWAY[what]
    execute(url, away)
    yield
    execute(url, back)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the gate look again soon."""
    monkeypatch.setattr(gate, "_FIT_FOR_S", 0.05)
    monkeypatch.setattr(gate, "_UNFIT_FOR_S", 0.05)


def soon(call: Callable[[], object], *, within_s: float = 5.0) -> object:
    """Call until it does not raise UnfitSchema, and return its result."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            return call()
        except UnfitSchema:
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_a_migrated_schema_says_its_revision_and_the_oldest_code_that_it_serves(engine: Engine) -> None:
    """The newest migration wrote both, and the code that brought it is served."""
    newest = migrations()[-1]
    with transaction(engine) as connection:
        schema = look(connection)

    assert (schema.revision, schema.oldest_code, schema.lacks) == (newest.revision, newest.module.oldest_code, ())
    refuse_unfit(engine)


@pytest.mark.parametrize("what", TAKEN_AWAY)
def test_work_pauses_on_a_schema_that_does_not_fit_and_resumes_when_it_fits(
    engine: Engine, database_url: str, what: str
) -> None:
    """Whatever part is removed, work waits as in an outage: a permanent failure would send each mail to the dead letters."""
    ledger = SqlLedger(engine)
    assert ledger.find("abc") is None

    with taken_away(database_url, what):
        time.sleep(0.1)
        with pytest.raises(UnfitSchema, match="mailroom migrate"):
            ledger.find("abc")
        with pytest.raises(UnfitSchema, match="mailroom migrate"):
            refuse_unfit(engine)
        reach(engine)

    soon(lambda: ledger.find("abc"))
    refuse_unfit(engine)


@pytest.mark.parametrize("lost", ["alter table tenant rename to away", "alter table tenant rename policy to away"])
def test_what_is_missing_between_two_looks_is_no_fault_of_the_mail(
    engine: Engine, database_url: str, lost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table or column that is undefined (42P01, 42703) is an outage of the schema, known at the first statement."""
    monkeypatch.setattr(gate, "_FIT_FOR_S", 3600)
    refuse_unfit(engine)
    execute(database_url, lost)

    with pytest.raises(UnfitSchema), statement(engine) as connection:
        connection.execute(text("select policy from tenant"))


def test_what_a_migration_breaks_between_two_looks_is_no_fault_of_the_mail(
    engine: Engine, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old code fails at a new column without default (23502): the schema is the cause, not the row."""
    monkeypatch.setattr(gate, "_FIT_FOR_S", 3600)
    refuse_unfit(engine)
    execute(
        database_url, "alter table tenant add column coming text not null", "update schema_serves set oldest_code = 99"
    )

    with pytest.raises(UnfitSchema, match="no longer compatible"), transaction(engine) as connection:
        connection.execute(text("insert into tenant (id, policy, created_at) values ('acme', '{}', now())"))


def test_a_statement_that_is_wrong_in_a_schema_that_fits_stays_permanent(engine: Engine) -> None:
    """Repeating it cannot help, and the schema is not to blame."""
    twice = text("insert into tenant (id, policy, created_at) values ('acme', '{}', now()), ('acme', '{}', now())")

    with pytest.raises(PermanentError), transaction(engine) as connection:
        connection.execute(twice)


def read_as(connection: Connection, role: str) -> None:
    connection.execute(text(f"set local role {role}"))
    connection.execute(text("select policy from tenant"))


def test_a_right_that_the_user_lacks_is_no_fault_of_the_mail(owner_engine: Engine, database_url: str) -> None:
    """A missing or revoked grant: once granted, the same statement works."""
    name = f"poor_{time.monotonic_ns()}"
    execute(database_url, f"create role {name}", f"grant select on alembic_version, schema_serves to {name}")

    with pytest.raises(TransientError, match="42501"), transaction(owner_engine) as connection:
        read_as(connection, name)


def test_a_worker_shows_that_the_schema_paused_it(engine: Engine, database_url: str) -> None:
    """`mailroom status` and the metrics say who is paused by what, as long as the table for it exists."""
    roster = SqlRoster(engine)
    with taken_away(database_url, "its service"):
        time.sleep(0.1)
        roster.heartbeat("one", now=NOW, in_hand=0, paused_by="the schema")

        assert [one.paused_by for one in roster.live_workers()] == ["the schema"]


def test_a_paused_worker_keeps_its_lease_and_gives_it_back_without_a_death(engine: Engine, database_url: str) -> None:
    """An old worker that the new schema no longer serves is stopped; the new one treats its mails like any others."""
    ledger, ref = SqlLedger(engine), ObjectRef("mails", "in/abc")
    entry = ledger.begin(ref, now=NOW, claim=Lease("old", NOW))
    with taken_away(database_url, "its service"):
        time.sleep(0.1)
        ledger.heartbeat([entry.id], worker="old", now=NOW + timedelta(hours=1))
        ledger.release(entry.id, worker="old")
    refuse_unfit(engine)

    later = NOW + timedelta(hours=2)
    taken = soon(lambda: ledger.register(Arrival(ref), now=later, claim=Lease("new", later)))

    assert isinstance(taken, Entry)
    assert taken.deaths == 0


def test_an_old_worker_continues_with_a_newer_schema_that_serves_it(engine: Engine, database_url: str) -> None:
    """The migration runs before the new workers start: an unknown revision must not stop the old ones."""
    execute(
        database_url,
        "alter table inbound_email add column coming text not null default 'x'",
        "create table to_come (id int)",
        "update alembic_version set version_num = '9999'",
    )

    refuse_unfit(engine)
    assert SqlLedger(engine).find("abc") is None


@pytest.fixture
def empty(postgres: Postgres) -> Iterator[Engine]:
    """An engine on a new, empty database."""
    name = f"empty_{time.monotonic_ns()}"
    execute(postgres.url("postgres"), f"create database {name}")
    made = make_engine(postgres.url(name))
    yield made
    made.dispose()


def migrate_to(engine: Engine, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["engine"] = engine
    command.upgrade(config, revision)


def columns_of(engine: Engine) -> Columns:
    """Return type, nullability and whether it has a default, of each column."""
    asked = (
        "select table_name, column_name, udt_name, is_nullable = 'YES', column_default is not null or is_identity = 'YES'"
        " from information_schema.columns where table_schema = 'public'"
    )
    with engine.connect() as connection:
        return {
            (table, column): (kind, null, given) for table, column, kind, null, given in connection.execute(text(asked))
        }


def breaks(before: Columns, after: Columns) -> set[str]:
    """Return what old code that writes and reads all columns of `before` would fail at: columns gone or narrowed, or new
    ones of its tables that it must fill."""
    tables = {table for table, _ in before}
    found = set()
    for (table, column), (kind, null, given) in before.items():
        now = after.get((table, column))
        if now is None or now[0] != kind or (null and not now[1] and not now[2]) or (given and not (now[1] or now[2])):
            found.add(f"{table}.{column}")
    for (table, column), (_, null, given) in after.items():
        if table in tables and (table, column) not in before and not null and not given:
            found.add(f"{table}.{column}")
    return found


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        ("alter table tenant add column coming text", set()),
        ("alter table tenant add column coming text not null default 'x'", set()),
        ("create table to_come (id int not null)", set()),
        ("alter table tenant add column coming text not null", {"tenant.coming"}),
        ("alter table tenant rename policy to terms", {"tenant.policy"}),
        ("alter table tenant alter column id type varchar", {"tenant.id"}),
        (
            "drop table worker",
            {f"worker.{one}" for one in ("name", "started_at", "beat_at", "in_hand", "paused_by", "held_by")},
        ),
        ("alter table worker alter column paused_by set not null", {"worker.paused_by"}),
    ],
)
def test_what_breaks_old_code_is_seen_in_the_columns(owner_engine: Engine, change: str, broken: set[str]) -> None:
    """The next test relies on it; the last line of a rename is missing because its new name may be null or not."""
    before = columns_of(owner_engine)
    with transaction(owner_engine) as connection:
        connection.execute(text(change))

    found = breaks(before, columns_of(owner_engine))

    assert found == broken or found - broken == {"tenant.terms"}


def test_a_migration_that_breaks_old_code_raises_the_oldest_code_served(empty: Engine) -> None:
    """Otherwise the workers of the last release continue, and fail at every mail."""
    scripts = migrations()
    scripts = scripts[[script.revision for script in scripts].index(FIRST) :]
    migrate_to(empty, FIRST)
    forgot = {}
    for before, script in pairwise(scripts):
        was = columns_of(empty)
        migrate_to(empty, script.revision)
        broken = breaks(was, columns_of(empty))
        if broken and script.module.oldest_code <= before.module.oldest_code and script.revision not in HARMLESS:
            forgot[script.revision] = sorted(broken)

    assert forgot == {}, "raise `oldest_code` (docs/adr/0012-schema-fitness.md), or say in HARMLESS why not"


def test_the_revision_that_the_code_needs_has_every_column_that_it_uses(empty: Engine) -> None:
    """A migration wrongly marked `needed = False` would let workers start, and fail at every mail."""
    migrate_to(empty, this_code().needs)

    refuse_unfit(empty)


WANTED = """
import json
from mailroom.adapters.postgres import schema_upgrade as migrating
from mailroom.adapters.postgres.schema import _wanted_columns
from tests.support.tampering import owner_of
wanted = _wanted_columns()
print(json.dumps(list(zip(wanted["tables"], wanted["columns"]))))
"""


def test_every_column_that_the_migrations_made_is_looked_for(owner_engine: Engine) -> None:
    """Also of tables that only our own SQL names, and in a process that imports only `mailroom migrate`."""
    ended = subprocess.run([sys.executable, "-c", WANTED], cwd=CHECKOUT, capture_output=True, text=True, timeout=60)
    wanted = {(table, column) for table, column in json.loads(ended.stdout)}

    assert columns_of(owner_engine).keys() == wanted


def test_going_back_says_again_what_the_older_schema_serves(owner_engine: Engine) -> None:
    """Only development downgrades; the schema's statement about itself must be true all the same."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["engine"] = owner_engine

    command.downgrade(config, FIRST)
    with transaction(owner_engine, gated=False) as connection:
        there = look(connection)
    command.upgrade(config, "head")

    [first] = [script for script in migrations() if script.revision == FIRST]
    assert (there.revision, there.oldest_code) == (FIRST, first.module.oldest_code)
    refuse_unfit(owner_engine)
