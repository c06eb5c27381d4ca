"""The archive's listing against its receipts: foreign objects are named until acknowledged, damage until repaired."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.stub import Stubber
from sqlalchemy import Engine, select

from blocks.support.reconciling import compare
from mailroom.adapters.aws.manifests_s3 import S3Manifests
from mailroom.adapters.postgres.archive.findings import SqlArchiveFindings, damage
from mailroom.adapters.postgres.archive.receipts import receipts_of
from mailroom.adapters.postgres.engine import transaction
from mailroom.adapters.postgres.models import DepositRow, table
from mailroom.audit.check import Places, compare_archive
from mailroom.audit.deposits import read_deposit
from mailroom.audit.listings import Stored, parts
from mailroom.audit.mails import Patience
from mailroom.audit.report import Report
from mailroom.ports.archive import Deposit
from mailroom.ports.archive_findings import ArchiveFinding, ScannedRange
from mailroom.testing.retention_rules import MemoryRetentionRules
from tests.contract.test_manifests import ENVELOPE, MANIFEST
from tests.support.archive_store import RETENTION, Refusing, Store, store_on
from tests.support.lock_blind_s3 import LockBlind


@pytest.fixture
def store(emulator: str, engine: Engine) -> Store:
    return store_on(emulator, engine)


class Auditor:
    """Compares the archive as the check does and as `reconcile` does."""

    def __init__(self, store: Store, database_url: str, s3: Any = None) -> None:
        self.places = Places(database_url, "inbound", store.bucket, "")
        self.s3 = s3 or store.s3
        self.findings = SqlArchiveFindings(store.engine, store.bucket)

    def patience(self, limit_s: float = 0) -> Patience:
        return Patience(datetime.now(UTC) + timedelta(seconds=2), timedelta(seconds=limit_s))

    def look(self, *, after: str = "", most: int = 0, limit_s: float = 0) -> tuple[Report, str]:
        report = Report(emit=lambda _: None, progress=lambda _: None)
        until = compare_archive(
            self.places, s3=self.s3, report=report, patience=self.patience(limit_s), after=after, most=most
        )
        return report, until

    def reconcile(self, after: str = "", most: int = 0) -> tuple[dict[str, int], str]:
        report, until = compare(self.places, self.s3, self.findings, self.patience(), after, most)
        return dict(report.wrong), until

    def read(self, receipt: Deposit) -> dict[str, int]:
        report = Report(emit=lambda _: None, progress=lambda _: None)
        for _ in range(2):
            read_deposit(self.s3, self.places.archive_bucket, receipt, report)
        return dict(report.wrong)


@pytest.fixture
def auditor(store: Store, database_url: str) -> Auditor:
    return Auditor(store, database_url)


def deposit(store: Store, *names: str) -> list[Deposit]:
    return [store.archive().deposit("acme", name.encode()) for name in names]


def test_stranger_is_a_difference_until_an_operator_acknowledges_it(store: Store, auditor: Auditor) -> None:
    """It may be locked for ten years: a permanent finding would hide the next one."""
    [kept] = deposit(store, "a")
    stranger = store.put_locked(kept.key, b"b")

    first, second = auditor.reconcile()[0], auditor.reconcile()[0]
    [finding] = auditor.findings.all(acknowledged=False, limit=10)
    auditor.findings.acknowledge(kept.key, stranger, by="root", note="a drill", now=datetime.now(UTC))
    report, _ = auditor.look()

    assert first == second == {"versions": 1}
    assert f"--key {kept.key} --version-id {stranger}" in finding.do
    assert report.is_clean
    assert report.counts["acknowledged strangers"] == 1
    assert auditor.reconcile()[0] == {}
    assert [one.note for one in auditor.findings.all(acknowledged=True, limit=10)] == ["a drill"]


def test_delete_marker_is_named_with_its_remedy_and_over_once_it_is_removed(store: Store, auditor: Auditor) -> None:
    """Removing the marker makes the deposit visible again; by its receipt it was never gone."""
    [kept] = deposit(store, "a")
    marker = store.s3.delete_object(Bucket=store.bucket, Key=kept.key)["VersionId"]

    report, _ = auditor.look()
    found = auditor.reconcile()[0]
    store.s3.delete_object(Bucket=store.bucket, Key=kept.key, VersionId=marker)

    assert dict(report.wrong) == found == {"delete marker": 1}
    assert (
        f"aws s3api delete-object --bucket {store.bucket} --key {kept.key} --version-id {marker}"
        in report.violations[0].do
    )
    assert auditor.reconcile()[0] == {}
    assert auditor.findings.all(acknowledged=True, limit=10) == []


def test_second_locked_copy_of_a_deposit_is_no_difference(store: Store, auditor: Auditor) -> None:
    """One is put over a delete marker, or for a stricter lock; it must not be a finding until its lock ends."""
    [kept] = deposit(store, "a")
    marker = store.s3.delete_object(Bucket=store.bucket, Key=kept.key)["VersionId"]
    deposit(store, "a")
    store.s3.delete_object(Bucket=store.bucket, Key=kept.key, VersionId=marker)

    report, _ = auditor.look()

    assert len(store.versions()) == 2
    assert report.is_clean
    assert report.counts["second copies"] == 1


def test_deposit_whose_receipt_was_lost_is_under_way_and_then_a_difference(store: Store, auditor: Auditor) -> None:
    """Its mail's next attempt adopts it within minutes; after an hour none will."""
    deposit(store, "a")
    store.lose_receipts()

    assert dict(auditor.look(limit_s=3600)[0].wrong) == {}
    assert dict(auditor.look()[0].wrong) == {"no receipt": 1}


