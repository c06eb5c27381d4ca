"""The port `Archive`: the in-memory double and S3 with Object Lock store, report and refuse alike."""

import hashlib
import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber
from sqlalchemy import Engine

from mailroom.adapters.aws.archive_s3 import S3Archive
from mailroom.domain.errors import PermanentError, TransientError
from mailroom.ports.archive import Archive, Content
from mailroom.testing.archive import MemoryArchive
from mailroom.testing.retention_rules import MemoryRetentionRules
from mailroom.testing.strict_lock import StrictLockFake
from tests.support.archive_store import RETENTION, Passing, Store, key_of, store_on

CONTENT = b"From: anna@acme.test\r\n\r\nhello\r\n"


@dataclass(frozen=True, slots=True)
class Case:
    """A separate archive, and the two kinds of damage that can be done to what it stores."""

    archive: Archive
    lose: Callable[[str], None]
    alter: Callable[[str, bytes], None]
    #: The same archive with another retention for deposits from now on.
    keeping: Callable[[timedelta], Archive]


@pytest.fixture
def store(emulator: str, engine: Engine) -> Store:
    return store_on(emulator, engine)


@pytest.fixture
def strict(engine: Engine) -> Store:
    s3 = StrictLockFake()
    s3.create_bucket(Bucket="archive", ObjectLockEnabledForBucket=True)
    return Store(s3, engine, "archive")


@pytest.fixture(params=["memory", "store", "strict"])
def case(request: pytest.FixtureRequest) -> Case:
    if request.param == "memory":
        archive = MemoryArchive(retention=RETENTION)

        def keeping(retention: timedelta) -> Archive:
            archive.retention = retention
            return archive

        return Case(archive, lambda id_: archive.contents.__delitem__(id_), archive.contents.__setitem__, keeping)
    store: Store = request.getfixturevalue(request.param)
    return Case(store.archive(), store.lose, store.alter, lambda kept: store.archive(retention=kept))


def test_the_receipt_says_what_is_stored_and_until_when(case: Case) -> None:
    """The receipt is the evidence stored in the ledger; it must be complete by itself."""
    before = datetime.now(UTC)

    receipt = case.archive.deposit("acme", CONTENT)

    digest = hashlib.sha256(CONTENT).hexdigest()
    assert (receipt.archive_id, receipt.tenant, receipt.sha256) == (f"acme/{digest}", "acme", digest)
    assert receipt.size == len(CONTENT)
    assert receipt.version
    assert before - timedelta(seconds=1) <= receipt.retain_until - RETENTION <= datetime.now(UTC)


def test_the_same_bytes_again_give_the_same_receipt(case: Case) -> None:
    """A retried step finds that its work is done and does not repeat it."""
    first = case.archive.deposit("acme", CONTENT)

    second = case.archive.deposit("acme", CONTENT)

    assert second == first
    assert case.archive.find(first.archive_id) == first


def test_contents_deposited_together_have_the_receipts_of_those_deposited_alone(case: Case) -> None:
    """A mail has many attachments, for several tenants; some may be known."""
    known = case.archive.deposit("acme", CONTENT)
    contents = [Content(tenant, CONTENT + b"%d" % n) for tenant in ("globex", "acme") for n in range(7)]

    with ThreadPoolExecutor(4) as pool:
        first = case.archive.deposit_all([*contents, Content("acme", CONTENT)], pool=pool)
        again = case.archive.deposit_all(contents, pool=pool)

    assert [case.archive.read(one.archive_id) for one in first] == [*(one.content for one in contents), CONTENT]
    assert [one.tenant for one in first[:14]] == [one.tenant for one in contents]
    assert first[14] == known
    assert again == first[:14] == [case.archive.find(one.archive_id) for one in again]


def test_no_contents_are_no_deposits(case: Case) -> None:
    with ThreadPoolExecutor(1) as pool:
        assert case.archive.deposit_all([], pool=pool) == []


def test_a_content_that_fails_leaves_the_others_deposited(strict: Store) -> None:
    """As if each were deposited alone: what is stored never waits for its receipt until the mail is tried again."""
    refusing = Failing(strict.s3, key_of(f"acme/{hashlib.sha256(b'second').hexdigest()}"))
    contents = [Content("acme", one) for one in (b"first", b"second", b"third")]

    with ThreadPoolExecutor(3) as pool, pytest.raises(TransientError):
        strict.archive(s3=refusing).deposit_all(contents, pool=pool)

    receipts = [strict.archive().find(f"acme/{hashlib.sha256(one.content).hexdigest()}") for one in contents]
    assert [receipt is not None for receipt in receipts] == [True, False, True]


