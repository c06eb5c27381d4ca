"""The port `Uploads` in memory and on S3: files of one tenant, and of no other."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

import boto3
import pytest

from mailroom.adapters.aws.uploads_s3 import S3Uploads
from mailroom.domain.errors import Quarantined, Reason
from mailroom.outbound.attachments import Uploads
from mailroom.outbound.request import Upload
from mailroom.testing.uploads import MemoryUploads

_numbers = count()


@dataclass(frozen=True, slots=True)
class Case:
    """An `Uploads`, its bucket, and how a file is put into it."""

    uploads: Uploads
    bucket: str
    put: Callable[[str, bytes], object]

    def fetch(self, tenant: str, key: str, *, most: int = 100, bucket: str | None = None) -> bytes:
        return self.uploads.fetch(tenant, Upload(bucket or self.bucket, key), most=most)


@pytest.fixture(params=["memory", "s3"])
def case(request: pytest.FixtureRequest) -> Case:
    if request.param == "memory":
        uploads = MemoryUploads()
        return Case(uploads, uploads.bucket, uploads.contents.__setitem__)
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    endpoint = request.getfixturevalue("emulator")
    s3 = boto3.client("s3", endpoint_url=endpoint, region_name="eu-west-1", **keys)
    bucket = f"shelftest-{next(_numbers)}"
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    return Case(
        S3Uploads(s3, bucket=bucket), bucket, lambda key, body: s3.put_object(Bucket=bucket, Key=key, Body=body)
    )


def test_a_tenants_file_comes_whole(case: Case) -> None:
    """With its content at the time of the request."""
    case.put("acme/list.csv", b"1;2")
    case.put("acme/list.csv", b"3;4")

    assert case.fetch("acme", "acme/list.csv") == b"3;4"


@pytest.mark.parametrize(
    "key", ["acme/none", "umbrella/list.csv", "acme2/list.csv", "acme/../umbrella/list.csv", "list"]
)
def test_a_file_outside_the_tenants_prefix_is_not_found(case: Case, key: str) -> None:
    """Another tenant's file is not distinguishable from a missing one."""
    for there in ("umbrella/list.csv", "acme2/list.csv", "list"):
        case.put(there, b"secret")

    with pytest.raises(LookupError):
        case.fetch("acme", key)


def test_another_bucket_is_not_read(case: Case) -> None:
    """The caller names the bucket, and our credentials reach more than callers may."""
    case.put("acme/list.csv", b"1;2")

    with pytest.raises(LookupError):
        case.fetch("acme", "acme/list.csv", bucket="mails")


def test_a_version_that_is_not_there_is_not_another(case: Case) -> None:
    """A caller that names a version means those bytes."""
    case.put("acme/list.csv", b"1;2")

    with pytest.raises(LookupError):
        case.uploads.fetch("acme", Upload(case.bucket, "acme/list.csv", "no-such-version"), most=100)


def test_a_file_over_the_limit_is_refused_with_its_size(case: Case) -> None:
    """Before it is read: it must not use the service's memory."""
    case.put("acme/list.csv", b"12345")

    with pytest.raises(Quarantined) as caught:
        case.fetch("acme", "acme/list.csv", most=4)

    assert (caught.value.reason, caught.value.facts) == (Reason.TOO_LARGE, {"size": 5})
    assert case.fetch("acme", "acme/list.csv", most=5) == b"12345"
