"""Deposits of before there was a second bucket get their second copies by the audit: compared, bounded, killed anywhere."""

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Engine

from blocks.support.auditing import reading, repairing
from mailroom.adapters.postgres.archive.audits import SqlArchiveAudit
from mailroom.adapters.postgres.archive.holds import SqlHolds
from mailroom.archive.auditing import AuditResult, audit_copies
from mailroom.archive.second_copies import AddedCopies, add_second_copies
from mailroom.audit.archive_documents import Place
from tests.support.archive_store import Away, Refusing
from tests.support.tampering import tamper
from tests.support.two_places import FIRST, SECOND, TwoPlaces, killed_at, two_places

CONTENTS = [b"one", b"two is longer", b"three"]


class Late:
    """An archive whose second bucket came after its three deposits."""

    def __init__(self, engine: Engine) -> None:
        self.both: TwoPlaces = two_places(engine)
        self.audit, self.engine = SqlArchiveAudit(engine), engine
        self.ids = [self.both.archive(copied=False).deposit("acme", one).archive_id for one in CONTENTS]

    def add(self, *, budget: int = 1000, second: Any = None) -> AddedCopies:
        copies = self.both.archive(second=second).copies
        return add_second_copies(self.audit, add=copies.add_second, budget=budget, now=datetime.now(UTC))

    def read(self) -> AuditResult:
        places = [Place("first", self.both.first, FIRST), Place("second", self.both.second, SECOND)]
        repair = repairing(self.both.archive().copies, places)
        return audit_copies(self.audit, read=reading(places), repair=repair, budget=1000, begun=datetime.now(UTC))

    def single(self) -> int:
        return self.audit.state(now=datetime.now(UTC)).single

    def second(self) -> list[str]:
        rows = self.both.rows("select archive_id from deposit_copy where place = 'second'")
        return sorted(archive_id for (archive_id,) in rows)

    def first(self, number: int) -> Any:
        _, _, digest = self.ids[number].partition("/")
        return self.both.first._buckets[FIRST][f"acme/{digest[:2]}/{digest}"][-1]


@pytest.fixture
def late(engine: Engine) -> Late:
    return Late(engine)


def test_each_gets_one_with_the_same_lock_and_an_entry(late: Late) -> None:
    """Afterwards there is nothing to do, and the run says how many are missing in between."""
    until = late.both.rows("select distinct retain_until from deposit_copy order by 1")
    assert late.single() == 3

    added, again = late.add(), late.add()

    assert (added, again) == (AddedCopies(3, 21), AddedCopies())
    assert late.single() == 0
    assert [len(one) for one in late.both.stored()] == [3, 3]
    assert late.both.rows("select distinct retain_until from deposit_copy order by 1") == until
    assert sorted(late.both.kinds()) == sorted(["deposit", "copy"] * 3)
    assert (late.read().copies, late.read().lost) == (6, 0)


def test_those_deposited_first_come_first_and_a_budget_ends_a_run(late: Late) -> None:
    """One that is larger than the budget is copied all the same."""
    left = [(late.add(budget=1), late.second()) for _ in range(3)]

    assert [added.copies for added, _ in left] == [1, 1, 1]
    assert [added for _, added in left] == [sorted(late.ids[:count]) for count in (1, 2, 3)]


@pytest.mark.parametrize("point", ["before put", "after put", "before commit of record"])
def test_a_run_that_is_killed_is_run_again(late: Late, point: str) -> None:
    """Nothing is written twice: the keys follow from the content."""
    with killed_at(point, passes=1):
        late.add()
    late.add()

    assert late.single() == 0
    assert [len(one) for one in late.both.stored()] == [3, 3]
    assert late.both.kinds().count("copy") == 3


def test_damage_is_not_copied_and_is_found_in_the_same_run(late: Late) -> None:
    """It is an incident, counted as missing, and holds up none of the others."""
    late.first(0).body = b"0ne"

    added, read, again = late.add(), late.read(), late.add()

    assert (added.copies, read.lost, again.copies) == (2, 1, 0)
    assert late.second() == sorted(late.ids[1:])
    assert [one.archive_id for one in late.audit.to_alarm(now=datetime.now(UTC))] == late.ids[:1]
    assert late.single() == 1
    assert again.sentence(late.single()) == "0 second copies added, 1 documents without one"


def test_a_second_bucket_that_is_away_ends_it_and_the_first_copies_are_read(late: Late) -> None:
    added = late.add(second=Away(late.both.second))

    assert added.copies == 0
    assert "ServiceUnavailable" in added.sentence(late.single())
    assert late.read().copies == 3


def test_a_first_copy_that_may_not_be_read_is_named_and_ends_nothing_else(late: Late) -> None:
    refusing = Refusing(late.both.first, "AccessDenied", {late.first(1).id})
    copies = late.both.archive(first=refusing).copies

    added = add_second_copies(late.audit, add=copies.add_second, budget=1000, now=datetime.now(UTC))

    assert (added.copies, late.single()) == (2, 1)


def test_what_has_no_lock_any_more_gets_none(late: Late) -> None:
    """A copy without a lock is none; the same bytes, deposited again, are in both."""
    tamper(late.engine, "alter table deposit_copy disable trigger user")
    tamper(
        late.engine,
        "update deposit_copy set retain_until = now() - interval '1 day' where archive_id = :id",
        id=late.ids[0],
    )

    added = late.add()

    assert (added.copies, late.single()) == (2, 0)


def test_the_copy_of_a_held_document_is_held(late: Late) -> None:
    """Before S3 would let go of it when its lock ends."""
    SqlHolds(late.engine).place(late.ids[0], tenant="acme", author="anna", reason="a case", now=datetime.now(UTC))

    late.add()

    held = [version.is_held for versions in late.both.second._buckets[SECOND].values() for version in versions]
    assert sorted(held) == [False, False, True]
