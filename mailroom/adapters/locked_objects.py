"""Versions of a bucket with Object Lock: what each holds and how long it is locked, new ones, and longer locks.

S3 leaves the lock out of its answers for a caller that may not read it. So an answer without a lock says nothing: S3 is
asked for the lock itself, and only its word that there is none means that the version is not locked.
Sources: Amazon S3 API reference, GetObject ("x-amz-object-lock-mode ... only returned if you have permission"),
GetObjectRetention, PutObjectRetention, PutObject (conditional writes).
"""

from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from mailroom.adapters.aws import error_code, translated
from mailroom.crash import crash_point
from mailroom.domain.errors import NotPermitted, TransientError

MISSING = frozenset({"404", "NoSuchKey", "NoSuchVersion", "MethodNotAllowed", "405"})
_DENIED = frozenset({"AccessDenied", "403"})
_NO_LOCK = frozenset({"NoSuchObjectLockConfiguration", "ObjectLockConfigurationNotFoundError", "InvalidRequest"})
#: S3's words for "there is one already", and for "another writer is at it; try again".
_TAKEN, _CONTENDED = frozenset({"PreconditionFailed", "412"}), frozenset({"ConditionalRequestConflict", "409"})

_PIECE_BYTES = 1024 * 1024
#: Versions of one key that are looked through; the newest come first.
_MOST_VERSIONS = 1000


@dataclass(frozen=True, slots=True)
class Lock:
    """How long nobody can delete a version, and how strictly."""

    mode: str
    until: datetime

    def is_at_least(self, wanted: "Lock") -> bool:
        """Return whether it lasts as long as `wanted`, and is no weaker."""
        return self.until >= wanted.until and self.is_as_strict_as(wanted)

    def is_as_strict_as(self, wanted: "Lock") -> bool:
        """Return whether its mode is no weaker than that of `wanted`."""
        return self.mode == "COMPLIANCE" or wanted.mode != "COMPLIANCE"


@dataclass(frozen=True, slots=True)
class Version:
    """A version as it was read: whether its bytes are those that were looked for, and its lock, if it has one."""

    id: str
    etag: str
    is_same: bool
    lock: Lock | None


class LockedObjects:
    """The versions of one bucket."""

    def __init__(self, s3: Any, bucket: str) -> None:
        self._s3 = s3
        self._bucket = bucket

    def put(self, key: str, content: bytes, sha256: str, lock: Lock, *, over: str | None) -> str | None:
        """Store a locked version and return its id; None when the key's newest version is another one than was thought.

        Args:
            over: The ETag of the newest version; None where the key has none, or a delete marker.

        Raises:
            TransientError: another writer is at the same key.
        """
        condition = {"IfNoneMatch": "*"} if over is None else {"IfMatch": over}
        with translated("s3"):
            try:
                crash_point("before", "put")
                answer = self._s3.put_object(
                    Bucket=self._bucket,
                    Key=key,
                    Body=content,
                    ChecksumAlgorithm="SHA256",
                    ChecksumSHA256=b64encode(bytes.fromhex(sha256)).decode(),
                    ObjectLockMode=lock.mode,
                    ObjectLockRetainUntilDate=lock.until,
                    ContentType="application/octet-stream",
                    **condition,
                )
            except ClientError as error:
                if error_code(error) in _CONTENDED:
                    raise TransientError("another writer deposits the same content", key=key) from None
                if error_code(error) in _TAKEN | (MISSING if over else frozenset()):
                    return None
                raise
        crash_point("after", "put")
        return str(answer["VersionId"])

    def read(self, key: str, content: bytes, *, version: str | None = None) -> Version | None:
        """Return a version, by default the newest, with its bytes compared to `content`; None when it is not there."""
        which = {"VersionId": version} if version else {}
        with translated("s3"), permitted("s3:GetObjectVersion" if version else "s3:GetObject", key):
            try:
                answer = self._s3.get_object(Bucket=self._bucket, Key=key, **which)
            except ClientError as error:
                if error_code(error) in MISSING:
                    return None
                raise
            is_same = answer["ContentLength"] == len(content) and _has(answer["Body"], content)
            answer["Body"].close()
        found = str(answer["VersionId"])
        return Version(found, answer["ETag"], is_same, self._lock_in(answer, key, found) if is_same else None)

    def versions(self, key: str, *, size: int) -> list[str]:
        """Return the ids of the key's versions of this size, newest first; delete markers are none."""
        with translated("s3"), permitted("s3:ListBucketVersions", key):
            answer = self._s3.list_object_versions(Bucket=self._bucket, Prefix=key, MaxKeys=_MOST_VERSIONS)
        return [one["VersionId"] for one in answer.get("Versions", []) if one["Key"] == key and one["Size"] == size]

    def lock_of(self, key: str, version: str) -> Lock | None:
        """Return the lock of a version; None when S3 says that it has none, or that there is no such version.

        Raises:
            NotPermitted: it may not be read.
        """
        with translated("s3"), permitted("s3:GetObjectVersion", key):
            try:
                answer = self._s3.head_object(Bucket=self._bucket, Key=key, VersionId=version)
            except ClientError as error:
                if error_code(error) in MISSING:
                    return None
                raise
        return self._lock_in(answer, key, version)

    def extend(self, key: str, version: str, lock: Lock) -> bool:
        """Have the version locked as long as `lock` says and as strictly; False when S3 refuses to. Never shortens: S3 refuses."""
        with translated("s3"):
            try:
                self._s3.put_object_retention(
                    Bucket=self._bucket,
                    Key=key,
                    VersionId=version,
                    Retention={"Mode": lock.mode, "RetainUntilDate": lock.until},
                )
            except ClientError as error:
                if error_code(error) in _DENIED:
                    return False
                if error_code(error) in MISSING:
                    raise TransientError("the version was removed meanwhile", key=key) from None
                raise
        return True

    def _lock_in(self, answer: Any, key: str, version: str) -> Lock | None:
        """Return the lock that an answer tells of; where it tells of none, ask for it."""
        mode, until = answer.get("ObjectLockMode"), answer.get("ObjectLockRetainUntilDate")
        if not mode or not until:
            kept = self._retention(key, version)
            mode, until = kept.get("Mode"), kept.get("RetainUntilDate")
        return Lock(mode, until.astimezone(UTC)) if mode and until else None

    def _retention(self, key: str, version: str) -> Any:
        with translated("s3"), permitted("s3:GetObjectRetention", key, version=version):
            try:
                answer = self._s3.get_object_retention(Bucket=self._bucket, Key=key, VersionId=version)
            except ClientError as error:
                if error_code(error) in _NO_LOCK:
                    return {}
                raise
        return answer.get("Retention", {})


@contextmanager
def permitted(permission: str, key: str, **facts: str) -> Iterator[None]:
    """Raise `NotPermitted` where S3 denies access.

    Raises:
        NotPermitted: the message says which permission to grant.
    """
    try:
        yield
    except ClientError as error:
        if error_code(error) in _DENIED:
            what = "the archive may not be read; grant the permission to the depositor"
            raise NotPermitted(what, permission=permission, key=key, **facts) from None
        raise


def _has(body: Any, content: bytes) -> bool:
    """Return whether a body of this length has this content, read piece by piece: the mail is in memory already."""
    expected, at = memoryview(content), 0
    for piece in body.iter_chunks(_PIECE_BYTES):
        if expected[at : at + len(piece)] != piece:
            return False
        at += len(piece)
    return at == len(content)
