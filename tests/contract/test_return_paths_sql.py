"""The port `ReturnPaths` in memory and on PostgreSQL: a token finds its attempt, for 14 days."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text

from mailroom.adapters.postgres.delivery.return_paths import SqlReturnPaths
from mailroom.adapters.postgres.outbound.outbox import SqlOutbox
from mailroom.domain.outbound.message import Batch, Content, Draft, Party
from mailroom.ports.return_paths import AttemptMade, ReturnPaths
from mailroom.testing.return_paths import MemoryReturnPaths

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Case:
    """Return paths, and how a message becomes known."""

    paths: ReturnPaths
    send: Callable[[], str]


@pytest.fixture(params=["memory", "sql"])
def case(request: pytest.FixtureRequest) -> Case:
    if request.param == "memory":
        paths = MemoryReturnPaths()

        def known() -> str:
            paths.known[message_id := str(uuid4())] = ("acme", "ada@users.test", "smtp")
            return message_id

        return Case(paths, known)
    engine: Engine = request.getfixturevalue("engine")

    def sent() -> str:
        batch = Batch(id=str(uuid4()), tenant="acme", from_=Party("desk@acme.test"))
        draft = Draft(id=str(uuid4()), number=0, to=Party("Ada@users.test"), content=0)
        SqlOutbox(engine).accept(batch, [Content(subject="s", text="t", html=None)], [draft], now=NOW)
        with engine.begin() as connection:
            connection.execute(text("update message set provider = 'smtp' where id = :id"), {"id": draft.id})
        return draft.id

    return Case(SqlReturnPaths(engine), sent)


def test_each_attempt_has_a_token_of_its_own(case: Case) -> None:
    """A message that is sent again has a second one; the first still finds it."""
    one, other = case.send(), case.send()

    tokens = case.paths.issue([(one, 1), (other, 1), (one, 2)], now=NOW)

    assert len(set(tokens)) == 3
    assert [case.paths.find(token, received_at=NOW) for token in tokens] == [
        AttemptMade(one, 1, "acme", "ada@users.test", "smtp"),
        AttemptMade(other, 1, "acme", "ada@users.test", "smtp"),
        AttemptMade(one, 2, "acme", "ada@users.test", "smtp"),
    ]
    assert case.paths.issue([], now=NOW) == []


def test_an_unknown_or_expired_token_finds_nothing(case: Case) -> None:
    """Forged, of another installation, of a message that is gone, or of mail sent more than 14 days before."""
    [token] = case.paths.issue([(case.send(), 1)], now=NOW)
    [orphan] = case.paths.issue([(str(uuid4()), 1)], now=NOW)

    assert case.paths.find(token, received_at=NOW + timedelta(days=14)) is not None
    assert case.paths.find(token, received_at=NOW + timedelta(days=14, seconds=1)) is None
    assert case.paths.find(token[:-1] + ("a" if token[-1] != "a" else "b"), received_at=NOW) is None
    assert case.paths.find(orphan, received_at=NOW) is None
    assert case.paths.find("", received_at=NOW) is None


def test_old_tokens_are_forgotten(case: Case) -> None:
    """The table does not grow for ever."""
    message = case.send()
    [old] = case.paths.issue([(message, 1)], now=NOW)
    [new] = case.paths.issue([(message, 2)], now=NOW + timedelta(days=1))

    assert case.paths.forget(before=NOW + timedelta(days=1)) == 1
    assert case.paths.find(old, received_at=NOW) is None
    assert case.paths.find(new, received_at=NOW) is not None


def test_the_database_does_not_contain_the_token(engine: Engine) -> None:
    """Who reads a backup must not be able to forge bounces of mail that is under way."""
    [token] = SqlReturnPaths(engine).issue([(str(uuid4()), 1)], now=NOW)

    with engine.connect() as connection:
        [row] = connection.execute(text("select * from return_path")).all()

    assert token.encode() not in row.digest
    assert token not in str(row)
