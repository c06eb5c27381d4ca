"""The audit of manifests and seals: each copy is read, a lost one is written again and named, what has no good copy is an incident."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from blocks.support.auditing import AuditedPieces, pieces_of
from mailroom.adapters.aws.archive_s3 import S3Archive
from mailroom.adapters.postgres.archive.pieces import SqlPieceAudit
from mailroom.archive.auditing import AuditResult, audit_copies
from mailroom.audit.archive_documents import Place
from mailroom.testing.retention_rules import MemoryRetentionRules
from mailroom.testing.strict_lock import StrictLockFake
from tests.support.archive_store import RETENTION, Store
from tests.support.small_archive import SmallArchive, archive_on
from tests.support.tampering import tamper
from tests.support.two_places import killed_at


class Audited:
    """A sealed archive of one bucket, to which a second one was added later."""

    def __init__(self, small: SmallArchive, second: Store) -> None:
        self.small, self.engine = small, small.store.engine
        self.stores = {"first": small.store, "second": second}
        self.audit = SqlPieceAudit(self.engine)

    def ports(self, names: Sequence[str]) -> AuditedPieces:
        first, second = self.stores.values()
        copies: Any = (second.s3, second.bucket) if "second" in names else None
        archive = S3Archive(
            first.s3,
            self.engine,
            bucket=first.bucket,
            lock_mode="GOVERNANCE",
            rules=MemoryRetentionRules(RETENTION),
            second=copies,
        )
        places = [Place(name, self.stores[name].s3, self.stores[name].bucket) for name in names]
        return pieces_of(self.audit, archive.copies.pieces, places)

    def run(self, *names: str) -> AuditResult:
        ports, now = self.ports(names or ("first", "second")), datetime.now(UTC)
        self.audit.add_new(ports.places, now=now)
        return audit_copies(self.audit, read=ports.read, repair=ports.repair, budget=1 << 30, begun=now)

    def keys(self, part: str) -> list[str]:
        query = f"select distinct key from archive_piece where key like '%%{part}' order by key"
        return [row[0] for row in self.rows(query)]

    def rows(self, query: str) -> list[Any]:
        with self.engine.connect() as connection:
            return list(connection.exec_driver_sql(query).all())

    def lose(self, place: str, key: str, *, newest: bool = False) -> None:
        """Delete versions of a key, all or the newest one, as an administrator with bypass can."""
        store = self.stores[place]
        found = [one["VersionId"] for one in store.versions() if one["Key"] == key]
        for version in found[: 1 if newest else None]:
            store.s3.delete_object(Bucket=store.bucket, Key=key, VersionId=version, BypassGovernanceRetention=True)

    def entries(self) -> list[tuple[str, str]]:
        """Return kind and subject of the entries about pieces."""
        kinds = "select kind, subject from journal where stream = 'operations' and kind in ('copy', 'repair', 'damage')"
        return sorted((one.kind, one.subject) for one in self.rows(kinds))

    def incidents(self) -> list[tuple[str, dict[str, str]]]:
        return [(one.archive_id, one.damages) for one in self.audit.to_alarm(now=datetime.now(UTC))]


@pytest.fixture
def audited(engine: Engine, database_url: str) -> Audited:
    places = []
    for bucket in ("archive", "copies"):
        s3: Any = StrictLockFake()
        s3.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
        places.append(Store(s3, engine, bucket))
    return Audited(archive_on(places[0], database_url), places[1])


def test_all_that_is_recorded_is_read_and_gets_its_second_copy(audited: Audited) -> None:
    """Each version of a manifest, and of each seal its document and its entries; a second run has nothing to add."""
    alone = audited.run("first")
    both, again = audited.run(), audited.run()

    manifests = audited.rows("select count(distinct (key, sha256)) from archived_mail")[0][0]
    seals = audited.rows("select count(*) from seal")[0][0]
    assert seals
    assert (alone.copies, alone.added, alone.repaired, alone.lost) == (manifests + 2 * seals, 0, 0, 0)
    assert (both.copies, both.added, both.repaired, both.lost) == (2 * alone.copies, alone.copies, 0, 0)
    assert (again.copies, again.added) == (2 * alone.copies, 0)
    assert {kind for kind, _ in audited.entries()} == {"copy"}
    first, second = (sorted(_digests(one, "/aip/") + _digests(one, "/seals/")) for one in audited.stores.values())
    assert first == second
    state = audited.audit.state(now=datetime.now(UTC))
    assert (state.copies, state.incidents) == (2 * alone.copies, 0)


def test_a_lost_copy_is_written_again_and_named(audited: Audited) -> None:
    """Afterwards nothing fails: a manifest has another version, which the entry names."""
    audited.run()
    lost = [audited.keys(part)[0] for part in ("/aip/%%", "0001.json", "entries.json")]
    for number, key in enumerate(lost):
        audited.lose(("first", "second", "first")[number], key)

    result, again = audited.run(), audited.run()

    assert (result.lost, again.repaired, again.lost) == (0, 0, 0)
    repairs = [subject for kind, subject in audited.entries() if kind == "repair"]
    assert (sorted(set(repairs)), len(repairs)) == (sorted(lost), result.repaired)
    for key in lost:
        assert _digests(audited.stores["first"], key) == _digests(audited.stores["second"], key)
    assert audited.small.verify().failures() == []
    assert audited.small.verify(reading=False).failures() == []


def test_one_version_of_a_manifest_is_repaired_beside_the_others(audited: Audited) -> None:
    audited.run()
    [(key,)] = audited.rows("select key from archived_mail group by key having count(*) > 1 order by key limit 1")
    audited.lose("first", key, newest=True)

    assert audited.run().repaired == 1
    assert audited.small.verify().failures() == []


@pytest.mark.parametrize("point", ["after repair", "after commit of pieces"])
def test_a_repair_that_is_killed_is_named_all_the_same(audited: Audited, point: str) -> None:
    audited.run()
    key = audited.keys("entries.json")[0]
    audited.lose("first", key)

    with killed_at(point):
        audited.run()
    audited.run()

    repairs = [subject for kind, subject in audited.entries() if kind == "repair"]
    assert repairs == [key]
    assert len([one for one in audited.stores["first"].versions() if one["Key"] == key]) == 1
    assert audited.audit.state(now=datetime.now(UTC)).incidents == 0


def test_what_is_lost_in_both_places_is_one_incident_until_it_is_back(audited: Audited) -> None:
    audited.run()
    key = audited.keys("/aip/%%")[0]
    digest = audited.rows(f"select digest from archive_piece where key = '{key}' limit 1")[0][0]
    store = audited.stores["first"]
    [version] = [one["VersionId"] for one in store.versions() if one["Key"] == key and _digest(store, one) == digest]
    content = store.s3.get_object(Bucket=store.bucket, Key=key, VersionId=version)["Body"].read()
    for place in audited.stores:
        audited.lose(place, key)

    result, again = audited.run(), audited.run()

    assert result.lost == again.lost >= 2
    assert ("damage", key) in audited.entries()
    assert [(one, set(damages.values())) for one, damages in audited.incidents()] == [(key, {"missing"})]
    count = len(audited.entries())

    until = datetime.now(UTC) + timedelta(days=3700)
    locked = {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": until}
    store.s3.put_object(Bucket=store.bucket, Key=key, Body=content, **locked)
    audited.run()

    assert len(audited.entries()) > count
    open_ones = audited.rows(f"select 1 from archive_piece where digest = '{digest}' and damage is not null")
    assert open_ones == []


def test_a_seal_that_was_replaced_is_an_incident_because_the_first_version_counts(audited: Audited) -> None:
    """A version behind it would change nothing for who reads the seal."""
    audited.run()
    key = audited.keys("0001.json")[0]
    audited.lose("first", key)
    audited.stores["first"].put_locked(key, b"{}")

    result = audited.run()

    assert (result.repaired, result.lost) == (0, 1)
    assert audited.incidents() == [(key, {"first": "altered"})]


def test_a_strangers_version_of_a_manifest_changes_nothing(audited: Audited) -> None:
    audited.run()
    for store in audited.stores.values():
        store.put(audited.keys("/aip/%%")[0], b"not a manifest")

    result = audited.run()

    assert (result.repaired, result.lost) == (0, 0)


def test_a_row_of_a_seal_that_was_altered_stops_no_audit(audited: Audited) -> None:
    """The verification of records names it; here its document is missing under that digest, and all others are read."""
    tamper(
        audited.engine, "update seal set document = 'no json' where number = 1 and tenant = 'acme' and stream = 'life'"
    )

    result = audited.run("first")

    assert result.lost == 1
    assert audited.incidents() == [("acme/seals/life/00000001.json", {"first": "altered"})]


def _digest(store: Store, one: Any) -> str:
    body = store.s3.get_object(Bucket=store.bucket, Key=one["Key"], VersionId=one["VersionId"])["Body"].read()
    return hashlib.sha256(body).hexdigest()


def _digests(store: Store, part: str) -> list[str]:
    return sorted({_digest(store, one) for one in store.versions() if part in one["Key"]})
