"""The second copy: in another bucket, confirmed, before the receipt is recorded; an interrupted deposit is completed."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from sqlalchemy import Engine

from mailroom.adapters.postgres.archive.journal import SqlJournal
from mailroom.archive.access import JournalledArchive, Reader
from mailroom.domain.archive.manifests import RetentionClass
from mailroom.domain.archive.retention import Lock, LockRefused
from mailroom.domain.errors import ConfigurationError, NotPermitted, PermanentError, TransientError
from tests.support.archive_store import Away, Counting, Passing, Unbending
from tests.support.plain_manifest import MANIFEST
from tests.support.two_places import FIRST, SECOND, TwoPlaces, killed_at, two_places

CONTENT = b"From: anna@acme.test\r\n\r\nhello\r\n"


@pytest.fixture
def both(engine: Engine) -> TwoPlaces:
    return two_places(engine)


def test_a_deposit_is_in_both_places_with_one_lock(both: TwoPlaces) -> None:
    receipt = both.archive().deposit("acme", CONTENT)

    [first], [second] = both.stored()
    assert first["Key"] == second["Key"] == receipt.key
    locked = ("COMPLIANCE", receipt.retain_until)
    assert both.copies() == [
        ("first", FIRST, first["VersionId"], *locked),
        ("second", SECOND, second["VersionId"], *locked),
    ]
    assert both.kinds() == ["deposit", "copy"]
    assert both.archive().read(receipt.archive_id) == CONTENT


def test_a_second_copy_costs_one_head_for_each_copy(both: TwoPlaces) -> None:
    """With one place, S3's check of the put's own SHA-256 is enough."""
    alone, first, second = Counting(both.first), Counting(both.first), Counting(both.second)

    both.archive(copied=False, first=alone).deposit("acme", CONTENT)
    both.archive(first=first, second=second).deposit("acme", CONTENT + b".")

    assert alone.calls == ["put_object"]
    assert first.calls == second.calls == ["put_object", "head_object"]


def test_the_same_again_adds_nothing(both: TwoPlaces) -> None:
    """A retried mail."""
    first = both.archive().deposit("acme", CONTENT)

    assert both.archive().deposit("acme", CONTENT) == first
    assert [len(one) for one in both.stored()] == [1, 1]
    assert both.kinds() == ["deposit", "copy"]


def test_many_at_once_store_it_once_in_each_place(both: TwoPlaces) -> None:
    """The same newsletter for many, on all workers."""
    with ThreadPoolExecutor(8) as pool:
        receipts = set(pool.map(lambda _: both.archive().deposit("acme", CONTENT).version, range(16)))

    assert [len(one) for one in both.stored()] == [1, 1]
    assert receipts == {both.stored()[0][0]["VersionId"]}
    assert sorted(both.kinds())[:2] == ["copy", "deposit"]


@pytest.mark.parametrize(
    ("point", "passes"),
    [
        ("before put", 0),
        ("after put", 0),
        ("before second copy", 0),
        ("before put", 1),
        ("after put", 1),
        ("after second copy", 0),
        ("before commit of record", 0),
    ],
)
def test_a_process_that_ends_on_the_way_has_given_no_receipt(both: TwoPlaces, point: str, passes: int) -> None:
    """The retry completes it: both keys follow from the content, so that nothing is left over in either bucket."""
    with killed_at(point, passes=passes):
        both.archive().deposit("acme", CONTENT)

    assert (both.copies(), both.kinds(), both.rows("select 1 from deposit")) == ([], [], [])
    receipt = both.archive().deposit("acme", CONTENT)

    assert [len(one) for one in both.stored()] == [1, 1]
    assert both.kinds() == ["deposit", "copy"]
    assert both.archive().find(receipt.archive_id) == receipt


def test_a_process_that_ends_after_the_record_has_given_it(both: TwoPlaces) -> None:
    with killed_at("after commit of record"):
        both.archive().deposit("acme", CONTENT)

    assert len(both.copies()) == 2
    both.archive().deposit("acme", CONTENT)
    assert both.kinds() == ["deposit", "copy"]


class Lying(Passing):
    """A store that answers as if it had stored the object, but has other bytes, no lock, another date or mode."""

    def __init__(self, s3: Any, change: Callable[[dict[str, Any]], object]) -> None:
        super().__init__(s3)
        self.change = change

    def put_object(self, **asked: Any) -> Any:
        self.change(asked)
        return self.s3.put_object(**asked)


def _other_bytes(asked: dict[str, Any]) -> None:
    asked["Body"] = bytes(len(asked["Body"]))
    asked.pop("ChecksumSHA256")


def _no_lock(asked: dict[str, Any]) -> None:
    del asked["ObjectLockMode"], asked["ObjectLockRetainUntilDate"]


LIES: dict[str, Callable[[dict[str, Any]], object]] = {
    "other bytes": _other_bytes,
    "fewer bytes": lambda asked: (asked.update(Body=asked["Body"][1:]), asked.pop("ChecksumSHA256")),
    "no lock": _no_lock,
    "an earlier date": lambda asked: asked.update(
        ObjectLockRetainUntilDate=asked["ObjectLockRetainUntilDate"] - timedelta(seconds=1)
    ),
    "a weaker mode": lambda asked: asked.update(ObjectLockMode="GOVERNANCE"),
}


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("place", ["first", "second"])
def test_a_copy_that_is_not_as_it_was_written_is_no_copy(both: TwoPlaces, place: str, lie: str) -> None:
    """No receipt, for deposits and manifests: the mail is tried again."""
    lying: Any = {place: Lying(getattr(both, place), LIES[lie])}

    with pytest.raises(TransientError):
        both.archive(**lying).deposit("acme", CONTENT)
    assert both.copies() == []
    if place == "second":
        with pytest.raises(TransientError):
            both.manifests(**lying).keep(MANIFEST)


def test_without_the_second_place_there_is_no_receipt(both: TwoPlaces) -> None:
    """The mail waits in its queue: one copy is not what was promised."""
    with pytest.raises(TransientError):
        both.archive(second=Away(both.second)).deposit("acme", CONTENT)
    assert both.kinds() == []

    both.archive().deposit("acme", CONTENT)

    assert both.kinds() == ["deposit", "copy"]


def test_a_manifest_is_in_both_places_with_the_same_bytes(both: TwoPlaces) -> None:
    """A rebuild may have the second bucket alone."""
    both.manifests().keep(MANIFEST)
    both.manifests().keep(MANIFEST)
    both.manifests().keep(
        replace(MANIFEST, attempt=2, envelope=replace(MANIFEST.envelope, recipients=("bcc@acme.test",)))
    )

    first, second = both.stored()
    assert len(first) == len(second) == 2
    assert sorted(one["ETag"] for one in first) == sorted(one["ETag"] for one in second)


@pytest.mark.parametrize(
    ("point", "passes"), [("after put", 0), ("before second copy", 0), ("before put", 1), ("after put", 1)]
)
def test_a_manifest_that_was_interrupted_is_completed(both: TwoPlaces, point: str, passes: int) -> None:
    with killed_at(point, passes=passes):
        both.manifests().keep(MANIFEST)

    both.manifests().keep(MANIFEST)
    both.manifests().keep(MANIFEST)

    first, second = both.stored()
    assert {one["ETag"] for one in second} <= {one["ETag"] for one in first}
    assert (len(second), len(first) <= 2) == (1, True)


def test_a_bucket_of_before_gets_its_second_copies(both: TwoPlaces) -> None:
    """The setting came later; each copy is read, compared, written, confirmed and journalled."""
    kept = [both.archive(copied=False).deposit("acme", CONTENT + bytes([number])) for number in range(3)]
    copies = both.archive().copies

    for one in (*kept, *kept):
        copies.add_second(one.archive_id)

    assert [len(one) for one in both.stored()] == [3, 3]
    assert {(place, until) for place, _, _, _, until in both.copies()} == {
        (place, one.retain_until) for one in kept for place in ("first", "second")
    }
    assert sorted(both.kinds()) == sorted(["deposit", "copy"] * 3)
    with pytest.raises(ConfigurationError):
        both.archive(copied=False).copies.add_second(both.archive(copied=False).deposit("acme", b"more").archive_id)


@pytest.mark.parametrize(("good", "bad"), [("first", "second"), ("second", "first")])
def test_a_lost_copy_is_repaired_from_the_other(both: TwoPlaces, good: str, bad: str) -> None:
    """In COMPLIANCE nobody loses one but the store itself; its lock must last as long as before."""
    receipt = both.archive().deposit("acme", CONTENT)
    lose(both, bad)

    repaired = both.archive().copies.repair(receipt.archive_id, from_place=good, to_place=bad)

    assert [len(one) for one in both.stored()] == [1, 1]
    versions = {place: version for place, _, version, _, _ in both.copies()}
    assert versions == {"first": both.stored()[0][0]["VersionId"], "second": both.stored()[1][0]["VersionId"]}
    assert {until for *_, until in both.copies()} == {receipt.retain_until}
    assert both.archive().find(receipt.archive_id) == repaired
    assert both.archive().read(receipt.archive_id) == CONTENT
    assert both.kinds() == ["deposit", "copy", "repair", "copy"]


@pytest.mark.parametrize("point", ["before repair", "after put", "after repair", "before commit of record"])
def test_an_interrupted_repair_is_completed(both: TwoPlaces, point: str) -> None:
    receipt = both.archive().deposit("acme", CONTENT)
    lose(both, "first")

    with killed_at(point):
        both.archive().copies.repair(receipt.archive_id, from_place="second", to_place="first")
    both.archive().copies.repair(receipt.archive_id, from_place="second", to_place="first")

    assert [len(one) for one in both.stored()] == [1, 1]
    assert both.archive().read(receipt.archive_id) == CONTENT


def test_damage_is_never_copied(both: TwoPlaces) -> None:
    """Both bad: an incident, and nothing is written."""
    receipt = both.archive().deposit("acme", CONTENT)
    both.second._buckets[SECOND][receipt.key][0].body = b"rotten"
    before = both.stored()

    with pytest.raises(PermanentError):
        both.archive().copies.repair(receipt.archive_id, from_place="second", to_place="first")
    lose(both, "second")
    with pytest.raises(LookupError):
        both.archive().copies.repair(receipt.archive_id, from_place="second", to_place="first")
    for places in (("first", "third"), ("first", "first"), ("third", "first")):
        with pytest.raises(ConfigurationError):
            both.archive().copies.repair(receipt.archive_id, from_place=places[0], to_place=places[1])

    assert both.stored()[0] == before[0]
    assert both.kinds() == ["deposit", "copy"]


def test_an_extension_reaches_both_copies_and_is_journalled(both: TwoPlaces) -> None:
    receipt = both.archive().deposit("acme", CONTENT)
    longer = Lock("COMPLIANCE", receipt.retain_until + timedelta(days=1))

    extended = both.archive().copies.extend(receipt.archive_id, longer)

    assert extended.retain_until == longer.until
    assert {until for *_, until in both.copies()} == {longer.until}
    assert both.kinds() == ["deposit", "copy", "extend", "extend"]
    for less in (Lock("COMPLIANCE", receipt.retain_until), Lock("GOVERNANCE", longer.until + timedelta(days=1))):
        with pytest.raises(LockRefused):
            both.archive().copies.extend(receipt.archive_id, less)
    with pytest.raises(LookupError):
        both.archive().copies.extend("acme/nothing", longer)


def test_a_second_copy_of_a_document_is_locked_as_the_first(both: TwoPlaces) -> None:
    """The second place came later, and then the same bytes with a virus: a document there too."""
    first = both.archive(copied=False).deposit("acme", CONTENT)

    both.archive().deposit("acme", CONTENT, retention=RetentionClass.VIRUS)

    assert {until for *_, until in both.copies()} == {first.retain_until}


def test_a_document_that_was_a_virus_is_extended_in_both_places(both: TwoPlaces) -> None:
    both.archive().deposit("acme", CONTENT, retention=RetentionClass.VIRUS)
    receipt = both.archive().deposit("acme", CONTENT)

    assert {until for *_, until in both.copies()} == {receipt.retain_until}
    assert receipt.retain_until - datetime.now(UTC) > timedelta(days=3600)
    assert both.kinds() == ["deposit", "copy", "extend", "extend"]


def test_no_place_can_be_shortened_with_any_credentials(both: TwoPlaces) -> None:
    """Mutations 85 to 87, on the strict double: overwrite, plain delete, delete with bypass, shorten, weaken."""
    receipt = both.archive().deposit("acme", CONTENT)
    which: Any = {"Bucket": FIRST, "Key": receipt.key, "VersionId": receipt.version}
    both.first.delete_object(Bucket=FIRST, Key=receipt.key)
    both.first.put_object(Bucket=FIRST, Key=receipt.key, Body=b"another")
    refused: list[Callable[[], object]] = [
        lambda: both.first.delete_object(**which),
        lambda: both.first.delete_object(**which, BypassGovernanceRetention=True),
        *(
            lambda mode=mode, until=until: both.first.put_object_retention(  # type: ignore[misc]
                **which, Retention={"Mode": mode, "RetainUntilDate": until}, BypassGovernanceRetention=True
            )
            for mode, until in [
                ("COMPLIANCE", receipt.retain_until - timedelta(days=1)),
                ("GOVERNANCE", receipt.retain_until + timedelta(days=1)),
            ]
        ),
    ]
    for call in refused:
        with pytest.raises(ClientError):
            call()

    assert both.archive().read(receipt.archive_id) == CONTENT
    assert both.archive().deposit("acme", CONTENT).version == receipt.version


def test_what_s3_refuses_to_the_depositor_is_entered_in_the_journal(both: TwoPlaces) -> None:
    """Mutation 86, its second half: the refusal is an entry, once until it is granted again."""
    both.archive().deposit("acme", CONTENT, retention=RetentionClass.VIRUS)
    unbending: Any = Unbending(both.first)
    reader, journal = Reader("worker", "process"), SqlJournal(both.engine)
    archive = JournalledArchive(both.archive(first=unbending), journal, reader)

    for _ in range(2):
        with pytest.raises(NotPermitted, match="s3:PutObjectRetention"):
            archive.deposit("acme", CONTENT)

    entered = "select subject, payload from journal where stream = 'operations' and kind = 'refused'"
    assert both.rows(entered) == [(None, '{"kind":"refused","permission":"s3:PutObjectRetention"}')]


def lose(both: TwoPlaces, place: str) -> None:
    """Lose everything in a bucket, as only the store itself can."""
    s3 = getattr(both, place)
    s3._buckets[FIRST if place == "first" else SECOND].clear()