class Failing(Passing):
    """S3 that fails when this key is written."""

    def __init__(self, s3: Any, key: str) -> None:
        super().__init__(s3)
        self.key = key

    def put_object(self, **asked: Any) -> Any:
        if asked["Key"] == self.key:
            raise ClientError({"Error": {"Code": "InternalError"}}, "PutObject")
        return self.s3.put_object(**asked)


@pytest.mark.parametrize("size", [0, 1, (1 << 18) + 7])
def test_a_copy_is_what_was_deposited(case: Case, size: int) -> None:
    """For contents that need not be in memory as a whole: the same bytes as `read`, the same errors."""
    content = bytes(one % 251 for one in range(size))
    kept, target = case.archive.deposit("acme", content), io.BytesIO()

    case.archive.copy(kept.archive_id, target)

    assert target.getvalue() == content == case.archive.read(kept.archive_id)
    case.alter(kept.archive_id, b"other")
    with pytest.raises(PermanentError):
        case.archive.copy(kept.archive_id, io.BytesIO())
    case.lose(kept.archive_id)
    for archive_id in (kept.archive_id, "acme/nothing"):
        with pytest.raises(LookupError):
            case.archive.copy(archive_id, io.BytesIO())


def test_the_same_bytes_again_are_locked_for_as_long_as_a_new_deposit(case: Case) -> None:
    """A mail of today must not lose an attachment that came years ago when the first mail's lock ends."""
    first = case.archive.deposit("acme", CONTENT)

    before = datetime.now(UTC).replace(microsecond=0)
    second = case.keeping(3 * RETENTION).deposit("acme", CONTENT)

    assert (second.archive_id, second.version) == (first.archive_id, first.version)
    assert second.retain_until >= before + 3 * RETENTION
    assert case.archive.find(first.archive_id) == second


def test_the_lock_of_the_same_bytes_is_never_shortened(case: Case) -> None:
    """The first mail's receipt promises its date, whatever retention later mails have."""
    first = case.archive.deposit("acme", CONTENT)

    second = case.keeping(RETENTION / 10).deposit("acme", CONTENT)

    assert second == first
    assert case.archive.find(first.archive_id) == first


def test_receipt_says_when_the_store_confirmed_it(case: Case) -> None:
    """A reader of the receipt must know when bytes and lock were last compared with the store."""
    before = datetime.now(UTC).replace(microsecond=0)

    receipt = case.archive.deposit("acme", CONTENT)

    kept = case.archive.find(receipt.archive_id)
    assert kept is not None
    assert receipt.verified_at is not None
    assert before <= receipt.verified_at <= datetime.now(UTC)
    assert kept.verified_at == receipt.verified_at


def test_other_bytes_are_another_deposit(case: Case) -> None:
    """Content is the key; one changed byte is another document."""
    first, second = case.archive.deposit("acme", CONTENT), case.archive.deposit("acme", CONTENT + b".")

    assert first.archive_id != second.archive_id
    assert case.archive.read(second.archive_id) == CONTENT + b"."


def test_another_tenant_is_another_deposit(case: Case) -> None:
    """Tenants share no storage: the end of one tenant's retention must not affect another's document."""
    first, second = case.archive.deposit("acme", CONTENT), case.archive.deposit("globex", CONTENT)

    assert first.archive_id != second.archive_id
    assert first.key != second.key
    assert case.archive.read(first.archive_id) == case.archive.read(second.archive_id) == CONTENT


@pytest.mark.parametrize("content", [CONTENT, b"", bytes(range(256)) * 40], ids=["mail", "empty", "binary"])
def test_reading_returns_the_bytes(case: Case, content: bytes) -> None:
    """A digest over anything else proves nothing. Attachments may be empty."""
    receipt = case.archive.deposit("acme", content)

    assert case.archive.read(receipt.archive_id) == content


@pytest.mark.parametrize("archive_id", ["acme/" + "0" * 64, "acme", ""])
def test_an_unknown_id_is_no_deposit(case: Case, archive_id: str) -> None:
    """Ids come from URLs; an unknown one is answered 404."""
    assert case.archive.find(archive_id) is None
    with pytest.raises(LookupError):
        case.archive.read(archive_id)


