"""Versions in a bucket with Object Lock: reading content and lock, writing new versions, extending locks.

S3 leaves the lock out of its responses for a caller that may not read it. So a response without a lock proves nothing: the
lock itself is requested, and only S3's answer that there is none means that the version is not locked.
Sources: Amazon S3 API reference, GetObject ("x-amz-object-lock-mode ... only returned if you have permission"),
GetObjectRetention, PutObjectRetention, PutObject (conditional writes).
"""

import logging
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from mailroom.adapters.aws.clients import error_code, translated
from mailroom.crash_points import crash_point
from mailroom.domain.archive.retention import Lock as Lock
from mailroom.domain.errors import NotPermitted, TransientError

log = logging.getLogger(__name__)

MISSING = frozenset({"404", "NoSuchKey", "NoSuchVersion", "MethodNotAllowed", "405"})
DENIED = frozenset({"AccessDenied", "403"})
#: Permissions that reading a version does not show.
DECRYPT, EXTEND = "kms:Decrypt", "s3:PutObjectRetention"
_NO_LOCK = frozenset({"NoSuchObjectLockConfiguration", "ObjectLockConfigurationNotFoundError", "InvalidRequest"})
#: S3's codes for an existing object, and for a concurrent write (try again).
_TAKEN, _CONTENDED = frozenset({"PreconditionFailed", "412"}), frozenset({"ConditionalRequestConflict", "409"})

_PIECE_BYTES = 1024 * 1024
#: The most versions of one key that are listed, newest first.
_MOST_VERSIONS = 1000


@dataclass(frozen=True, slots=True)
class Version:
    """A version as it was read: whether it has the expected bytes, and its lock, if it has one.

    An unreadable one is encrypted with a key that we may not use, or with one that S3 does not have.
    """

    id: str
    etag: str
    is_same: bool = False
    lock: Lock | None = None
    is_readable: bool = True


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """What a bucket says of a version: its checksum, in base64, None if it has none of SHA-256, its size and its lock."""

    checksum: str | None
    size: int
    lock: Lock | None

    def is_content(self, sha256: str, size: int) -> bool:
        """Return whether size and checksum are those of this content."""
        return self.size == size and self.checksum in (None, _in_base64(sha256))