def test_parts_of_the_archive_come_to_the_whole(store: Store, auditor: Auditor) -> None:
    """Ten million objects are not listed in an hour: each run continues where the last one stopped, and skips none."""
    kept = sorted(deposit(store, *"abcdefgh"), key=lambda one: one.key)
    for lost in (kept[0], kept[3], kept[7]):
        store.lose(lost.archive_id)

    seen, after, runs = 0, "", 0
    while runs == 0 or after:
        report, after = auditor.look(after=after, most=2)
        seen, runs = seen + report.wrong["missing deposit"], runs + 1

    assert seen == 3
    assert runs > 2


def test_difference_lasts_until_it_is_repaired_and_the_page_says_it(store: Store, auditor: Auditor) -> None:
    """The run that finds it is one of many: the next ones look elsewhere, and would report no damage."""
    kept = sorted(deposit(store, *"abcd"), key=lambda one: one.key)
    store.lose(kept[0].archive_id)
    store.execute("update deposit_copy set verified_at = now() - interval '1 minute'")

    found, after = auditor.reconcile(most=1)
    later, _ = auditor.reconcile(after, most=1)
    shown = _damages(store)
    for name in "abcd":
        deposit(store, name)
    repaired, _ = auditor.reconcile(after, most=1)

    assert found == later == {"missing deposit": 1}
    assert shown == {kept[0].archive_id: "missing deposit"}
    assert _damages(store) == {}
    assert repaired == {}


def _damages(store: Store) -> dict[str, str]:
    with transaction(store.engine) as connection:
        ids = connection.execute(select(table(DepositRow).c.archive_id)).scalars().all()
        rows = connection.execute(receipts_of(ids, damage().label("damage")))
        return {row.archive_id: row.damage for row in rows if row.damage}


def test_damage_cannot_be_acknowledged(store: Store, auditor: Auditor) -> None:
    """A missing document is not settled by an acknowledgement."""
    [kept] = deposit(store, "a")
    store.lose(kept.archive_id)
    auditor.reconcile()

    said = auditor.findings.acknowledge(kept.key, None, by="root", note="never mind", now=datetime.now(UTC))

    assert said == []
    assert auditor.reconcile()[0] == {"missing deposit": 1}


def test_strange_keys_are_named_once_and_stop_nothing(store: Store, auditor: Auditor) -> None:
    """A stranger chooses the key: shell quotes, table bars, what PostgreSQL refuses; our own keys are plain."""
    for key in ("x; rm -rf $HOME", "a|b`c", "acme/aa/short", "日本/é", "_mailroom/counter.json"):
        store.put(key, b"1")
        store.put(key, b"2")
    deposit(store, "a")

    wrong, until = auditor.reconcile(most=1)
    while until:
        more, until = auditor.reconcile(until, most=1)
        wrong = {name: max(wrong.get(name, 0), more.get(name, 0)) for name in wrong | more}
    report, _ = auditor.look()

    assert dict(report.wrong) == {"no receipt": 4}
    assert wrong["no receipt"] >= 4
    assert report.counts["objects of our own"] == 2
    assert any("'x; rm -rf $HOME'" in one.do for one in report.violations)


def test_key_that_postgresql_cannot_hold_stops_nothing(store: Store, auditor: Auditor) -> None:
    """S3 takes a NUL in a key: the cursor cannot store it, and the finding is not stored but made by each run."""
    now = datetime.now(UTC)
    found = [ArchiveFinding("no receipt", f"acme/{name}", "v", "look", now) for name in ("nul\0", "plain")]

    auditor.findings.note(found, ScannedRange("", ""), now=now)
    cut = [until for _, until in parts([Stored(one.key, "v", 1, now) for one in found], 1)]

    assert [key for key, _ in store.findings()] == ["acme/plain"]
    assert cut == ["acme/plain", ""]


def test_missing_permission_to_read_locks_is_reported_once(store: Store, database_url: str, emulator: str) -> None:
    """It says nothing about any deposit: a violation for each would hide those that are damaged."""
    kept = deposit(store, "a", "b")
    deposit_beside = store.s3.delete_object(Bucket=store.bucket, Key=kept[0].key)["VersionId"]
    deposit(store, "a")
    store.s3.delete_object(Bucket=store.bucket, Key=kept[0].key, VersionId=deposit_beside)
    blind = Auditor(store, database_url, LockBlind(emulator).client)

    report, _ = blind.look()

    assert dict(report.wrong) == {"permission": 1}
    assert "s3:GetObjectRetention is missing" in report.violations[0].do
    assert blind.read(kept[1]) == {"permission": 1}


