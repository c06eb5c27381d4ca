"""People, sessions, links and the trail on PostgreSQL: what is stored, and what a row that was changed by hand allows."""

from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from mailroom.adapters.postgres.tenants.people import SqlPeople, SqlSessions, SqlSignInLinks
from mailroom.adapters.postgres.tenants.trail import SqlTrail
from mailroom.domain.people import Role
from mailroom.domain.trail import What
from mailroom.ports.people import NewPerson
from mailroom.ports.trail import NewEntry
from tests.contract.test_people import LONG, Doors
from tests.support.tampering import tampering


def execute(engine: Engine, sql_: str, **values: Any) -> None:
    with engine.begin() as connection:
        connection.execute(text(sql_), values)


def test_the_trail_is_not_changed(engine: Engine) -> None:
    """Not even by us; its owner's own mistakes are stopped by triggers."""
    SqlTrail(engine).write(NewEntry(What.SIGNED_IN, "ada@acme.test", "acme"))

    for statement in ("update trail set who = 'x'", "delete from trail", "truncate trail"):
        with pytest.raises(DBAPIError, match="permission denied"):
            execute(engine, statement)
        with pytest.raises(DBAPIError, match="never changed"), tampering(engine, triggers=True) as connection:
            connection.execute(text(statement))


def test_no_secret_is_stored(engine: Engine) -> None:
    """A copy of the database signs in nobody."""
    doors = Doors(SqlPeople(engine), SqlSessions(engine), SqlSignInLinks(engine), SqlTrail(engine))
    ada = doors.add()
    asked = doors.links.ask(ada.id, "/")
    assert asked
    secrets = [
        doors.sessions.begin(ada.id, idle=LONG, lasts=LONG),
        doors.links.issue(asked, "ada@acme.test"),
        doors.links.make(ada.id, "/"),
    ]

    with engine.connect() as connection:
        rows = [
            str(tuple(row))
            for name in ("person", "person_session", "sign_in_link", "trail")
            for row in connection.execute(text(f"select * from {name}"))
        ]

    assert rows
    assert not [secret for secret in secrets if any(str(secret) in row for row in rows)]


@pytest.mark.parametrize(
    ("role", "inboxes"), [("superuser", '["a@acme.test"]'), ("member", '{"a": 1}'), ("member", "[null, 5]"), ("", "[]")]
)
def test_a_row_that_cannot_be_read_allows_nothing(engine: Engine, role: str, inboxes: str) -> None:
    """One that a later release wrote, or a person by hand."""
    doors = Doors(SqlPeople(engine), SqlSessions(engine), SqlSignInLinks(engine), SqlTrail(engine))
    ada = doors.add()
    session = doors.begin(ada)
    execute(engine, "update person set role = :role, inboxes = cast(:inboxes as jsonb)", role=role, inboxes=inboxes)

    holder = doors.sessions.holder(session)

    assert holder is not None
    assert holder.scopes == ()


def test_only_an_operator_is_of_no_tenant(engine: Engine) -> None:
    """A statement that forgets the tenant must not make a person of the installation."""
    SqlPeople(engine).add(NewPerson("ada@acme.test", Role.ADMINISTRATOR, "acme", (), "cli"))

    for change in ("tenant = null", "role = 'operator'"):
        with pytest.raises(DBAPIError):
            execute(engine, f"update person set {change}")


def test_a_session_that_is_used_goes_on(engine: Engine) -> None:
    """From the last use, once a minute, and never past its end."""
    doors = Doors(SqlPeople(engine), SqlSessions(engine), SqlSignInLinks(engine), SqlTrail(engine))
    session = doors.begin(doors.add())
    ends = text("select idle_ends_at, ends_at from person_session")
    with engine.connect() as connection:
        before = connection.execute(ends).one()
    doors.sessions.touch(session)
    with engine.connect() as connection:
        assert connection.execute(ends).one() == before
    execute(
        engine,
        "update person_session set last_seen_at = now() - interval '2 minutes', idle_ends_at = now() + interval '1 minute'",
    )

    doors.sessions.touch(session)

    with engine.connect() as connection:
        after = connection.execute(ends).one()
    assert after.idle_ends_at > before.idle_ends_at
    assert after.ends_at == before.ends_at
