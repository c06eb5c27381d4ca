"""The port `Archive`: the twin in memory and S3 with Object Lock keep, tell and refuse alike."""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from sqlalchemy import Engine, text

from mailroom.adapters.archive_s3 import S3Archive
from mailroom.adapters.sql.archive_findings import SqlArchiveFindings
from mailroom.domain.errors import NotPermitted, PermanentError, TransientError
from mailroom.ports import Archive, Deposit
from mailroom.testing import MemoryArchive
from tests.contract.lock_blind import LockBlind

CONTENT = b"From: anna@acme.test\r\n\r\nhello\r\n"
DIGEST = hashlib.sha256(CONTENT).hexdigest()
KEY = f"acme/{DIGEST[:2]}/{DIGEST}"
RETENTION = timedelta(days=10)
_numbers = count()


@dataclass(frozen=True, slots=True)
class Case:
    """An archive of its own, and the two things that must never happen to what it keeps."""

    archive: Archive
    lose: Callable[[str], None]
    alter: Callable[[str, bytes], None]
    #: The same archive, where deposits are kept for so long from now on.
    keeping: Callable[[timedelta], Archive]


@dataclass(frozen=True, slots=True)
class Store:
    """A bucket with Object Lock and a database, as an administrator sees them."""

    s3: Any
    engine: Engine
    bucket: str

    def archive(self, lock_mode: str = "GOVERNANCE", *, retention: timedelta = RETENTION, s3: Any = None) -> S3Archive:
        return S3Archive(s3 or self.s3, self.engine, bucket=self.bucket, lock_mode=lock_mode, retention=retention)

    def lock(self, receipt: Deposit) -> tuple[str, datetime]:
        where = {"Bucket": receipt.bucket, "Key": receipt.key, "VersionId": receipt.version}
        kept = self.s3.get_object_retention(**where)["Retention"]
        return kept["Mode"], kept["RetainUntilDate"]

    def findings(self) -> list[tuple[str, str]]:
        found = SqlArchiveFindings(self.engine, self.bucket).all(acknowledged=False, limit=10)
        return [(one.key, one.version) for one in found]

    def versions(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.s3.list_object_versions(Bucket=self.bucket).get("Versions", [])
        return found

    def put(self, key: str, body: bytes, **how: Any) -> str:
        return str(self.s3.put_object(Bucket=self.bucket, Key=key, Body=body, **how)["VersionId"])

    def put_locked(self, key: str, body: bytes) -> str:
        until = datetime.now(UTC) + RETENTION
        return self.put(key, body, ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=until)

    def lose(self, archive_id: str) -> None:
        """Remove the object for good, as only an administrator with bypass can."""
        for version in self.versions():
            if version["Key"] == key_of(archive_id):
                self.s3.delete_object(
                    Bucket=self.bucket,
                    Key=version["Key"],
                    VersionId=version["VersionId"],
                    BypassGovernanceRetention=True,
                )

    def alter(self, archive_id: str, body: bytes) -> None:
        """Put other bytes in the object's place, and have the receipt point at them."""
        self.lose(archive_id)
        version = self.put_locked(key_of(archive_id), body)
        self.execute("update deposit set version = :version where archive_id = :id", version=version, id=archive_id)

    def execute(self, statement: str, **values: Any) -> None:
        with self.engine.begin() as connection:
            connection.execute(text(statement), values)


def key_of(archive_id: str) -> str:
    tenant, _, digest = archive_id.partition("/")
    return f"{tenant}/{digest[:2]}/{digest}"


@pytest.fixture(scope="module")
def s3(emulator: str) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=emulator,
        region_name="eu-west-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


@pytest.fixture
def store(s3: Any, engine: Engine) -> Store:
    bucket = f"archivetest-{next(_numbers)}"
    s3.create_bucket(
        Bucket=bucket,
        CreateBucketConfiguration={"LocationConstraint": "eu-west-1"},
        ObjectLockEnabledForBucket=True,
    )
    return Store(s3, engine, bucket)


@pytest.fixture(params=["memory", "s3"])
def case(request: pytest.FixtureRequest) -> Case:
    if request.param == "memory":
        archive = MemoryArchive(retention=RETENTION)

        def keeping(retention: timedelta) -> Archive:
            archive.retention = retention
            return archive

        return Case(archive, lambda id_: archive.contents.__delitem__(id_), archive.contents.__setitem__, keeping)
    store: Store = request.getfixturevalue("store")
    return Case(store.archive(), store.lose, store.alter, lambda kept: store.archive(retention=kept))


def test_the_receipt_says_what_is_kept_and_until_when(case: Case) -> None:
    """The receipt is the evidence that goes into the ledger; it must stand on its own."""
    before = datetime.now(UTC)

    receipt = case.archive.deposit("acme", CONTENT)

    digest = hashlib.sha256(CONTENT).hexdigest()
    assert (receipt.archive_id, receipt.tenant, receipt.sha256) == (f"acme/{digest}", "acme", digest)
    assert receipt.size == len(CONTENT)
    assert receipt.version
    assert before - timedelta(seconds=1) <= receipt.retain_until - RETENTION <= datetime.now(UTC)


def test_the_same_bytes_again_give_the_same_receipt(case: Case) -> None:
    """A retried step must find that it has done its work, not do it twice."""
    first = case.archive.deposit("acme", CONTENT)

    second = case.archive.deposit("acme", CONTENT)

    assert second == first
    assert case.archive.find(first.archive_id) == first


def test_the_same_bytes_again_are_locked_for_as_long_as_a_new_deposit(case: Case) -> None:
    """A mail of today whose attachment came years ago would lose it with the first mail's lock; its receipt must not say so."""
    first = case.archive.deposit("acme", CONTENT)

    before = datetime.now(UTC).replace(microsecond=0)
    second = case.keeping(3 * RETENTION).deposit("acme", CONTENT)

    assert (second.archive_id, second.version) == (first.archive_id, first.version)
    assert second.retain_until >= before + 3 * RETENTION
    assert case.archive.find(first.archive_id) == second


def test_the_lock_of_the_same_bytes_is_never_shortened(case: Case) -> None:
    """The first mail's receipt promises its date, whatever the retention of later ones is."""
    first = case.archive.deposit("acme", CONTENT)

    second = case.keeping(RETENTION / 10).deposit("acme", CONTENT)

    assert second == first
    assert case.archive.find(first.archive_id) == first


def test_receipt_says_when_the_store_confirmed_it(case: Case) -> None:
    """Archived is a claim; who reads it must know when bytes and lock were last compared with the store."""
    before = datetime.now(UTC).replace(microsecond=0)

    receipt = case.archive.deposit("acme", CONTENT)

    kept = case.archive.find(receipt.archive_id)
    assert kept is not None
    assert receipt.verified_at is not None
    assert before <= receipt.verified_at <= datetime.now(UTC)
    assert kept.verified_at == receipt.verified_at


def test_other_bytes_are_another_deposit(case: Case) -> None:
    """Content is the key; a letter's difference is a different document."""
    first, second = case.archive.deposit("acme", CONTENT), case.archive.deposit("acme", CONTENT + b".")

    assert first.archive_id != second.archive_id
    assert case.archive.read(second.archive_id) == CONTENT + b"."


def test_another_tenant_is_another_deposit(case: Case) -> None:
    """Tenants share no storage: the end of one tenant's retention must not touch the other's document."""
    first, second = case.archive.deposit("acme", CONTENT), case.archive.deposit("globex", CONTENT)

    assert first.archive_id != second.archive_id
    assert first.key != second.key
    assert case.archive.read(first.archive_id) == case.archive.read(second.archive_id) == CONTENT


@pytest.mark.parametrize("content", [CONTENT, b"", bytes(range(256)) * 40], ids=["mail", "empty", "binary"])
def test_reading_returns_the_bytes(case: Case, content: bytes) -> None:
    """Byte for byte: a digest over anything else proves nothing. Attachments may be empty."""
    receipt = case.archive.deposit("acme", content)

    assert case.archive.read(receipt.archive_id) == content


@pytest.mark.parametrize("archive_id", ["acme/" + "0" * 64, "acme", ""])
def test_an_unknown_id_is_no_deposit(case: Case, archive_id: str) -> None:
    """Ids come in from URLs; 404 is the answer to any of them that is none."""
    assert case.archive.find(archive_id) is None
    with pytest.raises(LookupError):
        case.archive.read(archive_id)


def test_a_deposit_that_is_gone_is_told_and_can_be_made_again(case: Case) -> None:
    """The raw mail may still be in the inbound bucket: replaying it must repair the archive."""
    receipt = case.archive.deposit("acme", CONTENT)
    case.lose(receipt.archive_id)

    with pytest.raises(LookupError):
        case.archive.read(receipt.archive_id)
    again = case.archive.deposit("acme", CONTENT)

    assert again.archive_id == receipt.archive_id
    assert again.version != receipt.version
    assert case.archive.find(receipt.archive_id) == again
    assert case.archive.read(receipt.archive_id) == CONTENT


@pytest.mark.parametrize("other", [CONTENT[:-1], CONTENT.swapcase()], ids=["shorter", "as long"])
def test_altered_bytes_are_never_handed_out(case: Case, other: bytes) -> None:
    """An archive that returns something else without a word is worse than none."""
    receipt = case.archive.deposit("acme", CONTENT)
    case.alter(receipt.archive_id, other)

    with pytest.raises(PermanentError):
        case.archive.read(receipt.archive_id)


@pytest.mark.parametrize("other", [CONTENT[:-1], CONTENT.swapcase()], ids=["shorter", "as long"])
def test_a_receipt_is_never_given_for_other_bytes(case: Case, other: bytes) -> None:
    """It would be false evidence. A refusal, as it was before, lets one stranger stop all later mail with this content."""
    receipt = case.archive.deposit("acme", CONTENT)
    case.alter(receipt.archive_id, other)

    again = case.archive.deposit("acme", CONTENT)

    assert again.version != receipt.version
    assert case.archive.find(receipt.archive_id) == again
    assert case.archive.read(receipt.archive_id) == CONTENT


def test_the_object_is_locked_until_the_date_on_the_receipt(store: Store) -> None:
    """Until then nobody without the right to bypass removes it, our own code included."""
    receipt = store.archive().deposit("acme", CONTENT)
    where = {"Bucket": receipt.bucket, "Key": receipt.key, "VersionId": receipt.version}

    head = store.s3.head_object(**where)
    with pytest.raises(ClientError, match="AccessDenied"):
        store.s3.delete_object(**where)

    assert (receipt.lock_mode, receipt.key) == ("GOVERNANCE", key_of(receipt.archive_id))
    assert (head["ObjectLockMode"], head["ObjectLockRetainUntilDate"]) == ("GOVERNANCE", receipt.retain_until)
    assert store.archive().read(receipt.archive_id) == CONTENT


def test_the_same_bytes_without_a_lock_are_not_taken_for_the_deposit(store: Store) -> None:
    """Somebody with write access put them there; without a lock they can vanish tomorrow. Ours goes on top."""
    stranger = store.put(KEY, CONTENT)

    receipt = store.archive().deposit("acme", CONTENT)

    assert receipt.version != stranger
    assert store.lock(receipt) == ("GOVERNANCE", receipt.retain_until)
    assert store.findings() == [(KEY, stranger)]


@pytest.mark.parametrize("other", [b"something else", CONTENT.swapcase()], ids=["other size", "same size"])
def test_something_else_under_the_key_is_reported_and_not_in_the_way(
    store: Store, other: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """A stranger may lock it for ten years: to refuse, as it was before, is to lose every mail with this content till then."""
    stranger = store.put_locked(KEY, other)

    first, second = store.archive().deposit("acme", CONTENT), store.archive().deposit("acme", CONTENT)

    assert second == first
    assert first.version != stranger
    assert store.archive().read(first.archive_id) == CONTENT
    assert store.findings() == [(KEY, stranger)]
    assert [record.levelname for record in caplog.records if stranger in record.message] == ["WARNING"]


def test_the_locked_version_is_found_under_what_a_stranger_put_on_top(store: Store) -> None:
    """The bytes are there and locked: a second copy for each mail would let a stranger fill the archive."""
    first = store.archive().deposit("acme", CONTENT)
    store.put(KEY, CONTENT)
    store.put(KEY, b"something else")
    store.put(KEY + "0", CONTENT)
    store.execute("delete from deposit")

    second = store.archive().deposit("acme", CONTENT)

    assert second == first
    assert len(store.versions()) == 4


def test_many_deposits_at_once_over_a_stranger_put_one_version(store: Store) -> None:
    """Each puts its own only where the newest is still what it saw; the others find that one."""
    store.put(KEY, b"something else")
    archive = store.archive()

    with ThreadPoolExecutor(8) as pool:
        receipts = set(pool.map(lambda _: archive.deposit("acme", CONTENT), range(8)))

    assert len({receipt.version for receipt in receipts}) == 1
    assert len(store.versions()) == 2


def test_an_object_whose_receipt_was_lost_is_adopted(store: Store) -> None:
    """The process may die between S3 and the database; the object is locked, so it can only be taken over."""
    first = store.archive().deposit("acme", CONTENT)
    store.execute("delete from deposit")

    second = store.archive().deposit("acme", CONTENT)

    assert second == first
    assert store.archive().find(first.archive_id) == first
    assert len(store.versions()) == 1


def test_a_stricter_mode_in_the_settings_makes_the_lock_stricter(store: Store) -> None:
    """Before, the receipt of a known content said GOVERNANCE for ever: an administrator could still delete what came again."""
    first = store.archive("GOVERNANCE").deposit("acme", CONTENT)

    second = store.archive("COMPLIANCE").deposit("acme", CONTENT)

    assert (second.version, second.lock_mode) == (first.version, "COMPLIANCE")
    assert store.lock(second) == ("COMPLIANCE", second.retain_until)
    assert store.archive("GOVERNANCE").deposit("acme", CONTENT) == second


def test_where_a_lock_cannot_be_made_stricter_a_stricter_version_is_put(store: Store) -> None:
    """S3 may ask for the right to bypass before it changes a mode, and no depositor has it; the promise holds all the same."""
    first = store.archive("GOVERNANCE").deposit("acme", CONTENT)
    unbending: Any = Unbending(store.s3)

    second = store.archive("COMPLIANCE", s3=unbending).deposit("acme", CONTENT)

    assert second.version != first.version
    assert store.lock(second) == ("COMPLIANCE", second.retain_until)
    assert store.findings() == []


def test_a_lock_is_extended_in_the_store_before_the_receipt_says_so(store: Store) -> None:
    """A receipt is evidence; a process that dies between the two must have promised too little, never too much."""
    first = store.archive().deposit("acme", CONTENT)

    second = store.archive(retention=3 * RETENTION).deposit("acme", CONTENT)
    store.execute("update deposit set retain_until = :until", until=first.retain_until)
    third = store.archive(retention=3 * RETENTION).deposit("acme", CONTENT)

    assert store.lock(second) == ("GOVERNANCE", second.retain_until)
    assert third == second
    assert store.archive().find(first.archive_id) == second


def test_a_lock_that_is_long_enough_costs_no_call(store: Store) -> None:
    """One logo in a thousand mails of a day: each second mail would pay for a date that differs by seconds."""
    counting: Any = Counting(store.s3)
    store.archive(s3=counting).deposit("acme", CONTENT)
    store.archive(s3=counting).deposit("acme", CONTENT)

    assert counting.calls == ["put_object", "put_object", "get_object"]


def test_an_extension_that_another_mail_made_first_is_taken(store: Store) -> None:
    """S3 refuses to shorten by a second; that another mail was a second later is no missing permission."""
    first = store.archive().deposit("acme", CONTENT)
    overtaken: Any = Overtaken(store)

    second = store.archive(retention=3 * RETENTION, s3=overtaken).deposit("acme", CONTENT)

    assert second.version == first.version
    assert store.lock(second) == ("GOVERNANCE", second.retain_until)


def test_receipts_of_one_content_only_grow(store: Store) -> None:
    """Two mails record what they extended in either order; the date that the later one promised must stand."""
    long = store.archive(retention=3 * RETENTION).deposit("acme", CONTENT)

    store.archive()._record(replace(long, retain_until=long.retain_until - RETENTION))

    assert store.archive().find(long.archive_id) == long


def test_a_lock_that_may_not_be_read_is_a_missing_permission(store: Store, emulator: str) -> None:
    """S3 leaves out the lock for who may not read it; taken for no lock, each mail would put another copy, or be given up."""
    first = store.archive().deposit("acme", CONTENT)
    caller = LockBlind(emulator)
    archive = store.archive(s3=caller.client)

    with pytest.raises(NotPermitted) as refused:
        archive.deposit("acme", CONTENT)
    with pytest.raises(NotPermitted):
        archive.check()
    caller.blind = False
    archive.check()

    assert refused.value.permission == "s3:GetObjectRetention"
    assert isinstance(refused.value, TransientError)
    assert archive.deposit("acme", CONTENT) == first
    assert len(store.versions()) == 1


def test_new_content_needs_no_permission_to_read_locks(store: Store, emulator: str) -> None:
    """S3 confirmed its lock when it was put; nothing is asked a second time."""
    caller = LockBlind(emulator)

    receipt = store.archive(s3=caller.client).deposit("acme", CONTENT)

    assert store.lock(receipt) == ("GOVERNANCE", receipt.retain_until)
    assert caller.asked == 0


def test_depositing_at_once_from_many_threads_gives_one_receipt(store: Store) -> None:
    """One attachment in eight mails of one minute: all eight must name the same deposit."""
    archive = store.archive()

    with ThreadPoolExecutor(8) as pool:
        receipts = set(pool.map(lambda _: archive.deposit("acme", CONTENT), range(8)))

    assert len({receipt.archive_id for receipt in receipts}) == 1
    assert receipts == {archive.find(receipt.archive_id) for receipt in receipts}
    assert archive.read(receipts.pop().archive_id) == CONTENT


def test_a_deleted_object_with_its_marker_is_deposited_anew(store: Store) -> None:
    """Deleting without a version hides a locked object behind a marker; its version stays and is still what was promised."""
    receipt = store.archive().deposit("acme", CONTENT)
    store.s3.delete_object(Bucket=receipt.bucket, Key=receipt.key)

    assert store.archive().read(receipt.archive_id) == CONTENT
    again = store.archive().deposit("acme", CONTENT)

    assert store.archive().read(again.archive_id) == CONTENT
    assert store.archive().find(again.archive_id) == again


def test_a_delete_marker_does_not_block_later_mail(store: Store) -> None:
    """Whoever may delete without a version hides content; S3 then takes a new version as if the key were free."""
    first = store.archive().deposit("acme", CONTENT)
    store.s3.delete_object(Bucket=first.bucket, Key=first.key)

    receipts = [store.archive().deposit("acme", CONTENT) for _ in range(3)]

    assert {receipt.version for receipt in receipts} == {receipts[0].version}
    assert store.archive().read(first.archive_id) == CONTENT
    assert store.lock(receipts[0]) == ("GOVERNANCE", receipts[0].retain_until)


class Passing:
    """A client that passes all calls on."""

    def __init__(self, s3: Any) -> None:
        self.s3 = s3

    def __getattr__(self, name: str) -> Any:
        return getattr(self.s3, name)


class Unbending(Passing):
    """S3 that changes no mode without the right to bypass."""

    def put_object_retention(self, **_: Any) -> Any:
        raise ClientError({"Error": {"Code": "AccessDenied"}}, "PutObjectRetention")


class Overtaken(Passing):
    """S3 where another mail extends the lock further in the same moment."""

    def __init__(self, store: Store) -> None:
        super().__init__(store.s3)
        self.store = store

    def put_object_retention(self, **asked: Any) -> Any:
        until = asked["Retention"]["RetainUntilDate"] + timedelta(seconds=5)
        self.s3.put_object_retention(**asked | {"Retention": {"Mode": "GOVERNANCE", "RetainUntilDate": until}})
        return self.s3.put_object_retention(**asked)


class Counting(Passing):
    """S3 that notes which calls are made."""

    def __init__(self, s3: Any) -> None:
        super().__init__(s3)
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        self.calls.append(name)
        return super().__getattr__(name)


class Contended:
    """An S3 where another writer is at the same key; the emulator has no such moment."""

    def put_object(self, **_: Any) -> Any:
        raise ClientError({"Error": {"Code": "ConditionalRequestConflict"}}, "PutObject")


def test_another_writer_at_the_same_content_is_transient(engine: Engine) -> None:
    """S3 answers 409 while two conditional writes meet; a moment later the deposit is there, and is adopted."""
    archive = S3Archive(Contended(), engine, bucket="archive", lock_mode="GOVERNANCE", retention=RETENTION)

    with pytest.raises(TransientError):
        archive.deposit("acme", CONTENT)