@pytest.mark.parametrize("heads", ["checksums", "all"], ids=["another's KMS key", "another account's object"])
def test_stranger_that_only_he_can_read_is_a_stranger_and_not_a_missing_permission(
    store: Store, database_url: str, heads: str
) -> None:
    """No permission could end it; and while one is missing nothing is recorded, so nothing could be settled."""
    [kept] = deposit(store, "a")
    stranger = store.put_locked(kept.key, b"b")
    auditor = Auditor(store, database_url, Refusing(store.s3, "AccessDenied", {stranger}, heads=heads))

    found = auditor.reconcile()[0]
    auditor.findings.acknowledge(kept.key, None, by="root", note="a drill", now=datetime.now(UTC))

    assert found == {"versions": 1}
    assert auditor.reconcile()[0] == {}


def test_own_copies_that_may_not_be_decrypted_are_a_missing_permission(store: Store, database_url: str) -> None:
    """The whole bucket is under that key: a foreign version for each copy would be an alarm about ourselves."""
    [kept] = deposit(store, "a")
    copy = store.put_locked(kept.key, b"a")
    s3 = Refusing(store.s3, "AccessDenied", {kept.version, copy}, heads="checksums")

    report, _ = Auditor(store, database_url, s3).look()

    assert dict(report.wrong) == {"permission": 1}
    assert "kms:Decrypt is missing" in report.violations[0].do


def test_strangers_on_a_manifests_key_are_named_until_an_operator_acknowledges_them(
    store: Store, auditor: Auditor
) -> None:
    """Manifests are in the same bucket under the same locks, and somebody else may write over them as well."""
    manifests = S3Manifests(
        store.s3, bucket=store.bucket, lock_mode="GOVERNANCE", rules=MemoryRetentionRules(RETENTION)
    )
    manifests.keep(MANIFEST)
    manifests.keep(replace(MANIFEST, envelope=replace(ENVELOPE, recipients=("bob@acme.test",))))
    whole = auditor.reconcile()[0]
    stranger = store.put_locked(MANIFEST.key, b"{}")
    marker = store.s3.delete_object(Bucket=store.bucket, Key=MANIFEST.key)["VersionId"]

    found = auditor.reconcile()[0]
    named = set(store.findings())
    auditor.findings.acknowledge(MANIFEST.key, None, by="root", note="a drill", now=datetime.now(UTC))

    assert whole == {}
    assert found == {"versions": 1, "delete marker": 1}
    assert named == {(MANIFEST.key, stranger), (MANIFEST.key, marker)}
    assert auditor.reconcile()[0] == {}


@pytest.mark.parametrize(
    ("code", "heads", "wrong"),
    [
        ("AccessDenied", "checksums", {"versions": 1}),
        ("InvalidRequest", "all", {"versions": 1}),
        ("InvalidObjectState", "", {}),
    ],
    ids=["another's KMS key", "a key that S3 does not have", "Glacier"],
)
def test_version_of_a_manifest_that_cannot_be_read_stops_nothing(
    store: Store, database_url: str, code: str, heads: str, wrong: dict[str, int]
) -> None:
    """A version that only a stranger can read is foreign; one that a lifecycle rule moved to Glacier may be ours."""
    manifests = S3Manifests(
        store.s3, bucket=store.bucket, lock_mode="GOVERNANCE", rules=MemoryRetentionRules(RETENTION)
    )
    manifests.keep(MANIFEST)
    stranger = store.put_locked(MANIFEST.key, b"{}")
    auditor = Auditor(store, database_url, Refusing(store.s3, code, {stranger}, heads=heads))

    assert auditor.reconcile()[0] == wrong


def test_version_that_really_has_no_lock_is_a_violation(store: Store, auditor: Auditor, emulator: str) -> None:
    """S3's explicit answer that there is no lock proves that somebody removed it, or put other bytes there."""
    [kept] = deposit(store, "a")
    store.lose(kept.archive_id)
    version = store.put(kept.key, b"a")
    store.execute("update deposit_copy set version = :version", version=version)
    receipt = store.archive().find(kept.archive_id)
    assert receipt is not None

    assert auditor.read(receipt) == {"not locked": 2}


def test_bucket_that_may_not_be_listed_is_one_difference_and_settles_nothing(store: Store, auditor: Auditor) -> None:
    """Without access to the bucket a check must neither report success nor forget earlier findings."""
    [kept] = deposit(store, "a")
    store.put(kept.key, b"b")
    auditor.reconcile()

    with Stubber(store.s3) as stub:
        stub.add_client_error("list_object_versions", service_error_code="AccessDenied", http_status_code=403)
        wrong, until = auditor.reconcile()

    assert (wrong, until) == ({"permission": 1}, "")
    assert store.findings() == [(kept.key, store.versions()[0]["VersionId"])]
