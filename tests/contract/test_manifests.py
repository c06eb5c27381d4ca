"""The port `Manifests`: the in-memory double and S3 with Object Lock store, renew and find alike."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import boto3
import pytest

from mailroom.adapters.aws.manifests_s3 import S3Manifests
from mailroom.archive.mail_manifests import keep_unopened
from mailroom.domain.archive.manifests import Manifest, RetentionClass, Source
from mailroom.domain.errors import PermanentError, TransientError
from mailroom.domain.inbound.received_email import Entry, Envelope, ObjectRef, State
from mailroom.domain.inbound.verdicts import Verdict, Verdicts
from mailroom.ports.manifests import Manifests
from mailroom.testing.manifests import MemoryManifests
from mailroom.testing.retention_rules import MemoryRetentionRules
from tests.support.archive_store import Refusing

AT = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
REF = ObjectRef("inbound", "in/abc", "v1")
ENVELOPE = Envelope(("anna@acme.test",), "carl@sender.test", AT, Verdicts(*[Verdict.PASS] * 5))
MANIFEST = Manifest(
    tenant="acme",
    ref=REF,
    received_at=AT,
    envelope=ENVELOPE,
    named_by=Source.SES,
    attempt=1,
    retention=RetentionClass.DOCUMENT,
    sha256="0" * 64,
    size=7,
)
_numbers = count()


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket with Object Lock, as an administrator sees it."""

    s3: Any
    name: str

    def manifests(self, days: int = 3650) -> S3Manifests:
        return S3Manifests(
            self.s3, bucket=self.name, lock_mode="GOVERNANCE", rules=MemoryRetentionRules(timedelta(days=days))
        )

    def locks(self) -> list[timedelta]:
        """How long each version is locked, newest first."""
        listed = self.s3.list_object_versions(Bucket=self.name).get("Versions", [])
        heads = [self.s3.head_object(Bucket=self.name, Key=one["Key"], VersionId=one["VersionId"]) for one in listed]
        return [head["ObjectLockRetainUntilDate"] - datetime.now(UTC) for head in heads]


@pytest.fixture
def bucket(emulator: str) -> Bucket:
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    s3: Any = boto3.client("s3", endpoint_url=emulator, region_name="eu-west-1", **keys)
    name = f"manifests-{next(_numbers)}"
    where: Any = {"LocationConstraint": "eu-west-1"}
    s3.create_bucket(Bucket=name, CreateBucketConfiguration=where, ObjectLockEnabledForBucket=True)
    return Bucket(s3, name)


@pytest.fixture(params=["memory", "s3"])
def manifests(request: pytest.FixtureRequest) -> Manifests:
    if request.param == "memory":
        return MemoryManifests()
    found: Bucket = request.getfixturevalue("bucket")
    return found.manifests()


def said(found: Manifest) -> Manifest:
    return replace(found, written_at=None, retain_until=None)


def of_two(*recipients: str) -> Manifest:
    return replace(MANIFEST, envelope=replace(ENVELOPE, recipients=recipients))


def test_a_manifest_is_found_by_the_object_alone(manifests: Manifests) -> None:
    """The mail is announced again without its notification and version; only bucket and key are known."""
    manifests.keep(MANIFEST)
    manifests.keep(replace(MANIFEST, tenant="globex", envelope=replace(ENVELOPE, recipients=("bob@globex.test",))))
    manifests.keep(replace(MANIFEST, ref=ObjectRef("inbound", "in/other")))

    found = manifests.find(ObjectRef("inbound", "in/abc"))

    assert sorted((one.tenant, one.envelope.recipients) for one in found) == [
        ("acme", ("anna@acme.test",)),
        ("globex", ("bob@globex.test",)),
    ]
    assert said(found[0]) == MANIFEST


def test_an_object_without_a_manifest_is_not_found(manifests: Manifests) -> None:
    """A new mail without its notification: its headers decide."""
    assert list(manifests.find(REF)) == []


def test_the_same_again_is_no_second_version(manifests: Manifests) -> None:
    """A retried step finds that its work is done; each version is stored for ten years."""
    manifests.keep(MANIFEST)
    manifests.keep(replace(MANIFEST, attempt=2))

    assert [one.attempt for one in manifests.find(REF)] == [1]


def test_a_renewed_manifest_is_a_new_version_with_all_recipients(manifests: Manifests) -> None:
    """The envelope came later than S3's event, and names other recipients than the headers."""
    manifests.keep(replace(of_two("anna@acme.test"), named_by=Source.HEADERS))
    manifests.keep(replace(of_two("bcc@acme.test"), attempt=2))

    found = manifests.find(REF)

    assert [one.envelope.recipients for one in found] == [("anna@acme.test",), ("anna@acme.test", "bcc@acme.test")]
    assert [one.named_by for one in found] == [Source.HEADERS, Source.SES]


def test_another_mail_under_the_same_key_has_its_own(manifests: Manifests) -> None:
    """Somebody overwrote the object; the two mails' recipients must not be mixed."""
    second = replace(of_two("bob@acme.test"), ref=replace(REF, version="v2"), sha256="1" * 64)
    manifests.keep(MANIFEST)
    manifests.keep(second)
    manifests.keep(second)

    assert [one.envelope.recipients for one in manifests.find(REF)] == [("anna@acme.test",), ("bob@acme.test",)]


