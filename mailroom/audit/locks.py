"""What S3 says of a version's lock and checksum. What this caller may not read is said once, and is no fault of a deposit.

S3 leaves the lock out of its answers for a caller without `s3:GetObjectRetention`; only asked for the lock itself does it
say whether there is none or it may not be read.
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
    """A permission is missing; the report has it."""


@dataclass(frozen=True, slots=True)
class Locks:
    """The locks of one bucket's versions, as the caller `s3` may read them."""

    s3: Any
    bucket: str
    report: Report

    def until(self, key: str, version: str, answer: Mapping[str, Any]) -> datetime | None:
        """Return until when a version is locked, from S3's answer to GetObject or HeadObject; None when it is not.

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
        """Return whether a version is another locked copy of a deposit, by the checksum that S3 keeps of it.

        Raises:
            NotPermittedError: it may not be read, nor may the deposit itself.
        """
        which = self._which(stored.key, stored.version)
        try:
            answer = self.s3.head_object(**which, ChecksumMode="ENABLED")
        except self.s3.exceptions.ClientError as error:
            if code_of(error) in _DENIED and not self._may_read(receipt.key, receipt.version):
                permission = "kms:Decrypt" if self._answers(**which) else "s3:GetObjectVersion"
                raise self.denied(error, permission) from error
            # Encrypted with a key that S3 does not have, or somebody else's alone; no deposit is.
            return False
        if b64decode(answer.get("ChecksumSHA256", "").partition("-")[0]).hex() != receipt.sha256:
            return False
        return self.until(stored.key, stored.version, answer) is not None

    def _may_read(self, key: str, version: str) -> bool:
        """Return whether this caller may read a version; one that is not there forbids nothing."""
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
        """Return what to raise for an answer of S3: a missing permission, which is reported once, or the answer itself."""
        if code_of(error) not in _DENIED:
            return error  # type: ignore[no-any-return]
        what = f"cannot be read: permission {permission} is missing; grant it to whoever checks, and check again"
        self.report.violate_once("permission", f"{self.bucket} {permission}", what)
        return NotPermittedError(permission)


def is_denied(error: Any) -> bool:
    """Return whether S3 says that this caller may not."""
    return code_of(error) in _DENIED


def code_of(error: Any) -> str:
    """Return the code of S3's answer."""
    return str(error.response["Error"]["Code"])
