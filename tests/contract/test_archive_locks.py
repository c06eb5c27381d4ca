"""The archive's locks on S3: extended before the receipt says so, found below foreign versions."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine

from mailroom.adapters.postgres.archive.receipts import SqlReceipts
from mailroom.domain.errors import NotPermitted, TransientError
from tests.support.archive_store import RETENTION, Counting, Overtaken, Refusing, Store, Unbending, store_on
from tests.support.lock_blind_s3 import LockBlind

CONTENT = b"From: anna@acme.test\r\n\r\nhello\r\n"
DIGEST = hashlib.sha256(CONTENT).hexdigest()
KEY = f"acme/{DIGEST[:2]}/{DIGEST}"


@pytest.fixture
def store(emulator: str, engine: Engine) -> Store:
    return store_on(emulator, engine)


def test_the_same_bytes_without_a_lock_are_not_taken_for_the_deposit(store: Store) -> None:
    """An object without a lock may vanish tomorrow; ours is put on top of it."""
    stranger = store.put(KEY, CONTENT)

    receipt = store.archive().deposit("acme", CONTENT)

    assert receipt.version != stranger
    assert store.lock(receipt) == ("GOVERNANCE", receipt.retain_until)
    assert store.findings() == [(KEY, stranger)]


@pytest.mark.parametrize("other", [b"something else", CONTENT.swapcase()], ids=["other size", "same size"])
def test_foreign_content_under_the_key_is_reported_and_blocks_nothing(
    store: Store, other: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """A stranger may lock it for ten years: refusing would lose every mail with this content until then."""
    stranger = store.put_locked(KEY, other)

    first, second = store.archive().deposit("acme", CONTENT), store.archive().deposit("acme", CONTENT)

    assert second == first
    assert first.version != stranger
    assert store.archive().read(first.archive_id) == CONTENT
    assert store.findings() == [(KEY, stranger)]
    assert [record.levelname for record in caplog.records if stranger in record.message] == ["WARNING"]


def test_the_locked_version_is_found_under_what_a_stranger_put_on_top(store: Store) -> None:
    """The bytes exist and are locked: a second copy for each mail would let a stranger fill the archive."""
    first = store.archive().deposit("acme", CONTENT)
    store.put(KEY, CONTENT)
    store.put(KEY, b"something else")
    store.put(KEY + "0", CONTENT)
    store.lose_receipts()

    second = store.archive().deposit("acme", CONTENT)

    assert second == first
    assert len(store.versions()) == 4


def test_many_deposits_at_once_over_a_stranger_put_one_version(store: Store) -> None:
    """Each puts its own only where the newest version is still the one it saw; the others find that one."""
    store.put(KEY, b"something else")
    archive = store.archive()

    with ThreadPoolExecutor(8) as pool:
        receipts = set(pool.map(lambda _: archive.deposit("acme", CONTENT), range(8)))

    assert len({receipt.version for receipt in receipts}) == 1
    assert len(store.versions()) == 2


def test_a_stricter_mode_in_the_settings_makes_the_lock_stricter(store: Store) -> None:
    """Otherwise the receipt of known content would say GOVERNANCE for ever, and an administrator could delete it."""
    first = store.archive("GOVERNANCE").deposit("acme", CONTENT)

    second = store.archive("COMPLIANCE").deposit("acme", CONTENT)

    assert (second.version, second.lock_mode) == (first.version, "COMPLIANCE")
    assert store.lock(second) == ("COMPLIANCE", second.retain_until)
    assert store.archive("GOVERNANCE").deposit("acme", CONTENT) == second


def test_where_a_lock_cannot_be_made_stricter_a_stricter_version_is_put(store: Store) -> None:
    """S3 may require the bypass permission to change a mode, and no depositor has it; the promise must hold."""
    first = store.archive("GOVERNANCE").deposit("acme", CONTENT)
    unbending: Any = Unbending(store.s3)

    second = store.archive("COMPLIANCE", s3=unbending).deposit("acme", CONTENT)

    assert second.version != first.version
    assert store.lock(second) == ("COMPLIANCE", second.retain_until)
    assert store.findings() == []


def test_a_lock_is_extended_in_the_store_before_the_receipt_says_so(store: Store) -> None:
    """A receipt is evidence; a process that dies between the two may have promised too little, never too much."""
    first = store.archive().deposit("acme", CONTENT)

    second = store.archive(retention=3 * RETENTION).deposit("acme", CONTENT)
    store.execute("update deposit_copy set retain_until = :until", until=first.retain_until)
    third = store.archive(retention=3 * RETENTION).deposit("acme", CONTENT)

    assert store.lock(second) == ("GOVERNANCE", second.retain_until)
    assert third == second
    assert store.archive().find(first.archive_id) == second


def test_a_lock_that_is_long_enough_costs_no_call(store: Store) -> None:
    """One logo in a thousand mails a day: every mail would pay a call for a date that differs by seconds."""
    counting: Any = Counting(store.s3)
    store.archive(s3=counting).deposit("acme", CONTENT)
    store.archive(s3=counting).deposit("acme", CONTENT)

    assert counting.calls == ["put_object", "put_object", "get_object"]


def test_an_extension_that_another_mail_made_first_is_taken(store: Store) -> None:
    """S3 refuses to shorten a lock by a second; that is no missing permission."""
    first = store.archive().deposit("acme", CONTENT)
    overtaken: Any = Overtaken(store)

    second = store.archive(retention=3 * RETENTION, s3=overtaken).deposit("acme", CONTENT)

    assert second.version == first.version
    assert store.lock(second) == ("GOVERNANCE", second.retain_until)


def test_receipts_of_one_content_only_grow(store: Store) -> None:
    """Two mails record their extensions in either order; the later date must stay."""
    long = store.archive(retention=3 * RETENTION).deposit("acme", CONTENT)

    SqlReceipts(store.engine).record(replace(long, retain_until=long.retain_until - RETENTION))

    assert store.archive().find(long.archive_id) == long


def test_a_lock_that_may_not_be_read_is_a_missing_permission(store: Store, emulator: str) -> None:
    """S3 omits the lock for a caller who may not read it; read as "no lock", each mail would put another copy."""
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
    """S3 confirmed the lock with the put; no second call is needed."""
    caller = LockBlind(emulator)

    receipt = store.archive(s3=caller.client).deposit("acme", CONTENT)

    assert store.lock(receipt) == ("GOVERNANCE", receipt.retain_until)
    assert caller.asked == 0


def test_a_delete_marker_does_not_block_later_mail(store: Store) -> None:
    """A delete without a version hides content; S3 then takes a new version as if the key were free."""
    first = store.archive().deposit("acme", CONTENT)
    store.s3.delete_object(Bucket=first.bucket, Key=first.key)

    receipts = [store.archive().deposit("acme", CONTENT) for _ in range(3)]

    assert {receipt.version for receipt in receipts} == {receipts[0].version}
    assert store.archive().read(first.archive_id) == CONTENT
    assert store.lock(receipts[0]) == ("GOVERNANCE", receipts[0].retain_until)


@pytest.mark.parametrize(
    ("code", "heads"),
    [("AccessDenied", "checksums"), ("InvalidRequest", "all")],
    ids=["another's KMS key", "a key that S3 does not have"],
)
def test_an_unreadable_foreign_version_blocks_nothing(store: Store, code: str, heads: str) -> None:
    """A version that only its writer can decrypt would else stop every later mail with this content, or all work."""
    stranger = store.put(KEY, b"something else")
    s3: Any = Refusing(store.s3, code, {stranger}, heads=heads)

    first, second = (store.archive(s3=s3).deposit("acme", CONTENT) for _ in range(2))

    assert second == first
    assert store.archive().read(first.archive_id) == CONTENT
    assert store.findings() == [(KEY, stranger)]


def test_own_deposits_that_may_not_be_decrypted_are_a_missing_permission(store: Store) -> None:
    """Every mail would fail at it; taken for a foreign version, each would put another copy."""
    first = store.archive().deposit("acme", CONTENT)
    s3: Any = Refusing(store.s3, "AccessDenied", {first.version}, heads="checksums")

    with pytest.raises(NotPermitted, match="kms:Decrypt"):
        store.archive(s3=s3).deposit("acme", CONTENT)

    assert len(store.versions()) == 1


def test_a_key_that_may_not_be_used_pauses_until_it_may(store: Store) -> None:
    """The probe must test the permission that was missing: else work resumes and mail ends in the dead letters."""
    first = store.archive().deposit("acme", CONTENT)
    s3: Any = Refusing(store.s3, "AccessDenied", {first.version}, heads="checksums")

    with pytest.raises(NotPermitted, match="kms:Decrypt"):
        store.archive(s3=s3).deposit("acme", CONTENT)
    with pytest.raises(NotPermitted, match="kms:Decrypt"):
        store.archive().check()
    s3.versions.clear()
    store.archive().check()

    assert store.archive(s3=s3).deposit("acme", CONTENT) == first


def test_locks_that_may_not_be_extended_pause_until_they_may(store: Store) -> None:
    """Probing must change nothing: the lock is as before when the permission is granted."""
    first = store.archive().deposit("acme", CONTENT)
    unbending: Any = Unbending(store.s3)
    archive = store.archive(retention=3 * RETENTION, s3=unbending)

    with pytest.raises(NotPermitted, match="s3:PutObjectRetention"):
        archive.deposit("acme", CONTENT)
    with pytest.raises(NotPermitted, match="s3:PutObjectRetention"):
        store.archive().check()
    unbending.bends = True
    store.archive().check()

    assert store.lock(first) == ("GOVERNANCE", first.retain_until)
    assert store.lock(archive.deposit("acme", CONTENT))[1] > first.retain_until


def test_a_foreign_version_without_access_blocks_nothing(store: Store) -> None:
    """In a bucket with ACLs, an object of another account belongs to that account: no policy of ours opens it."""
    first = store.archive().deposit("acme", CONTENT)
    stranger = store.put_locked(KEY, b"something else")
    s3: Any = Refusing(store.s3, "AccessDenied", {stranger}, heads="all")

    assert store.archive(s3=s3).deposit("acme", CONTENT) == first


def test_deposits_that_a_lifecycle_rule_moved_to_glacier_are_found(store: Store) -> None:
    """They cannot be read within hours; the checksum that S3 verified at the put says what they contain."""
    first = store.archive().deposit("acme", CONTENT)
    s3: Any = Refusing(store.s3, "InvalidObjectState", {first.version})

    second = store.archive(retention=3 * RETENTION, s3=s3).deposit("acme", CONTENT)

    assert second.version == first.version
    assert store.lock(second) == ("GOVERNANCE", second.retain_until)


def test_a_bucket_that_may_not_be_read_is_a_missing_permission(store: Store) -> None:
    """The pause names the permission to grant, and ends by itself once it is granted."""
    first = store.archive().deposit("acme", CONTENT)
    s3: Any = Refusing(store.s3, "AccessDenied", {first.version}, heads="all")
    archive = store.archive(s3=s3)

    with pytest.raises(NotPermitted) as refused:
        archive.deposit("acme", CONTENT)
    with pytest.raises(NotPermitted):
        store.archive().check()
    s3.versions.clear()
    store.archive().check()

    assert refused.value.permission == "s3:GetObject"
    assert archive.deposit("acme", CONTENT) == first