@pytest.mark.parametrize(("recipients", "times"), [(("anna@acme.test",), 0), (("anna@acme.test", "bcc@acme.test"), 1)])
def test_a_mail_that_is_given_up_keeps_a_manifest_of_missing_recipients(
    manifests: Manifests, recipients: tuple[str, ...], times: int
) -> None:
    """A mail that was decrypted before has its manifests; a recipient in none of them would never get it again."""
    manifests.keep(MANIFEST)
    envelope = replace(ENVELOPE, recipients=recipients)

    keep_unopened(Entry("1", REF, State.FAILED, envelope, 1, received_at=AT), "poison", manifests=manifests)

    assert sum(one.tenant == "unrouted" for one in manifests.find(REF)) == times


@pytest.mark.parametrize(("kind", "days"), [(RetentionClass.DOCUMENT, 3650), (RetentionClass.VIRUS, 30)])
def test_each_version_is_locked_by_the_rule_of_its_class(bucket: Bucket, kind: RetentionClass, days: int) -> None:
    """The manifest names people; it must last as long as its mail and not years longer."""
    bucket.manifests().keep(replace(MANIFEST, retention=kind))

    [locked] = bucket.locks()
    [kept] = bucket.manifests().find(REF)

    assert timedelta(days=days - 1) < locked <= timedelta(days=days)
    assert kept.retain_until is not None
    assert abs(kept.retain_until - datetime.now(UTC) - locked) < timedelta(seconds=5)


def test_a_manifest_whose_lock_ends_before_its_mails_is_renewed(bucket: Bucket) -> None:
    """The retention was raised, or the mail is replayed years later: its deposit is locked for longer too."""
    bucket.manifests(days=1).keep(MANIFEST)
    bucket.manifests().keep(MANIFEST)
    bucket.manifests().keep(MANIFEST)

    assert [round(locked / timedelta(days=1)) for locked in bucket.locks()] == [3650, 1]


DAMAGES: dict[str, Callable[[Any, str], object]] = {
    "a delete marker": lambda s3, name: s3.delete_object(Bucket=name, Key=MANIFEST.key),
    "a stranger's version": lambda s3, name: s3.put_object(Bucket=name, Key=MANIFEST.key, Body=b"{}"),
    "a stranger's neighbour": lambda s3, name: s3.put_object(Bucket=name, Key=f"{MANIFEST.key}.bak", Body=b"x"),
    "another tenant's manifest": lambda s3, name: s3.put_object(
        Bucket=name,
        Key=MANIFEST.key,
        Body=s3.get_object(Bucket=name, Key=MANIFEST.key)["Body"].read().replace(b"acme", b"evil"),
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_to_a_key_hides_no_manifest(bucket: Bucket, damage: str) -> None:
    """The locked version still exists; a foreign writer must not be able to cut off a mail's recipients."""
    bucket.manifests().keep(MANIFEST)
    DAMAGES[damage](bucket.s3, bucket.name)

    assert [said(one) for one in bucket.manifests().find(REF)] == [MANIFEST]
    bucket.manifests().keep(MANIFEST)
    bucket.manifests().keep(replace(of_two("bcc@acme.test"), attempt=2))
    assert bucket.manifests().find(REF)[-1].envelope.recipients == ("anna@acme.test", "bcc@acme.test")


@pytest.mark.parametrize(
    ("code", "heads"),
    [("AccessDenied", "checksums"), ("InvalidRequest", "all"), ("InvalidObjectState", "")],
    ids=["another's KMS key", "a key that S3 does not have", "Glacier"],
)
def test_an_unreadable_version_on_a_key_blocks_nothing(bucket: Bucket, code: str, heads: str) -> None:
    """A version that only its writer can decrypt must not stop the mail, whose manifest is right below it."""
    bucket.manifests().keep(MANIFEST)
    stranger = bucket.s3.put_object(Bucket=bucket.name, Key=MANIFEST.key, Body=b"{}")["VersionId"]
    manifests = Bucket(Refusing(bucket.s3, code, {stranger}, heads=heads), bucket.name).manifests()

    manifests.keep(replace(of_two("bcc@acme.test"), attempt=2))

    assert manifests.find(REF)[-1].envelope.recipients == ("anna@acme.test", "bcc@acme.test")


@pytest.mark.parametrize("code", ["AccessDenied", "InvalidObjectState"])
def test_a_manifest_that_cannot_be_read_is_not_taken_for_none(bucket: Bucket, code: str) -> None:
    """The mail would be filed without its recipients and acknowledged; what is known already may still be stored."""
    bucket.manifests().keep(MANIFEST)
    [own] = [one["VersionId"] for one in bucket.s3.list_object_versions(Bucket=bucket.name)["Versions"]]
    manifests = Bucket(Refusing(bucket.s3, code, {own}), bucket.name).manifests()

    with pytest.raises(PermanentError):
        manifests.find(REF)
    manifests.keep(replace(of_two("bcc@acme.test"), attempt=2))

    assert len(bucket.manifests().find(REF)) == 2


def test_many_writers_at_once_lose_no_recipient(bucket: Bucket) -> None:
    """Two workers may have a mail for a moment; each knows recipients that the other does not."""
    names = [f"u{number}@acme.test" for number in range(8)]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: bucket.manifests().keep(of_two(name)), names))

    found = bucket.manifests().find(REF)
    assert {name for one in found for name in one.envelope.recipients} == set(names)


def test_an_archive_that_cannot_be_reached_is_transient() -> None:
    """Nothing may be acknowledged then; the mail waits in its queue."""
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    s3: Any = boto3.client("s3", endpoint_url="http://127.0.0.1:9", region_name="eu-west-1", **keys)
    away = S3Manifests(s3, bucket="archive", lock_mode="GOVERNANCE", rules=MemoryRetentionRules())

    with pytest.raises(TransientError):
        away.keep(MANIFEST)
    with pytest.raises(TransientError):
        away.find(REF)
