"""The port `Archive`: the twin in memory and S3 with Object Lock keep, tell and refuse alike."""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from sqlalchemy import Engine, text

from mailroom.adapters.archive_s3 import S3Archive
from mailroom.domain.errors import PermanentError, TransientError
from mailroom.ports import Archive
from mailroom.testing import MemoryArchive

CONTENT = b"From: anna@acme.test\r\n\r\nhello\r\n"
RETENTION = timedelta(days=10)
_numbers = count()


@dataclass(frozen=True, slots=True)
class Case:
    """An archive of its own, and the two things that must never happen to what it keeps."""

    archive: Archive
    lose: Callable[[str], None]
    alter: Callable[[str, bytes], None]


@dataclass(frozen=True, slots=True)
class Store:
    """A bucket with Object Lock and a database, as an administrator sees them."""

    s3: Any
    engine: Engine
    bucket: str

    def archive(self, lock_mode: str = "GOVERNANCE") -> S3Archive:
        return S3Archive(self.s3, self.engine, bucket=self.bucket, lock_mode=lock_mode, retention=RETENTION)

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
        return Case(archive, lambda id_: archive.contents.__delitem__(id_), archive.contents.__setitem__)
    store: Store = request.getfixturevalue("store")
    return Case(store.archive(), store.lose, store.alter)


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
def test_a_receipt_is_refused_where_other_bytes_are_kept(case: Case, other: bytes) -> None:
    """The receipt says that this content is kept; given for other bytes, it would be false evidence."""
    receipt = case.archive.deposit("acme", CONTENT)
    case.alter(receipt.archive_id, other)

    with pytest.raises(PermanentError):
        case.archive.deposit("acme", CONTENT)


def test_the_object_is_locked_until_the_date_on_the_receipt(store: Store) -> None:
    """Until then nobody without the right to bypass removes it, our own code included."""
    receipt = store.archive().deposit("acme", CONTENT)
    where = {"Bucket": receipt.bucket, "Key": receipt.key, "VersionId": receipt.version}

    head = store.s3.head_object(**where)  # moto 5.2.5 answers GetObjectRetention with 500
    with pytest.raises(ClientError, match="AccessDenied"):
        store.s3.delete_object(**where)

    assert (receipt.lock_mode, receipt.key) == ("GOVERNANCE", key_of(receipt.archive_id))
    assert (head["ObjectLockMode"], head["ObjectLockRetainUntilDate"]) == ("GOVERNANCE", receipt.retain_until)
    assert store.archive().read(receipt.archive_id) == CONTENT


def test_an_object_without_a_lock_under_the_key_is_refused(store: Store) -> None:
    """Somebody with write access put it there; without retention it can vanish tomorrow."""
    store.put(key_of(f"acme/{hashlib.sha256(CONTENT).hexdigest()}"), CONTENT)

    with pytest.raises(PermanentError):
        store.archive().deposit("acme", CONTENT)


@pytest.mark.parametrize("other", [b"something else", CONTENT.swapcase()], ids=["other size", "same size"])
def test_something_else_under_the_key_is_refused(store: Store, other: bytes) -> None:
    """No receipt was ever given here, so nothing but the bytes themselves can tell."""
    archive_id = f"acme/{hashlib.sha256(CONTENT).hexdigest()}"
    store.put_locked(key_of(archive_id), other)

    with pytest.raises(PermanentError):
        store.archive().deposit("acme", CONTENT)

    assert store.archive().find(archive_id) is None


def test_an_object_whose_receipt_was_lost_is_adopted(store: Store) -> None:
    """The process may die between S3 and the database; the object is locked, so it can only be taken over."""
    first = store.archive().deposit("acme", CONTENT)
    store.execute("delete from deposit")

    second = store.archive().deposit("acme", CONTENT)

    assert second == first
    assert store.archive().find(first.archive_id) == first
    assert len(store.versions()) == 1


def test_a_repeated_receipt_tells_of_the_lock_that_the_object_has(store: Store) -> None:
    """The mode in the settings may have changed since; the object's lock has not."""
    first = store.archive("GOVERNANCE").deposit("acme", CONTENT)

    second = store.archive("COMPLIANCE").deposit("acme", CONTENT)

    assert second == first


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


class Contended:
    """An S3 where another writer is at the same key; the emulator has no such moment."""

    def put_object(self, **_: Any) -> Any:
        raise ClientError({"Error": {"Code": "ConditionalRequestConflict"}}, "PutObject")


def test_another_writer_at_the_same_content_is_transient(engine: Engine) -> None:
    """S3 answers 409 while two conditional writes meet; a moment later the deposit is there, and is adopted."""
    archive = S3Archive(Contended(), engine, bucket="archive", lock_mode="GOVERNANCE", retention=RETENTION)

    with pytest.raises(TransientError):
        archive.deposit("acme", CONTENT)
