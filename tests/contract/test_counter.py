"""The port `OutsideCounter`: the in-memory double and an object in a versioned bucket count alike."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import boto3
import pytest

from mailroom.adapters.aws.counter_s3 import S3Counter
from mailroom.audit.listings import stored_versions
from mailroom.domain.errors import PermanentError
from mailroom.ports.restores import OutsideCounter
from mailroom.testing.counter import MemoryCounter

_numbers = count()


def bucket() -> str:
    """Return a new bucket like the archive's."""
    name, s3 = f"counter-{next(_numbers)}", boto3.client("s3")
    s3.create_bucket(
        Bucket=name,
        CreateBucketConfiguration={"LocationConstraint": "eu-west-1"},
        ObjectLockEnabledForBucket=True,
    )
    return name


MAKERS: dict[str, Callable[[], OutsideCounter]] = {
    "memory": MemoryCounter,
    "s3": lambda: S3Counter(boto3.client("s3"), bucket=bucket()),
}


@pytest.fixture(params=MAKERS)
def counter(request: pytest.FixtureRequest, aws: str) -> OutsideCounter:
    return MAKERS[request.param]()


def test_a_new_counter_is_empty(counter: OutsideCounter) -> None:
    """A new installation is not a restored one."""
    assert counter.read("acme") is None


def test_it_never_goes_backwards(counter: OutsideCounter) -> None:
    """A slow process would otherwise hide a restore."""
    for value in (3, 7, 5):
        counter.raise_to("acme", value)

    assert counter.read("acme") == 7
    assert counter.read("other") is None


def test_of_many_that_write_at_once_the_highest_stays(counter: OutsideCounter) -> None:
    """Workers advance it concurrently."""
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda value: counter.raise_to("acme", value), range(1, 9)))

    assert counter.read("acme") == 8


def test_old_versions_do_not_pile_up_and_are_no_orphans_of_the_archive(aws: str) -> None:
    """It is written all day, into a bucket that keeps every version."""
    name, s3 = bucket(), boto3.client("s3")
    counter = S3Counter(s3, bucket=name)
    for value in range(1, 6):
        counter.raise_to("acme", value)

    assert len(s3.list_object_versions(Bucket=name)["Versions"]) == 1
    assert list(stored_versions(s3, name)) == []


def test_an_object_that_is_no_counter_is_reported(aws: str) -> None:
    """Somebody overwrote it; a number is not guessed."""
    name, s3 = bucket(), boto3.client("s3")
    s3.put_object(Bucket=name, Key="_mailroom/acme/counter.json", Body=b"[]")

    with pytest.raises(PermanentError):
        S3Counter(s3, bucket=name).read("acme")
