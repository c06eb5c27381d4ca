"""The audit: every copy is read within a cycle; a bad one is repaired from the good one, or is an incident, once."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from blocks.support.auditing import Auditing, reading, repairing
from mailroom.adapters.postgres.archive.audits import SqlArchiveAudit
from mailroom.archive.auditing import AuditResult, audit_copies
from mailroom.audit.archive_documents import Place
from mailroom.audit.archive_report import ArchiveReport
from mailroom.domain.errors import TransientError
from mailroom.ports.archive_audit import AuditState, Incident
from tests.support.archive_store import Refusing
from tests.support.tampering import tamper
from tests.support.two_places import FIRST, SECOND, killed_at, two_places

CONTENTS = [b"one", b"two is longer", b"three"]
NOW = datetime.now(UTC)


class Audited:
    """An archive with three documents, and its audit as the flow runs it."""

    def __init__(self, engine: Engine, *, copied: bool = True) -> None:
        self.both, self.copied = two_places(engine), copied
        self.audit, self.engine = SqlArchiveAudit(engine), engine
        self.ids = [self.both.archive(copied=copied).deposit("acme", one).archive_id for one in CONTENTS]
        self.first: Any = self.both.first

    def ports(self, verify: Callable[[datetime], ArchiveReport] = lambda _: ArchiveReport()) -> Auditing:
        places = [Place("first", self.first, FIRST)]
        places += [Place("second", self.both.second, SECOND)] if self.copied else []
        repair = repairing(self.both.archive(copied=self.copied).copies, places)
        add = self.both.archive().copies.add_second if self.copied else None
        return Auditing(self.audit, reading(places), repair, verify, 1, add)

    def run(self, *, budget: int = 1000) -> AuditResult:
        ports = self.ports()
        how: dict[str, Any] = {"read": ports.read, "repair": ports.repair}
        return audit_copies(self.audit, budget=budget, begun=datetime.now(UTC), **how)

    def rot(self, place: str, number: int) -> None:
        """Change one byte of a copy."""
        version = self.version(place, number)
        version.body = bytes([version.body[0] ^ 1]) + version.body[1:]

    def swap(self) -> None:
        """Exchange the bytes of two copies."""
        one, other = self.version("first", 0), self.version("first", 2)
        one.body, other.body = other.body, one.body

    def drop(self, place: str, number: int) -> None:
        """Remove a copy."""
        self.versions(place)[self.key(number)].clear()

    def version(self, place: str, number: int) -> Any:
        return self.versions(place)[self.key(number)][-1]

    def versions(self, place: str) -> dict[str, list[Any]]:
        s3, bucket = (self.both.first, FIRST) if place == "first" else (self.both.second, SECOND)
        return s3._buckets[bucket]  # type: ignore[no-any-return]

    def key(self, number: int) -> str:
        tenant, _, digest = self.ids[number].partition("/")
        return f"{tenant}/{digest[:2]}/{digest}"

    def incidents(self) -> list[Incident]:
        return list(self.audit.to_alarm(now=datetime.now(UTC)))


@pytest.fixture
def audited(engine: Engine) -> Audited:
    return Audited(engine)


@pytest.fixture
def single(engine: Engine) -> Audited:
    return Audited(engine, copied=False)


def test_copies_that_are_as_recorded_are_verified_now(audited: Audited) -> None:
    tamper(audited.engine, "update deposit_copy set verified_at = null")

    result = audited.run()

    state = audited.audit.state(now=NOW)
    assert (result.copies, result.bytes, result.repaired, result.lost) == (6, 42, 0, 0)
    assert (state.copies, state.bytes, state.incidents) == (6, 42, 0)
    assert state.oldest is not None
    assert state.oldest >= NOW
    assert audited.both.kinds().count("repair") == 0


def test_budget_ends_a_run_and_the_next_continues_with_the_oldest(audited: Audited) -> None:
    """A copy that is larger than the budget is read all the same."""
    runs = [audited.run(budget=1) for _ in range(6)]

    assert [one.copies for one in runs] == [1] * 6
    verified = audited.both.rows("select count(distinct verified_at) from deposit_copy")
    assert verified == [(6,)]


Plant = Callable[[Audited], Any]
PLANTED: dict[str, tuple[Plant, int]] = {
    "one byte of a first copy": (lambda one: one.rot("first", 0), 1),
    "one byte of a second copy": (lambda one: one.rot("second", 1), 1),
    "two objects swapped": (Audited.swap, 2),
    "a first copy dropped": (lambda one: one.drop("first", 1), 1),
    "a second copy dropped": (lambda one: one.drop("second", 1), 1),
}


@pytest.mark.parametrize("what", PLANTED)
def test_rot_is_found_in_a_cycle_and_repaired_from_the_good_copy(audited: Audited, what: str) -> None:
    """Each repair is an entry of the journal; afterwards both copies are as recorded, with the lock that they had."""
    plant, times = PLANTED[what]
    until = audited.both.rows("select min(retain_until) from deposit_copy")
    plant(audited)

    result, again = audited.run(), audited.run()

    assert (result.repaired, result.lost) == (times, 0)
    assert (again.repaired, again.lost) == (0, 0)
    assert audited.both.kinds().count("repair") == times
    assert audited.audit.state(now=NOW).incidents == 0
    assert [audited.both.archive().read(one) for one in audited.ids] == CONTENTS
    assert audited.both.rows("select min(retain_until) from deposit_copy") == until


def test_document_without_a_good_copy_is_one_incident_until_it_is_over(audited: Audited) -> None:
    """It is said at once, then once a day, and entered once; a deposit of the same content ends it."""
    for place in ("first", "second"):
        audited.rot(place, 1)

    first, second = audited.run(), audited.run()
    [incident] = audited.incidents()
    audited.audit.alarmed([incident], now=datetime.now(UTC))
    later = audited.audit.to_alarm(now=datetime.now(UTC) + timedelta(hours=25))

    assert (first.lost, first.repaired, second.repaired) == (2, 0, 0)
    assert (incident.archive_id, incident.damages) == (audited.ids[1], {"first": "altered", "second": "altered"})
    assert audited.incidents() == []
    assert [one.archive_id for one in later] == [audited.ids[1]]
    assert audited.both.kinds().count("damage") == 2
    assert audited.audit.state(now=NOW).incidents == 1

    audited.both.archive().deposit("acme", CONTENTS[1])
    audited.run()

    assert audited.audit.state(now=NOW).incidents == 0
    assert audited.audit.to_alarm(now=datetime.now(UTC) + timedelta(days=9)) == []


@pytest.mark.parametrize(
    ("harm", "damage"),
    [
        (lambda one: one.rot("first", 1), "altered"),
        (lambda one: one.drop("first", 1), "missing"),
        (lambda one: setattr(one.version("first", 1), "until", NOW), "unlocked"),
    ],
    ids=["rotten", "dropped", "unlocked"],
)
def test_archive_of_one_place_names_the_damage(single: Audited, harm: Plant, damage: str) -> None:
    harm(single)

    result = single.run()

    assert (result.copies, result.lost) == (3, 1)
    assert [(one.archive_id, one.damages) for one in single.incidents()] == [(single.ids[1], {"first": damage})]
    assert single.both.kinds().count("damage") == 1


def test_what_s3_does_not_return_while_it_returns_others_is_damage(single: Audited) -> None:
    single.first = Refusing(single.both.first, "AccessDenied", {single.version("first", 1).id})

    single.run()

    assert [one.damages for one in single.incidents()] == [{"first": "unreadable"}]


def test_archive_that_cannot_be_read_at_all_is_no_damage(single: Audited) -> None:
    """S3 is away, or a permission is missing: the run fails, and says so."""
    ids = {single.version("first", number).id for number in range(3)}
    single.first = Refusing(single.both.first, "AccessDenied", ids)

    with pytest.raises(TransientError, match="cannot be read"):
        single.run()

    assert single.incidents() == []
    assert single.audit.state(now=NOW).incidents == 0


@pytest.mark.parametrize(
    "point", ["before audited", "before repair", "after repair", "before commit of journal", "after commit of record"]
)
def test_audit_that_is_killed_is_run_again(audited: Audited, point: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it ended, the next run completes the repair, and nothing is taken for lost."""
    audited.rot("first", 0)
    audited.rot("second", 2)

    with killed_at(point):
        audited.run()
    audited.run()

    assert [audited.both.archive().read(one) for one in audited.ids] == CONTENTS
    assert audited.audit.state(now=NOW).incidents == 0
    assert audited.run().repaired == 0
    assert audited.both.kinds().count("repair") >= 2


def test_a_budget_that_is_too_small_for_thirty_days_is_said_with_the_one_that_suffices() -> None:
    now, day = datetime(2026, 11, 30, tzinfo=UTC), timedelta(days=1)
    large = AuditState(copies=10, bytes=7_200 << 30, oldest=now - day, incidents=0)

    enough = AuditResult(copies=3, bytes=5 << 20).sentence(large, now=now, budget=11 << 30)
    little = AuditResult().sentence(large, now=now, budget=1 << 30)
    late = AuditResult().sentence(AuditState(1, 1, now - 31 * day, 2), now=now, budget=1 << 20)

    assert enough == "3 copies, 5 MiB read, 0 repaired"
    assert "7372800 MiB are not read within 30 days: raise MAILROOM_ARCHIVE_AUDIT_MB to 10241" in little
    assert "2 documents with damage" in late
    assert "raise MAILROOM_ARCHIVE_AUDIT_MB to 2" in late
