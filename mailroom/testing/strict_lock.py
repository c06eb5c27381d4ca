"""S3 with Object Lock in memory, as strict as S3 where moto is lenient: the calls of a boto3 client that the archive makes.

It refuses to shorten or weaken a lock, to delete a locked or held version (a bypass counts under GOVERNANCE alone), a date in
the past or without a time zone, bytes whose SHA-256 differs, and another bucket owner. Its clock can be moved.
Sources: Amazon S3 user guide, "Locking objects with Object Lock"; API reference, PutObject, PutObjectRetention, DeleteObject.
"""

import hashlib
import io
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from itertools import count
from typing import Any

from botocore.exceptions import ClientError
from botocore.response import StreamingBody

_GOVERNANCE, _COMPLIANCE = "GOVERNANCE", "COMPLIANCE"
_OWNER = "ExpectedBucketOwner"


@dataclass(slots=True)
class _Version:
    id: str
    body: bytes
    at: datetime
    is_marker: bool = False
    mode: str | None = None
    until: datetime | None = None
    is_held: bool = False
    etag: str = field(init=False)

    def __post_init__(self) -> None:
        self.etag = f'"{hashlib.sha256(self.body).hexdigest()[:32]}"'


class StrictLockFake:
    """A client of S3 whose buckets are all made with Object Lock; `owner` is the account that they belong to."""

    def __init__(
        self, *, owner: str = "123456789012", clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self.owner, self.clock = owner, clock
        self._buckets: dict[str, dict[str, list[_Version]]] = {}
        self._numbers, self._lock = count(1), threading.RLock()

    def create_bucket(self, **asked: Any) -> None:
        """Make a bucket with Object Lock."""
        if not asked.get("ObjectLockEnabledForBucket"):
            raise _error("InvalidRequest", 400, "CreateBucket")
        self._buckets.setdefault(asked["Bucket"], {})

    def head_bucket(self, **asked: Any) -> Any:
        """Return the time of its clock, if the bucket is there and of the expected owner."""
        self._bucket(asked, "HeadBucket")
        return {"ResponseMetadata": {"HTTPHeaders": {"date": format_datetime(self.clock(), usegmt=True)}}}

    def get_bucket_versioning(self, **asked: Any) -> Any:
        """Return that the bucket keeps versions, as each with Object Lock does."""
        self._bucket(asked, "GetBucketVersioning")
        return {"Status": "Enabled"}

    def get_object_lock_configuration(self, **asked: Any) -> Any:
        """Return that the bucket has Object Lock and no default retention."""
        self._bucket(asked, "GetObjectLockConfiguration")
        return {"ObjectLockConfiguration": {"ObjectLockEnabled": "Enabled"}}

    def put_object(self, **asked: Any) -> Any:
        """Add a version, if its condition, its checksum and its lock are right."""
        with self._lock:
            versions = self._bucket(asked, "PutObject").setdefault(asked["Key"], [])
            body, newest = bytes(asked["Body"]), versions[-1] if versions and not versions[-1].is_marker else None
            if asked.get("IfNoneMatch") == "*" and newest is not None:
                raise _error("PreconditionFailed", 412, "PutObject")
            if (etag := asked.get("IfMatch")) and newest is None:
                raise _error("NoSuchKey", 404, "PutObject")
            if etag and newest is not None and newest.etag != etag:
                raise _error("PreconditionFailed", 412, "PutObject")
            if asked.get("ChecksumSHA256", _checksum(body)) != _checksum(body):
                raise _error("BadDigest", 400, "PutObject")
            mode, until = asked.get("ObjectLockMode"), asked.get("ObjectLockRetainUntilDate")
            if mode is not None or until is not None:
                self._refuse_date(mode, until, "PutObject")
            made = _Version(f"v{next(self._numbers)}", body, self.clock(), mode=mode, until=until)
            versions.append(made)
            return {"VersionId": made.id, "ETag": made.etag, "ChecksumSHA256": _checksum(body)}

    def get_object(self, **asked: Any) -> Any:
        """Return a version with its content."""
        one = self._version(asked, "GetObject")
        return self._head(one, asked) | {"Body": StreamingBody(io.BytesIO(one.body), len(one.body))}

    def head_object(self, **asked: Any) -> Any:
        """Return what is known of a version."""
        return self._head(self._version(asked, "HeadObject"), asked)

    def get_object_retention(self, **asked: Any) -> Any:
        """Return the lock of a version."""
        one = self._version(asked, "GetObjectRetention")
        if one.mode is None:
            raise _error("NoSuchObjectLockConfiguration", 404, "GetObjectRetention")
        return {"Retention": {"Mode": one.mode, "RetainUntilDate": one.until}}

    def put_object_retention(self, **asked: Any) -> None:
        """Set the lock of a version: extended, or made stricter, unless a bypass of GOVERNANCE is asked for."""
        with self._lock:
            one, wanted = self._version(asked, "PutObjectRetention"), asked["Retention"]
            mode, until = wanted.get("Mode"), wanted.get("RetainUntilDate")
            self._refuse_date(mode, until, "PutObjectRetention")
            is_less = one.until is not None and (until < one.until or (one.mode == _COMPLIANCE and mode != _COMPLIANCE))
            may_bypass = one.mode == _GOVERNANCE and asked.get("BypassGovernanceRetention")
            if is_less and self._is_locked(one) and not may_bypass:
                raise _error("AccessDenied", 403, "PutObjectRetention")
            one.mode, one.until = mode, until

    def get_object_legal_hold(self, **asked: Any) -> Any:
        """Return whether a version is held."""
        one = self._version(asked, "GetObjectLegalHold")
        return {"LegalHold": {"Status": "ON" if one.is_held else "OFF"}}

    def put_object_legal_hold(self, **asked: Any) -> None:
        """Set or remove the legal hold of a version."""
        self._version(asked, "PutObjectLegalHold").is_held = asked["LegalHold"]["Status"] == "ON"

    def delete_object(self, **asked: Any) -> Any:
        """Delete a version that nothing protects; without a version, only a delete marker is added."""
        with self._lock:
            versions = self._bucket(asked, "DeleteObject").setdefault(asked["Key"], [])
            if "VersionId" not in asked:
                made = _Version(f"v{next(self._numbers)}", b"", self.clock(), is_marker=True)
                versions.append(made)
                return {"DeleteMarker": True, "VersionId": made.id}
            for one in [one for one in versions if one.id == asked["VersionId"]]:
                may_bypass = one.mode == _GOVERNANCE and asked.get("BypassGovernanceRetention")
                if one.is_held or (self._is_locked(one) and not may_bypass):
                    raise _error("AccessDenied", 403, "DeleteObject")
                versions.remove(one)
            return {"VersionId": asked["VersionId"]}

    def list_object_versions(self, **asked: Any) -> Any:
        """Return all versions and delete markers, newest first under each key."""
        found: dict[str, list[Any]] = {"Versions": [], "DeleteMarkers": []}
        for key, versions in sorted(self._bucket(asked, "ListObjectVersions").items()):
            for one in reversed(versions) if key.startswith(asked.get("Prefix", "")) else ():
                row = {"Key": key, "VersionId": one.id, "IsLatest": one is versions[-1], "LastModified": one.at}
                if not one.is_marker:
                    row |= {"Size": len(one.body), "ETag": one.etag}
                found["DeleteMarkers" if one.is_marker else "Versions"].append(row)
        return {name: rows for name, rows in found.items() if rows}

    def list_objects_v2(self, **asked: Any) -> Any:
        """Return the keys without a delete marker, or with `Delimiter` their first folders."""
        bucket = self._bucket(asked, "ListObjectsV2")
        keys = [key for key, versions in sorted(bucket.items()) if versions and not versions[-1].is_marker]
        keys = [key for key in keys if key.startswith(asked.get("Prefix", ""))]
        if asked.get("Delimiter"):
            return {
                "CommonPrefixes": [{"Prefix": one} for one in dict.fromkeys(f"{key.split('/')[0]}/" for key in keys)]
            }
        return {"Contents": [{"Key": key, "Size": len(bucket[key][-1].body)} for key in keys]}

    def get_paginator(self, operation: str) -> "_Paginator":
        """Return a paginator with one page."""
        return _Paginator(getattr(self, operation))

    def _bucket(self, asked: dict[str, Any], operation: str) -> dict[str, list[_Version]]:
        if asked["Bucket"] not in self._buckets:
            raise _error("NoSuchBucket", 404, operation)
        if asked.get(_OWNER, self.owner) != self.owner:
            raise _error("AccessDenied", 403, operation)
        return self._buckets[asked["Bucket"]]

    def _version(self, asked: dict[str, Any], operation: str) -> _Version:
        with self._lock:
            versions = self._bucket(asked, operation).get(asked["Key"], [])
            wanted = asked.get("VersionId")
            found = versions[-1:] if wanted is None else [one for one in versions if one.id == wanted]
            if not found or (found[0].is_marker and wanted is None):
                raise _error(
                    "404" if operation == "HeadObject" else "NoSuchKey" if wanted is None else "NoSuchVersion",
                    404,
                    operation,
                )
            if found[0].is_marker:
                raise _error("MethodNotAllowed", 405, operation)
            return found[0]

    def _head(self, one: _Version, asked: dict[str, Any]) -> dict[str, Any]:
        said: dict[str, Any] = {
            "VersionId": one.id,
            "ETag": one.etag,
            "ContentLength": len(one.body),
            "LastModified": one.at,
        }
        if asked.get("ChecksumMode") == "ENABLED":
            said["ChecksumSHA256"] = _checksum(one.body)
        if one.mode is not None:
            said |= {"ObjectLockMode": one.mode, "ObjectLockRetainUntilDate": one.until}
        if one.is_held:
            said["ObjectLockLegalHoldStatus"] = "ON"
        return said

    def _is_locked(self, one: _Version) -> bool:
        return one.until is not None and one.until > self.clock()

    def _refuse_date(self, mode: Any, until: Any, operation: str) -> None:
        is_date = isinstance(until, datetime) and until.utcoffset() is not None
        if mode not in (_GOVERNANCE, _COMPLIANCE) or not is_date or until <= self.clock():
            raise _error("InvalidArgument", 400, operation)


class _Paginator:
    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call

    def paginate(self, **asked: Any) -> Iterator[Any]:
        yield self._call(**asked)


def _checksum(body: bytes) -> str:
    return b64encode(hashlib.sha256(body).digest()).decode()


def _error(code: str, status: int, operation: str) -> ClientError:
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, operation)  # type: ignore[typeddict-item]
