"""The application's role: made by `mailroom migrate`, with what it needs and no more, in every database of a cluster."""

import json
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import psycopg
import pytest
from psycopg.sql import SQL, Identifier
from sqlalchemy.engine import URL, make_url
from typer.testing import CliRunner

from mailroom.adapters.postgres.engine import migrate as migrate_schema
from mailroom.adapters.postgres.operations.dumps import dump, restore
from mailroom.adapters.postgres.roles import GROUP, PRIVILEGES, Grants, grant_roles, powers
from mailroom.adapters.postgres.schema import metadata
from mailroom.adapters.postgres.schema_upgrade import upgrade
from mailroom.cli import migrate
from mailroom.sandbox.stack.postgres import APPLICATION, Postgres
from tests.support.tampering import owner_of

_numbers = count()


def a_login(url: str) -> str:
    """Return the URL of the database for a login that does not exist yet."""
    name, password = f'o\'brien"{next(_numbers)}"', 'it\'s-a-"secret":/?#'
    return str_of(make_url(url).set(username=name, password=password))


def str_of(url: URL) -> str:
    return url.render_as_string(hide_password=False)


def made(postgres: Postgres) -> str:
    """Return the owner's URL of a new database without a schema."""
    name = f"roles_{next(_numbers)}"
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute(SQL("create database {}").format(Identifier(name)))
    return postgres.url(name)


def sentence(url: str) -> str:
    with psycopg.connect(url) as connection:
        return powers(connection)


def test_the_login_is_made_and_may_work_and_cannot_change_journals(database_url: str, owner_url: str) -> None:
    """A name and a password of any characters; the second time nothing is done."""
    login = a_login(database_url)

    first, second = grant_roles(owner_url, login), grant_roles(owner_url, login)

    assert first == second == Grants(make_url(login).username)
    assert sentence(login) == ""
    with psycopg.connect(login) as connection:
        connection.execute("insert into api_key (sha256, name, created_at) values ('x', 'y', now())")
        connection.execute("select journal_append('acme', 'life', '{\"kind\":\"access\"}')")


def test_several_migrations_at_once_share_the_roles_of_a_cluster(postgres: Postgres) -> None:
    """Two installations of one cluster are set up in the same moment, each by two processes."""
    databases = [made(postgres), made(postgres)]
    for one in databases:
        migrate_schema(one)
    login = make_url(a_login(databases[0]))
    wanted = [(url, str_of(login.set(database=make_url(url).database))) for url in databases * 2]

    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda one: grant_roles(*one), wanted))

    assert {one.login for one in done} == {login.username}
    assert sum(one.changed > 0 for one in done) == 2
    assert [sentence(url) for _, url in wanted] == [""] * 4


def test_who_connects_as_the_owner_is_told(owner_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Installations of today go on with one URL; the command says what that means."""
    monkeypatch.setenv("MAILROOM_DATABASE_URL", owner_url)
    monkeypatch.delenv("MAILROOM_DATABASE_OWNER_URL", raising=False)

    said = CliRunner().invoke(migrate.app, [])
    as_json = CliRunner().invoke(migrate.app, ["--json"])

    assert "the application can change its own journals" in said.stdout
    assert json.loads(as_json.stdout)["role"] is None
    assert sentence(owner_url) == "is a superuser"


def test_an_owner_who_may_not_make_roles_migrates_all_the_same(postgres: Postgres) -> None:
    """An installation whose owner is no administrator of the cluster must not stop at an upgrade."""
    database, name = made(postgres), f"plain_{next(_numbers)}"
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(SQL("create role {} login password 'x'").format(Identifier(name)))
        connection.execute(SQL("grant create, usage on schema public to {}").format(Identifier(name)))
    owner = make_url(database).set(username=name, password="x").render_as_string(hide_password=False)

    done = upgrade(owner, a_login(database))

    assert done.roles.login is None
    assert "may not make roles" in done.roles.why
    assert sentence(owner) == "owns the tables"
    assert upgrade(owner).roles.why.startswith("MAILROOM_DATABASE_OWNER_URL names no other login")


def test_a_restored_dump_gets_the_grants_again(
    database_url: str, owner_url: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A dump has no privileges: after it the application may do nothing, and everybody may append to journals."""
    file = tmp_path_factory.mktemp("dump") / "dump"
    dump(owner_url, file)
    restore(owner_url, file)

    granted = grant_roles(owner_url, database_url)

    assert granted.login == APPLICATION
    assert granted.changed > len(PRIVILEGES)
    with psycopg.connect(owner_url) as connection:
        public = connection.execute(
            "select has_function_privilege('public', %s, 'execute')", ["journal_append(text, text, text)"]
        )
        assert public.fetchone() == (False,)


def test_every_table_that_is_named_exists(owner_url: str) -> None:
    """A misspelt name would give a table of evidence the rights of all others."""
    assert set(PRIVILEGES) <= {*metadata().tables, "alembic_version"}
    with psycopg.connect(owner_of(owner_url)) as connection:
        may = "select relname from pg_class where relkind = 'r' and has_table_privilege(%s, oid, 'TRUNCATE, TRIGGER, REFERENCES')"
        assert connection.execute(may, [GROUP]).fetchall() == []
