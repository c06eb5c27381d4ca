"""Fetching what is new: each item is in exactly one list, whichever filing commits first."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection, Engine, event, select, text, update

from mailroom.adapters.postgres.inbox import filing
from mailroom.adapters.postgres.inbox.filing import SqlInbox
from mailroom.adapters.postgres.models import InboxItemRow, table
from mailroom.ports.inbox_reader import Window
from tests.support.inboxes import SqlInstallation, a_letter, an_email, save

_items = table(InboxItemRow)
BEGINNING = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture
def installation(engine: Engine) -> SqlInstallation:
    return SqlInstallation(engine)


class Follower:
    """A program that fetches what is new, in pages of two."""

    def __init__(self, installation: SqlInstallation) -> None:
        self.reader, self.since, self.seen = installation.reader, BEGINNING, list[str]()

    def fetch(self) -> None:
        window, after = Window(self.since, self.reader.listed_until()), None
        while True:
            page = self.reader.items("acme", "ann@acme.test", after=after, limit=2, window=window)
            self.seen += [line.id for line in page.lines]
            if (after := page.next) is None:
                break
        self.since = window.until


def test_each_item_is_fetched_once_in_pages_that_join(installation: SqlInstallation) -> None:
    """Also what arrives while pages are read: it is in the next list. Mail that was received long ago is new when it is filed."""
    follower = Follower(installation)
    ids = {installation.letter(minutes=minutes) for minutes in (0, 900, 3, 7, 1)}
    follower.fetch()
    more = {installation.letter(minutes=90_000), installation.letter()}
    follower.fetch()
    follower.fetch()

    assert set(follower.seen[:5]) == ids
    assert set(follower.seen[5:]) == more
    assert len(follower.seen) == 7


def test_a_filing_that_commits_late_is_missed_by_no_list(installation: SqlInstallation) -> None:
    """It began first and commits last. What was filed meanwhile waits for it, and nothing is fetched twice."""
    follower = Follower(installation)
    with late_filing(installation) as (connection, late):
        time.sleep(1.1)  # Its lock names the second in which it began.
        follower.fetch()
        before = list(follower.seen)
        meanwhile = installation.letter()
        follower.fetch()
        assert follower.seen == before
        connection.commit()
    follower.fetch()
    follower.fetch()

    assert follower.seen.count(late) == follower.seen.count(meanwhile) == 1
    assert len(follower.seen) == len(set(follower.seen)) == 3


def test_a_time_is_read_before_the_locks(installation: SqlInstallation) -> None:
    """A filing that takes its lock after the look at the locks takes its times after the end of the window."""
    until = installation.reader.listed_until()
    [row] = rows(installation.engine, installation.letter())

    assert row.listed_at > until


def test_nobody_waits_for_a_filing_that_hangs(installation: SqlInstallation) -> None:
    """A frozen worker delays what is new, until its session ends; lists and other filings go on."""
    with late_filing(installation):
        started = datetime.now(UTC)
        installation.letter()
        assert len(installation.reader.items("acme", "ann@acme.test", after=None, limit=9).lines) == 2
        assert installation.reader.listed_until() <= started
    assert installation.reader.listed_until() > started


def test_an_item_that_was_held_is_new_when_it_is_released(installation: SqlInstallation, engine: Engine) -> None:
    """A mail that a person released after a day was in no list before."""
    email, digest = an_email(), "a" * 64
    save(engine, email)
    follower = Follower(installation)
    letter = installation.letter()
    [row] = rows(engine, letter)
    held = a_letter(row.raw_archive_id, (), {"held": "spam", "subject": digest})
    [item_id] = SqlInbox(engine).file(str(email.id), [held], now=datetime.now(UTC))
    follower.fetch()
    released = a_letter(row.raw_archive_id, (), {"subject": digest})

    assert SqlInbox(engine).file(str(email.id), [released], now=datetime.now(UTC)) == [item_id]
    follower.fetch()
    SqlInbox(engine).file(str(email.id), [released], now=datetime.now(UTC))
    follower.fetch()

    assert follower.seen == [letter, item_id]


def test_items_of_an_older_release_have_the_time_of_their_filing(installation: SqlInstallation, engine: Engine) -> None:
    """Those from before the migration by the worker's clock, those filed beside it by the column's default."""
    item_id = installation.letter()
    at = datetime(2026, 1, 2, tzinfo=UTC)
    with engine.begin() as connection:
        connection.execute(update(_items).where(_items.c.id == UUID(item_id)).values(listed_at=None, filed_at=at))

    def found(since: datetime, until: datetime) -> list[str]:
        window = Window(since, until)
        lines = installation.reader.items("acme", "ann@acme.test", after=None, limit=9, window=window).lines
        return [line.id for line in lines]

    assert found(at, at + timedelta(microseconds=1)) == [item_id]
    assert found(BEGINNING, at) == []
    with engine.begin() as connection:
        connection.execute(update(_items).values(listed_at=text("default")))
    assert found(at + timedelta(days=1), installation.reader.listed_until()) == [item_id]


def test_the_list_is_read_from_its_index(installation: SqlInstallation) -> None:
    """Not from all items of an inbox; and the index serves no other list, which another index gives in its order."""
    installation.letter()
    plans: list[str] = []

    @event.listens_for(installation.engine, "before_cursor_execute")
    def explain(_: Any, cursor: Any, statement: str, parameters: Any, *__: Any) -> None:
        if "chosen" in statement:
            cursor.execute("set local enable_seqscan = off")
            plans.append("".join(line for (line,) in cursor.execute(f"explain {statement}", parameters).fetchall()))

    for window in (Window(BEGINNING, datetime.now(UTC)), None):
        for _ in range(7):  # psycopg prepares a statement the sixth time.
            installation.reader.items("acme", "ann@acme.test", after=None, limit=9, window=window)

    assert ["ix_inbox_item_listed" in plan for plan in plans] == [True] * 7 + [False] * 7


def rows(engine: Engine, item_id: str) -> list[Any]:
    with engine.begin() as connection:
        return list(connection.execute(select(_items).where(_items.c.id == UUID(item_id))))


@contextmanager
def late_filing(installation: SqlInstallation) -> Iterator[tuple[Connection, str]]:
    """File an item as another worker does that has not committed yet; give its connection, and the item's id."""
    email = an_email()
    save(installation.engine, email)
    [row] = rows(installation.engine, installation.letter(subject="first"))
    item = a_letter(row.raw_archive_id, (), {})
    with installation.engine.connect() as connection:
        line = connection.execute(filing._line, {"which": email.id}).one()
        times = {"received_at": line.received_at, "filed_at": datetime.now(UTC)}
        yield connection, str(filing.file_one(connection, email.id, item, times).id)
        connection.rollback()
