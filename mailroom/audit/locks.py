"""Locks and checksums of versions in S3. A missing permission is reported once, and is no violation of a deposit.

S3 omits the lock from its responses to a caller without `s3:GetObjectRetention`; only a request for the lock itself shows
whether there is none or it may not be read.
"""

from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mailroom.audit.listings import Stored
from mailroom.audit.report import Report

_DENIED = ("AccessDenied", "403")
_NO_LOCK = ("NoSuchObjectLockConfiguration", "ObjectLockConfigurationNotFoundError", "InvalidRequest")


class NotPermittedError(Exception):
    """A permission is missing; it is in the report already."""


@dataclass(frozen=True, slots=True)
class Locks:
    """The locks of one bucket's versions, read with the client `s3`."""

    s3: Any
    bucket: str
    report: Report

    def until(self, key: str, version: str, answer: Mapping[str, Any]) -> datetime | None:
        """Return until when a version is locked, from S3's response to GetObject or HeadObject; None if it is not locked.

        Raises:
            NotPermittedError: it may not be read.
        """
        until: datetime | None = answer.get("ObjectLockRetainUntilDate")
        if until is not None:
            return until
        try:
            kept = self.s3.get_object_retention(Bucket=self.bucket, Key=key, VersionId=version)
        except self.s3.exceptions.ClientError as error:
            if code_of(error) in _NO_LOCK:
                return None
            raise self.denied(error, "s3:GetObjectRetention") from error
        return kept.get("Retention", {}).get("RetainUntilDate")  # type: ignore[no-any-return]

    def is_copy(self, stored: Stored, receipt: Any) -> bool:
        """Return whether a version is another locked copy of a deposit, by its checksum in S3.

        Raises:
            NotPermittedError: neither it nor the deposit itself may be read.
        """
        which = self._which(stored.key, stored.version)
        try:
            answer = self.s3.head_object(**which, ChecksumMode="ENABLED")
        except self.s3.exceptions.ClientError as error:
            if code_of(error) in _DENIED and not self._may_read(receipt.key, receipt.version):
                permission = "kms:Decrypt" if self._answers(**which) else "s3:GetObjectVersion"
                raise self.denied(error, permission) from error
            # Encrypted with a key that S3 does not have or that only others may use; no deposit is.
            return False
        if b64decode(answer.get("ChecksumSHA256", "").partition("-")[0]).hex() != receipt.sha256:
            return False
        return self.until(stored.key, stored.version, answer) is not None

    def _may_read(self, key: str, version: str) -> bool:
        """Return whether this caller may read a version; true for one that does not exist."""
        return self._answers(**self._which(key, version), ChecksumMode="ENABLED")

    def _answers(self, **which: str) -> bool:
        try:
            self.s3.head_object(**which)
        except self.s3.exceptions.ClientError as error:
            return code_of(error) not in _DENIED
        return True

    def _which(self, key: str, version: str) -> dict[str, str]:
        return {"Bucket": self.bucket, "Key": key, "VersionId": version}

    def denied(self, error: Any, permission: str) -> Exception:
        """Return the exception for an error of S3: a missing permission, which is reported once, or the error itself."""
        if code_of(error) not in _DENIED:
            return error  # type: ignore[no-any-return]
        what = f"cannot be read: permission {permission} is missing; grant it to the user of mailroom check, and repeat the check"
        self.report.violate_once("permission", f"{self.bucket} {permission}", what)
        return NotPermittedError(permission)


def is_denied(error: Any) -> bool:
    """Return whether S3 denies access to this caller."""
    return code_of(error) in _DENIED


def code_of(error: Any) -> str:
    """Return S3's error code, or the name of an error of the client."""
    return str(error.response["Error"]["Code"]) if hasattr(error, "response") else type(error).__name__
