"""What the archive's buckets must be: made with Object Lock, versioned, of the expected account, without a default retention.

S3 cannot turn Object Lock off, nor suspend the versions of such a bucket; a bucket that was made without it can hold no
lock. A default retention would lock what has none of its own by its own rule, such as the installation's counter.
Sources: Amazon S3 user guide, "Locking objects with Object Lock"; API reference, GetObjectLockConfiguration.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from mailroom.adapters.aws.clients import client_as, error_code, translated
from mailroom.domain.errors import ConfigurationError, TransientError
from mailroom.settings import Settings

log = logging.getLogger(__name__)

_DENIED = frozenset({"AccessDenied", "403"})


@dataclass(frozen=True, slots=True)
class BucketFault:
    """What is wrong with a bucket of the archive, and what to do; with `is_fatal`, nothing can be archived there."""

    bucket: str
    what: str
    is_fatal: bool = True

    def __str__(self) -> str:
        return f"the archive's bucket {self.bucket} {self.what}"


def archive_faults(settings: Settings) -> list[BucketFault]:
    """Return what is wrong with the archive's buckets, the second one included.

    Raises:
        TransientError: AWS cannot answer now.
    """
    one = settings
    faults = bucket_faults(auditors_client(one), one.archive_bucket)
    if one.archive_copy_bucket:
        if one.archive_copy_bucket == one.archive_bucket:
            faults.append(BucketFault(one.archive_bucket, "is also that of second copies; name another"))
        faults += bucket_faults(auditors_client(one, of_copies=True), one.archive_copy_bucket)
    return faults


def auditors_client(settings: Settings, *, of_copies: bool = False) -> Any:
    """Return the client that reads the archive's bucket, or that of second copies: the auditor's.

    Without a profile of an auditor it is the one that writes to the bucket.
    """
    one, auditor = settings, settings.archive_auditor_profile
    if of_copies:
        profile = auditor or one.archive_copy_profile
        return client_as(profile, "s3", region=one.region_of_copies, owner=one.owner_of_copies)
    return client_as(auditor, "s3", region=one.region_of_archive, owner=one.owner_of_archive)


def refuse_unfit_archive(settings: Settings) -> None:
    """Log what is wrong with the archive's buckets, and raise if nothing can be archived there.

    While AWS is unavailable nothing is refused here: no deposit succeeds either.

    Raises:
        ConfigurationError: a bucket has no Object Lock, or no versions, or belongs to another account.
    """
    try:
        faults = archive_faults(settings)
    except TransientError as error:
        log.warning("the archive's buckets cannot be checked yet: %s", error)
        return
    for fault in faults:
        if fault.is_fatal:
            raise ConfigurationError(str(fault))
        log.warning("%s", fault)


def bucket_faults(s3: Any, bucket: str) -> list[BucketFault]:
    """Return what is wrong with one bucket; `s3` names its owner in every call.

    Raises:
        TransientError: AWS cannot answer now.
    """
    with translated("s3"):
        return [BucketFault(bucket, what, is_fatal) for what, is_fatal in _faults(s3, bucket)]


def _faults(s3: Any, bucket: str) -> Iterator[tuple[str, bool]]:
    try:
        s3.head_bucket(Bucket=bucket)
    except ClientError as error:
        if error_code(error) in ("404", "NoSuchBucket"):
            yield "does not exist", True
        elif error_code(error) in _DENIED:
            yield (
                "belongs to another account, or may not be listed; see MAILROOM_ARCHIVE_ACCOUNT, or grant s3:ListBucket",
                True,
            )
        else:
            raise
        return
    yield from _lock_faults(s3, bucket)
    yield from _version_faults(s3, bucket)


def _lock_faults(s3: Any, bucket: str) -> Iterator[tuple[str, bool]]:
    try:
        found = s3.get_object_lock_configuration(Bucket=bucket).get("ObjectLockConfiguration", {})
    except ClientError as error:
        if error_code(error) in _DENIED:
            yield "cannot be checked for Object Lock; grant s3:GetBucketObjectLockConfiguration", False
            return
        if error_code(error) != "ObjectLockConfigurationNotFoundError":
            raise
        found = {}
    if found.get("ObjectLockEnabled") != "Enabled":
        yield "was made without Object Lock; make another one with it", True
    if kept := found.get("Rule", {}).get("DefaultRetention"):
        how_long = f"{kept['Days']} days" if "Days" in kept else f"{kept.get('Years')} years"
        yield (
            f"has a default retention ({kept.get('Mode')}, {how_long}), which locks what has no rule; remove it",
            False,
        )


def _version_faults(s3: Any, bucket: str) -> Iterator[tuple[str, bool]]:
    try:
        status = s3.get_bucket_versioning(Bucket=bucket).get("Status")
    except ClientError as error:
        if error_code(error) not in _DENIED:
            raise
        yield "cannot be checked for versions; grant s3:GetBucketVersioning", False
        return
    if status != "Enabled":
        yield f"keeps no versions ({'suspended' if status == 'Suspended' else 'off'}); enable its versioning", True