def test_a_missing_deposit_is_reported_and_can_be_made_again(case: Case) -> None:
    """The raw mail may still be in the inbound bucket; a replay must repair the archive."""
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
def test_altered_bytes_are_never_returned(case: Case, other: bytes) -> None:
    """An archive that silently returns something else is worse than none."""
    receipt = case.archive.deposit("acme", CONTENT)
    case.alter(receipt.archive_id, other)

    with pytest.raises(PermanentError):
        case.archive.read(receipt.archive_id)


@pytest.mark.parametrize("other", [CONTENT[:-1], CONTENT.swapcase()], ids=["shorter", "as long"])
def test_a_receipt_is_never_given_for_other_bytes(case: Case, other: bytes) -> None:
    """It would be false evidence. Refusing the deposit would let a stranger block all later mail with this content."""
    receipt = case.archive.deposit("acme", CONTENT)
    case.alter(receipt.archive_id, other)

    again = case.archive.deposit("acme", CONTENT)

    assert again.version != receipt.version
    assert case.archive.find(receipt.archive_id) == again
    assert case.archive.read(receipt.archive_id) == CONTENT


def test_the_object_is_locked_until_the_date_on_the_receipt(store: Store) -> None:
    """Until then nobody without the bypass permission can delete it, our own code included."""
    receipt = store.archive().deposit("acme", CONTENT)
    where = {"Bucket": receipt.bucket, "Key": receipt.key, "VersionId": receipt.version}

    head = store.s3.head_object(**where)
    with pytest.raises(ClientError, match="AccessDenied"):
        store.s3.delete_object(**where)

    assert (receipt.lock_mode, receipt.key) == ("GOVERNANCE", key_of(receipt.archive_id))
    assert (head["ObjectLockMode"], head["ObjectLockRetainUntilDate"]) == ("GOVERNANCE", receipt.retain_until)
    assert store.archive().read(receipt.archive_id) == CONTENT


def test_an_object_whose_receipt_was_lost_is_adopted(store: Store) -> None:
    """The process may die between S3 and the database; the object is locked, so it can only be adopted."""
    first = store.archive().deposit("acme", CONTENT)
    store.lose_receipts()

    second = store.archive().deposit("acme", CONTENT)

    assert second == first
    assert store.archive().find(first.archive_id) == first
    assert len(store.versions()) == 1


def test_depositing_at_once_from_many_threads_gives_one_receipt(store: Store) -> None:
    """One attachment in eight mails of one minute: all eight must get the same deposit."""
    archive = store.archive()

    with ThreadPoolExecutor(8) as pool:
        receipts = set(pool.map(lambda _: archive.deposit("acme", CONTENT), range(8)))

    assert len({receipt.archive_id for receipt in receipts}) == 1
    assert receipts == {archive.find(receipt.archive_id) for receipt in receipts}
    assert archive.read(receipts.pop().archive_id) == CONTENT


def test_an_object_behind_a_delete_marker_is_deposited_again(store: Store) -> None:
    """A delete without a version hides a locked object behind a marker; its version stays and is still valid."""
    receipt = store.archive().deposit("acme", CONTENT)
    store.s3.delete_object(Bucket=receipt.bucket, Key=receipt.key)

    assert store.archive().read(receipt.archive_id) == CONTENT
    again = store.archive().deposit("acme", CONTENT)

    assert store.archive().read(again.archive_id) == CONTENT
    assert store.archive().find(again.archive_id) == again


def test_another_writer_at_the_same_content_is_transient(engine: Engine) -> None:
    """S3 answers 409 while two conditional writes meet; a moment later the deposit exists and is adopted."""
    # The emulator has no such race.
    s3 = boto3.client("s3", region_name="eu-west-1", aws_access_key_id="test", aws_secret_access_key="test")
    archive = S3Archive(s3, engine, bucket="archive", lock_mode="GOVERNANCE", rules=MemoryRetentionRules(RETENTION))

    with Stubber(s3) as stub:
        stub.add_client_error("put_object", service_error_code="ConditionalRequestConflict", http_status_code=409)
        with pytest.raises(TransientError):
            archive.deposit("acme", CONTENT)
