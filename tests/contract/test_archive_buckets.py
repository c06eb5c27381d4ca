"""The archive's buckets: one that cannot hold a locked version is refused at the start, and a default retention is named."""

from collections.abc import Callable
from itertools import count
from typing import Any

import boto3
import pytest

from mailroom.adapters.aws.archive_buckets import bucket_faults
from mailroom.adapters.aws.clients import expect_owner
from mailroom.sandbox.stack.environment import ACCOUNT
from mailroom.testing.strict_lock import StrictLockFake

_numbers = count()
_WHERE: Any = {"LocationConstraint": "eu-west-1"}


@pytest.fixture
def s3(emulator: str) -> Any:
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    made: Any = boto3.client("s3", endpoint_url=emulator, region_name="eu-west-1", **keys)
    return made


def made(s3: Any, *, locked: bool) -> str:
    name = f"buckets-{next(_numbers)}"
    s3.create_bucket(Bucket=name, CreateBucketConfiguration=_WHERE, ObjectLockEnabledForBucket=locked)
    return name


def _unversioned(s3: Any) -> str:
    return made(s3, locked=False)


def _suspended(s3: Any) -> str:
    name = made(s3, locked=False)
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Suspended"})
    return name


def _versions_alone(s3: Any) -> str:
    name = made(s3, locked=False)
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return name


def _default_retention(s3: Any) -> str:
    name = made(s3, locked=True)
    rule = {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 7}}
    kept: Any = {"ObjectLockEnabled": "Enabled", "Rule": rule}
    s3.put_object_lock_configuration(Bucket=name, ObjectLockConfiguration=kept)
    return name


CASES: dict[str, tuple[Callable[[Any], str], list[tuple[str, bool]]]] = {
    "as it must be": (lambda s3: made(s3, locked=True), []),
    "not there": (lambda _: "buckets-none", [("does not exist", True)]),
    "no lock, no versions": (_unversioned, [("without Object Lock", True), ("no versions (off)", True)]),
    "suspended": (_suspended, [("without Object Lock", True), ("no versions (suspended)", True)]),
    "versions alone": (_versions_alone, [("without Object Lock", True)]),
    "a default retention": (_default_retention, [("default retention (COMPLIANCE, 7 days)", False)]),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_wrong_with_a_bucket_is_named(s3: Any, case: str) -> None:
    """Mutation 97: better no start than mail that waits at its first deposit. What only costs is a warning."""
    make, expected = CASES[case]

    faults = bucket_faults(s3, make(s3))

    assert [one.is_fatal for one in faults] == [is_fatal for _, is_fatal in expected]
    assert all(what in str(one) for one, (what, _) in zip(faults, expected, strict=True))


def test_another_accounts_bucket_is_refused(s3: Any) -> None:
    """A bucket's name may belong to anybody after a mistake in the settings."""
    name = made(s3, locked=True)
    assert bucket_faults(expect_owner(s3, ACCOUNT), name) == []

    strict: Any = StrictLockFake(owner="999999999999")
    strict.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    [fault] = bucket_faults(_Expecting(strict), name)

    assert (fault.is_fatal, "another account" in str(fault)) == (True, True)


class _Expecting:
    """A client that names another owner in each call, as `expect_owner` does."""

    def __init__(self, s3: Any) -> None:
        self._s3 = s3

    def __getattr__(self, name: str) -> Any:
        return lambda **asked: getattr(self._s3, name)(**asked, ExpectedBucketOwner=ACCOUNT)
