"""Processes that die by SIGKILL at each point of a deposit, its second copy, manifest and journal, of a seal and of a repair.

The next process does the same again. Then each mail is archived once, in both places, and the verification finds nothing.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from blocks.support.auditing import reading, repairing
from mailroom.adapters.aws.archive_s3 import S3Archive
from mailroom.adapters.aws.manifests_s3 import S3Manifests
from mailroom.adapters.postgres.archive.audits import SqlArchiveAudit
from mailroom.archive.auditing import AuditResult, audit_copies
from mailroom.archive.sealing import give_to_witness, seal_journal, stamp_seals
from mailroom.audit.archive_documents import SECOND, Place
from mailroom.audit.verify import Installation
from mailroom.crash_points import SEALING
from mailroom.domain.inbound.routing import Route
from mailroom.testing.retention_rules import MemoryRetentionRules
from tests.support.archive_store import RETENTION, store_on
from tests.support.killed_process import is_killed
from tests.support.sealed_journals import Installation as Sealed
from tests.support.sealed_journals import failures, waiting
from tests.support.small_archive import ANNA, BOB, LEASE, NOTE, SmallArchive

#: Each commit and each effect of a mail's way into the archive, in order.
FILING = (
    "commit of register",
    "commit of begin",
    "commit of routed",
    "put",
    "second copy",
    "adopt",
    "commit of record",
    "commit of deposited",
    "commit of file",
    "commit of close",
)
#: The short form, for one tenant: each with the number of its passing. The raw e-mail's copies and its manifest's come first.
SHORT = (
    ("after commit of register", 1),
    ("after put", 1),
    ("before second copy", 2),
    ("after put", 4),
    ("before commit of record", 1),
    ("after commit of record", 1),
    ("before put", 5),
    ("before commit of deposited", 2),
    ("after commit of deposited", 2),
    ("before commit of file", 1),
    ("after commit of file", 1),
)
#: What a run of the audit with a repair passes.
MENDING = (
    "audited",
    "commit of verified",
    "repair",
    "put",
    "commit of journal",
    "commit of record",
    "commit of repaired",
)


Chosen = Callable[[Sequence[str]], list[str]]


@dataclass(slots=True)
class CopiedArchive(SmallArchive):
    """An archive with second copies."""

    second: str = ""

    def archiving(self) -> dict[str, Any]:
        how: dict[str, Any] = {"lock_mode": "GOVERNANCE", "rules": MemoryRetentionRules(RETENTION)}
        how |= {"bucket": self.store.bucket, "second": (self.store.s3, self.second)}
        s3, engine = self.store.s3, self.store.engine
        return {"archive": S3Archive(s3, engine, **how), "manifests": S3Manifests(s3, **how)}

    @property
    def installation(self) -> Installation:
        plain = super(CopiedArchive, self).installation
        return replace(plain, places=[*plain.places, Place(SECOND, self.store.s3, self.second)])

    def audit(self) -> AuditResult:
        """Read every copy again, as the flow `audit` does."""
        places = list(self.installation.places)
        how: dict[str, Any] = {"budget": 1 << 20, "begun": datetime.now(UTC), "read": reading(places)}
        repair = repairing(self.archiving()["archive"].copies, places)
        return audit_copies(SqlArchiveAudit(self.store.engine), repair=repair, **how)

    def versions(self, bucket: str) -> Counter[str]:
        """Return how many versions each document has in a bucket."""
        listed = self.store.s3.list_object_versions(Bucket=bucket).get("Versions", [])
        return Counter(one["Key"] for one in listed if "/aip/" not in one["Key"] and "/seals/" not in one["Key"])

    def rows(self, query: str) -> list[Any]:
        with self.store.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(query))]


@pytest.fixture
def copied(emulator: str, engine: Engine, database_url: str) -> CopiedArchive:
    store, second, witness = (store_on(emulator, engine) for _ in range(3))
    return CopiedArchive(store, database_url, witness=witness.bucket, second=second.bucket)


def points(effects: Sequence[str]) -> list[str]:
    return [f"{when} {effect}" for effect in effects for when in ("before", "after")]


def states(effects: Sequence[str]) -> list[str]:
    """Return points for each state that a death can leave: dying after an effect leaves what dying before the next one does."""
    return [*(f"before {effect}" for effect in effects), f"after {effects[-1]}"]


def archives_once(copied: CopiedArchive, deaths: Path, point: str, *to: Route, nth: int, number: int) -> bool:
    """Archive a mail in a process that dies at the point's nth passing, and again in one that does not; False if none died.

    Each file comes with three mails, and one that was archived before where that is what the point is about.
    """
    file = 0 if "adopt" in point else number // 3
    raw = b"X-Number: %d\r\n" % number + LEASE.replace(b"7 lease", b"7 lease %d" % file)
    died = is_killed(point, lambda: copied.file(raw, *to), [copied.store], deaths=deaths, nth=nth)
    copied.file(raw, *to)
    return died


def proves(copied: CopiedArchive) -> None:
    """Every deposit is one row, one version in each place, one entry and one for its copy; nothing fails, once it is sealed."""
    copied.seal()
    ids = [one for (one,) in copied.rows("select archive_id from deposit")]
    keys = Counter(f"{one[: one.index('/')]}/{one[one.index('/') + 1 :][:2]}/{one.partition('/')[2]}" for one in ids)
    kinds = Counter(copied.rows("select subject, kind from journal where kind in ('deposit', 'copy', 'repair')"))

    assert copied.versions(copied.store.bucket) == copied.versions(copied.second) == keys
    assert kinds == Counter((one, kind) for one in ids for kind in ("deposit", "copy"))
    verified(copied)


def verified(copied: CopiedArchive) -> None:
    """Every check passes; there are no time stamps."""
    results = copied.verify().results
    assert [str(one) for one in results if one.check != "seal_token"] == []


def test_a_mail_whose_process_is_killed_anywhere_is_archived_once(copied: CopiedArchive, tmp_path: Path) -> None:
    """The short form."""
    for number, (point, nth) in enumerate(SHORT):
        assert archives_once(copied, tmp_path / "deaths", point, ANNA, nth=nth, number=number), point

    proves(copied)


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_a_mail_whose_process_is_killed_at_every_passing_is_archived_once(
    copied: CopiedArchive, tmp_path: Path
) -> None:
    """All of them: each point is passed as often as there are documents, copies and tenants."""
    number, passed = count(), Counter[str]()
    for point in points(FILING):
        while archives_once(copied, tmp_path / "deaths", point, ANNA, BOB, nth=passed[point] + 1, number=next(number)):
            passed[point] += 1

    assert set(passed) == set(points(FILING))
    proves(copied)


def seal_life(one: Sealed) -> list[str]:
    """Seal the journal `life` as the flow does."""
    now = datetime.now(UTC)
    seal_journal("acme", "life", one.ports, now=now)
    return [*stamp_seals(one.ports, now=now).failed, *give_to_witness(one.ports, now=now).failed]


@pytest.mark.parametrize("chosen", [states, pytest.param(points, marks=pytest.mark.long)])
def test_sealing_that_is_killed_at_any_point_is_continued(
    emulator: str, engine: Engine, tmp_path: Path, chosen: Chosen
) -> None:
    """In the archive and not recorded, stamped and not recorded, and so on: one seal of each number, and never a fork."""
    one = Sealed(store_on(emulator, engine), store_on(emulator, engine))

    for point in chosen(SEALING):
        one.append("a")
        assert is_killed(point, lambda: seal_life(one), [one.store, one.witness], deaths=tmp_path / "deaths"), point
        made = one.stored()
        one.append("b")

        assert seal_life(one) == [], point
        assert made.items() <= one.stored().items(), point

    checks = one.check()
    assert failures(checks) == set()
    assert waiting(checks) == set()
    assert sorted(one.objects()) == sorted(one.objects("entries")) == sorted(one.objects("token"))
    assert one.objects(of=one.witness) == one.objects()


@pytest.mark.parametrize("chosen", [states, pytest.param(points, marks=pytest.mark.long)])
def test_a_repair_that_is_killed_at_any_point_is_completed(
    copied: CopiedArchive, tmp_path: Path, chosen: Chosen
) -> None:
    """The copy is there again, once; nothing is taken for lost; each repair has its entry."""
    copied.file(NOTE, ANNA)
    [[archive_id, key]] = copied.rows("select archive_id, key from deposit")
    wanted = chosen(MENDING)
    for point in wanted:
        copied.store.lose(archive_id)
        assert is_killed(point, copied.audit, [copied.store], deaths=tmp_path / "deaths"), point

        copied.audit()

        assert copied.versions(copied.store.bucket) == copied.versions(copied.second) == {key: 1}, point
    assert copied.rows("select distinct damage from deposit_copy") == [(None,)]
    [[repairs]] = copied.rows("select count(*) from journal where kind = 'repair'")
    assert repairs >= len(wanted)
    assert copied.audit().repaired == 0
    copied.seal()
    verified(copied)


def test_damage_that_is_found_by_a_process_that_is_killed_is_one_entry(copied: CopiedArchive, tmp_path: Path) -> None:
    copied.file(NOTE, ANNA)
    [[archive_id]] = copied.rows("select archive_id from deposit")
    copied.store.lose(archive_id)
    replace(copied.store, bucket=copied.second).lose(archive_id)

    for point in points(["commit of damage"]):
        assert is_killed(point, copied.audit, [copied.store], deaths=tmp_path / "deaths"), point
    copied.audit()

    assert copied.rows("select place, damage from deposit_copy order by 1") == [
        ("first", "missing"),
        ("second", "missing"),
    ]
    assert copied.rows("select count(*) from journal where kind = 'damage'") == [(2,)]
