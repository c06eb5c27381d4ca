"""S3's Object Lock: moto, as our rules make it, and the strict double refuse alike; what moto does not refuse is named.

Nothing here was seen on AWS: the sources are in the double.
"""

from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from mailroom.testing.strict_lock import StrictLockFake

DAY = timedelta(days=1)
_numbers = count()


@dataclass(frozen=True, slots=True)
class Bucket:
    s3: Any
    name: str

    def put(self, mode: str = "COMPLIANCE", *, body: bytes = b"one", **more: Any) -> str:
        until = datetime.now(UTC).replace(microsecond=0) + 10 * DAY
        how = {"ObjectLockMode": mode, "ObjectLockRetainUntilDate": until} | more
        return str(self.s3.put_object(Bucket=self.name, Key="k", Body=body, **how)["VersionId"])

    def retain(self, version: str, mode: str, until: Any, **more: Any) -> None:
        kept = {"Mode": mode, "RetainUntilDate": until}
        self.s3.put_object_retention(Bucket=self.name, Key="k", VersionId=version, Retention=kept, **more)

    def until(self, version: str) -> datetime:
        found: datetime = self.s3.get_object_retention(Bucket=self.name, Key="k", VersionId=version)["Retention"][
            "RetainUntilDate"
        ]
        return found

    def delete(self, version: str, **more: Any) -> None:
        self.s3.delete_object(Bucket=self.name, Key="k", VersionId=version, **more)

    def hold(self, version: str, status: str) -> None:
        self.s3.put_object_legal_hold(Bucket=self.name, Key="k", VersionId=version, LegalHold={"Status": status})

    def versions(self) -> list[str]:
        listed = self.s3.list_object_versions(Bucket=self.name).get("Versions", [])
        return [one["VersionId"] for one in listed]


@pytest.fixture(params=["moto", "strict"])
def bucket(request: pytest.FixtureRequest) -> Bucket:
    name = f"strictlock-{next(_numbers)}"
    if request.param == "strict":
        s3: Any = StrictLockFake()
    else:
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        s3 = boto3.client("s3", endpoint_url=request.getfixturevalue("emulator"), region_name="eu-west-1", **keys)
    where: Any = {"LocationConstraint": "eu-west-1"}
    s3.create_bucket(Bucket=name, CreateBucketConfiguration=where, ObjectLockEnabledForBucket=True)
    return Bucket(s3, name)


@pytest.fixture
def strict() -> Bucket:
    s3: Any = StrictLockFake()
    s3.create_bucket(Bucket="b", ObjectLockEnabledForBucket=True)
    return Bucket(s3, "b")


def code(call: Callable[[], object]) -> str:
    with pytest.raises(ClientError) as refused:
        call()
    return str(refused.value.response["Error"]["Code"])


def test_a_lock_is_extended_and_never_shortened_or_weakened(bucket: Bucket) -> None:
    one = bucket.put()
    until = bucket.until(one)

    assert code(lambda: bucket.retain(one, "COMPLIANCE", until - DAY)) == "AccessDenied"
    assert code(lambda: bucket.retain(one, "GOVERNANCE", until + DAY)) == "AccessDenied"
    bucket.retain(one, "COMPLIANCE", until + DAY)
    assert bucket.until(one) == until + DAY


@pytest.mark.parametrize("mode", ["GOVERNANCE", "COMPLIANCE"])
def test_a_locked_version_is_not_deleted(bucket: Bucket, mode: str) -> None:
    one = bucket.put(mode)

    assert code(lambda: bucket.delete(one)) == "AccessDenied"
    assert bucket.versions() == [one]


def test_a_bypass_deletes_under_governance(bucket: Bucket) -> None:
    bucket.delete(bucket.put("GOVERNANCE"), BypassGovernanceRetention=True)

    assert bucket.versions() == []


def test_a_held_version_is_not_deleted(bucket: Bucket) -> None:
    one = bucket.put("GOVERNANCE")
    bucket.hold(one, "ON")

    assert code(lambda: bucket.delete(one)) == "AccessDenied"
    assert bucket.s3.head_object(Bucket=bucket.name, Key="k")["ObjectLockLegalHoldStatus"] == "ON"
    bucket.hold(one, "OFF")
    bucket.delete(one, BypassGovernanceRetention=True)


def test_a_condition_protects_what_is_there(bucket: Bucket) -> None:
    one = bucket.put()

    assert code(lambda: bucket.put(body=b"two", IfNoneMatch="*")) == "PreconditionFailed"
    assert code(lambda: bucket.put(body=b"two", IfMatch='"other"')) == "PreconditionFailed"
    assert bucket.s3.get_object(Bucket=bucket.name, Key="k", VersionId=one)["Body"].read() == b"one"


def test_a_delete_without_a_version_hides_and_keeps(bucket: Bucket) -> None:
    one = bucket.put()

    bucket.s3.delete_object(Bucket=bucket.name, Key="k")

    assert code(lambda: bucket.s3.get_object(Bucket=bucket.name, Key="k")) == "NoSuchKey"
    assert bucket.s3.get_object(Bucket=bucket.name, Key="k", VersionId=one)["Body"].read() == b"one"


def test_what_moto_accepts_and_s3_refuses(strict: Bucket) -> None:
    """A bypass under COMPLIANCE, a date that has passed, other bytes than the checksum's, another owner."""
    one, wrong = strict.put(), b64encode(bytes(32)).decode()

    assert code(lambda: strict.delete(one, BypassGovernanceRetention=True)) == "AccessDenied"
    assert (
        code(lambda: strict.retain(one, "COMPLIANCE", strict.until(one) - DAY, BypassGovernanceRetention=True))
        == "AccessDenied"
    )
    assert code(lambda: strict.retain(one, "COMPLIANCE", datetime.now(UTC) - DAY)) == "InvalidArgument"
    assert code(lambda: strict.put(ObjectLockRetainUntilDate=datetime.now(UTC) - DAY)) == "InvalidArgument"
    assert code(lambda: strict.put(ObjectLockRetainUntilDate=datetime(2999, 1, 1))) == "InvalidArgument"  # noqa: DTZ001
    assert code(lambda: strict.put(ChecksumSHA256=wrong)) == "BadDigest"
    assert code(lambda: strict.put(ExpectedBucketOwner="999999999999")) == "AccessDenied"
    assert strict.versions() == [one]


def test_a_version_can_be_deleted_when_its_lock_has_ended(strict: Bucket) -> None:
    one = strict.put()
    strict.s3.clock = lambda: datetime.now(UTC) + 11 * DAY
    strict.hold(one, "ON")

    assert code(lambda: strict.delete(one)) == "AccessDenied"
    strict.hold(one, "OFF")
    strict.delete(one)

    assert strict.versions() == []