class LockedObjects:
    """The versions of one bucket."""

    def __init__(self, s3: Any, bucket: str) -> None:
        self._s3 = s3
        self._bucket = bucket

    def put(self, key: str, content: bytes, sha256: str, lock: Lock, *, over: str | None) -> str | None:
        """Store a locked version and return its id; None when the key's newest version is not the expected one.

        Args:
            over: The ETag of the expected newest version; None for no version, or a delete marker.

        Raises:
            LockRefused: no version may get such a lock.
            TransientError: another writer writes the same key.
        """
        lock.refuse(now=datetime.now(UTC))
        condition = {"IfNoneMatch": "*"} if over is None else {"IfMatch": over}
        with translated("s3"):
            try:
                crash_point("before", "put")
                answer = self._s3.put_object(**self._locked(key, content, sha256, lock), **condition)
            except ClientError as error:
                if error_code(error) in _CONTENDED:
                    raise TransientError("another process is depositing the same content", key=key) from None
                if error_code(error) in _TAKEN | (MISSING if over else frozenset()):
                    return None
                raise
        crash_point("after", "put")
        return str(answer["VersionId"])

    def add(self, key: str, content: bytes, sha256: str, lock: Lock) -> str:
        """Store a locked version beside what the key has, and return its id.

        Raises:
            LockRefused: no version may get such a lock.
        """
        lock.refuse(now=datetime.now(UTC))
        with translated("s3"):
            answer = self._s3.put_object(**self._locked(key, content, sha256, lock))
        return str(answer["VersionId"])

    def _locked(self, key: str, content: bytes, sha256: str, lock: Lock) -> dict[str, Any]:
        return {
            "Bucket": self._bucket,
            "Key": key,
            "Body": content,
            "ChecksumAlgorithm": "SHA256",
            "ChecksumSHA256": _in_base64(sha256),
            "ObjectLockMode": lock.mode,
            "ObjectLockRetainUntilDate": lock.until,
            "ContentType": "application/octet-stream",
        }

    def read(self, key: str, content: bytes, sha256: str, *, version: str | None = None) -> Version | None:
        """Return a version, by default the newest, with its bytes compared to `content`; None when it is not there.

        Raises:
            NotPermitted: it, or its lock, may not be read.
        """
        which = self._which(key, version)
        with translated("s3"), _permitted(which):
            try:
                answer = self._s3.get_object(**which)
            except ClientError as error:
                if error_code(error) in MISSING:
                    return None
                if not 400 <= error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) < 500:
                    raise
                return self._unread(which, sha256)
            is_same = answer["ContentLength"] == len(content) and _has(answer["Body"], content)
            answer["Body"].close()
        version_id = str(answer["VersionId"])
        return Version(version_id, answer["ETag"], is_same, self._lock_in(answer, key, version_id) if is_same else None)

    def versions(self, key: str, *, size: int) -> list[str]:
        """Return the ids of the key's versions of this size, newest first; none if they may not be listed."""
        with translated("s3"):
            try:
                listed = self._listed(key)
            except ClientError as error:
                if error_code(error) not in DENIED:
                    raise
                log.warning("versions of archive key %s cannot be listed: grant s3:ListBucketVersions", key)
                return []
        return [one["VersionId"] for one in listed if one["Size"] == size]

    def lock_of(self, key: str, version: str | None) -> Lock | None:
        """Return the lock of a version, None being the newest; None when it has no lock or is not there.

        Raises:
            NotPermitted: it may not be read.
        """
        which = self._which(key, version)
        with translated("s3"), _permitted(which):
            try:
                answer = self._s3.head_object(**which)
            except ClientError as error:
                if error_code(error) in MISSING:
                    return None
                raise
        return self._lock_in(answer, key, str(answer["VersionId"]))

    def stored(self, key: str, version: str) -> StoredVersion | None:
        """Return what the bucket says of a version, None when it is not there.

        Raises:
            NotPermitted: it may not be read.
        """
        which = self._which(key, version)
        with translated("s3"), _permitted(which):
            try:
                answer = self._s3.head_object(**which, ChecksumMode="ENABLED")
            except ClientError as error:
                if error_code(error) in MISSING:
                    return None
                raise
        lock = self._lock_in(answer, key, version)
        return StoredVersion(answer.get("ChecksumSHA256"), answer["ContentLength"], lock)

    def confirm(self, key: str, version: str, *, sha256: str, size: int, lock: Lock) -> None:
        """Return if the bucket has the version with this checksum, size and lock, or a longer one.

        Raises:
            NotPermitted: it may not be read.
            TransientError: it has not; what was to be recorded is tried again.
        """
        stored = self.stored(key, version)
        if stored is None or not stored.is_content(sha256, size):
            raise TransientError("a copy is not stored as it was written", bucket=self._bucket, key=key)
        if stored.lock is None or not stored.lock.is_at_least(lock):
            raise TransientError("a copy is not locked as it was written", bucket=self._bucket, key=key)

    def hold(self, key: str, version: str, *, is_held: bool) -> None:
        """Set or remove S3's legal hold of a version.

        Raises:
            NotPermitted: it may not be changed.
            LookupError: the version is not there.
        """
        which, status = self._which(key, version), "ON" if is_held else "OFF"
        with translated("s3"), _permitted(which, "s3:PutObjectLegalHold"):
            try:
                self._s3.put_object_legal_hold(**which, LegalHold={"Status": status})
            except ClientError as error:
                if error_code(error) in MISSING:
                    raise LookupError("the version is not in the archive's bucket") from None
                raise

    def extend(self, key: str, version: str, lock: Lock, *, present: Lock) -> bool:
        """Set the version's lock to `lock`, which is no less than its `present` one; False when S3 refuses.

        Raises:
            LockRefused: it is less, or no version may get such a lock; S3 gets no call.
        """
        lock.refuse(now=datetime.now(UTC), present=present)
        with translated("s3"):
            try:
                self._s3.put_object_retention(
                    Bucket=self._bucket,
                    Key=key,
                    VersionId=version,
                    Retention={"Mode": lock.mode, "RetainUntilDate": lock.until},
                )
            except ClientError as error:
                if error_code(error) in DENIED:
                    return False
                if error_code(error) in MISSING:
                    raise TransientError("the version was removed meanwhile", key=key) from None
                raise
        return True

    def ask_again(self, denial: NotPermitted) -> None:
        """Return if the denied permission is granted by now; nothing is changed.

        Raises:
            NotPermitted: it is not.
        """
        key, version = denial.facts["key"], denial.facts["version"]
        lock = self.lock_of(key, version)
        if denial.permission == DECRYPT:
            self._open(self._which(key, version))
        # Setting a lock to its present value changes nothing; one that has ended cannot be set.
        is_locked = lock is not None and lock.until > datetime.now(UTC)
        if denial.permission == EXTEND and lock and is_locked and not self.extend(key, version, lock, present=lock):
            raise denial

    def _open(self, which: dict[str, str]) -> None:
        with translated("s3"), _permitted(which, DECRYPT):
            try:
                self._s3.get_object(**which)["Body"].close()
            except ClientError as error:
                if error_code(error) not in MISSING:
                    raise

    def _unread(self, which: dict[str, str], sha256: str) -> Version | None:
        """Return a version whose bytes S3 does not return.

        A lifecycle rule may have moved a deposit to Glacier; then the checksum that S3 verified at the put is compared. Any
        other is encrypted with a key that we may not use.
        """
        answer = None
        with suppress(ClientError):
            answer = self._s3.head_object(**which, ChecksumMode="ENABLED")
        if answer is not None:
            version_id, is_same = str(answer["VersionId"]), answer.get("ChecksumSHA256") == _in_base64(sha256)
            return Version(
                version_id,
                answer["ETag"],
                is_same,
                self._lock_in(answer, which["Key"], version_id) if is_same else None,
            )
        try:
            answer = self._s3.head_object(**which)
            return Version(str(answer["VersionId"]), answer["ETag"], is_readable=False)
        except ClientError as error:
            if error_code(error) in DENIED:
                raise
        # With a caller's own key (SSE-C), S3 only returns the version in the listing.
        for one in self._listed(which["Key"]):
            if one["VersionId"] == which["VersionId"] if "VersionId" in which else one["IsLatest"]:
                return Version(one["VersionId"], one["ETag"], is_readable=False)
        return None

    def _listed(self, key: str) -> list[Any]:
        answer = self._s3.list_object_versions(Bucket=self._bucket, Prefix=key, MaxKeys=_MOST_VERSIONS)
        return [one for one in answer.get("Versions", []) if one["Key"] == key]

    def _which(self, key: str, version: str | None) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": key} | ({"VersionId": version} if version else {})

    def _lock_in(self, answer: Any, key: str, version: str) -> Lock | None:
        """Return the lock in a response; if it has none, request the lock itself."""
        mode, until = answer.get("ObjectLockMode"), answer.get("ObjectLockRetainUntilDate")
        if not mode or not until:
            kept = self._retention(key, version)
            mode, until = kept.get("Mode"), kept.get("RetainUntilDate")
        return Lock(mode, until.astimezone(UTC)) if mode and until else None

    def _retention(self, key: str, version: str) -> Any:
        which = self._which(key, version)
        with translated("s3"), _permitted(which, "s3:GetObjectRetention"):
            try:
                answer = self._s3.get_object_retention(**which)
            except ClientError as error:
                if error_code(error) in _NO_LOCK:
                    return {}
                raise
        return answer.get("Retention", {})


@contextmanager
def _permitted(which: dict[str, str], permission: str = "") -> Iterator[None]:
    """Raise `NotPermitted`, which names the permission to grant, when S3 denies access to a version; by default, to read it."""
    try:
        yield
    except ClientError as error:
        if error_code(error) not in DENIED:
            raise
        permission = permission or ("s3:GetObjectVersion" if "VersionId" in which else "s3:GetObject")
        raise denied("no permission to read the archive", permission, which["Key"], which.get("VersionId")) from None


def denied(what: str, permission: str, key: str, version: str | None = None) -> NotPermitted:
    """Return the error with the permission to grant."""
    return NotPermitted(
        f"{what}; grant it to the role that writes the archive", permission=permission, key=key, version=version
    )


def _in_base64(sha256: str) -> str:
    return b64encode(bytes.fromhex(sha256)).decode()


def _has(body: Any, content: bytes) -> bool:
    """Return whether a body of this length has this content, read piece by piece: the mail is in memory already."""
    expected, at = memoryview(content), 0
    for piece in body.iter_chunks(_PIECE_BYTES):
        if expected[at : at + len(piece)] != piece:
            return False
        at += len(piece)
    return at == len(content)
