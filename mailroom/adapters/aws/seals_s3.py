"""Documents of seals in a bucket: what was stored first under a key is what counts, whatever came later.

A key is only written if no version and no delete marker was ever there, so that a seal's number is used once. In the
archive each version is locked; in the bucket of a witness, which belongs to another account, that account's own rule locks.
"""

from base64 import b64encode
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from botocore.exceptions import ClientError

from mailroom.adapters.aws.clients import error_code, translated
from mailroom.domain.errors import PermanentError, TransientError

_TAKEN, _CONTENDED = frozenset({"PreconditionFailed", "412"}), frozenset({"ConditionalRequestConflict", "409"})

#: The largest document: the entries of a seal, some hundred bytes each.
_MOST_BYTES = 1 << 28


class S3Seals:
    """The port `SealStore` on S3. `lock_mode` and `retention` lock each version; without, the bucket's own rule does."""

    def __init__(self, s3: Any, *, bucket: str, lock_mode: str = "", retention: timedelta = timedelta(0)) -> None:
        self._s3, self._bucket, self._lock_mode, self._retention = s3, bucket, lock_mode, retention
        self.name = f"s3:{bucket}"

    def keep(self, key: str, content: bytes) -> bytes:
        """Store `content` unless something was there before; return what was stored first."""
        there = self.find(key)
        if there is not None:
            return there
        with translated("s3"):
            try:
                self._s3.put_object(
                    Bucket=self._bucket,
                    Key=key,
                    Body=content,
                    ChecksumAlgorithm="SHA256",
                    ChecksumSHA256=b64encode(sha256(content).digest()).decode(),
                    ContentType="application/json",
                    IfNoneMatch="*",
                    **self._lock(),
                )
                return content
            except ClientError as error:
                if error_code(error) in _CONTENDED:
                    raise TransientError("another process is writing the same seal", key=key) from None
                if error_code(error) not in _TAKEN:
                    raise
        there = self.find(key)
        if there is None:
            raise TransientError("the object that was just stored is not listed yet", key=key)
        return there

    def find(self, key: str) -> bytes | None:
        """Return the oldest version's content; None if the key was never used.

        Raises:
            PermanentError: only a delete marker is left, or the version is too large to be ours.
        """
        with translated("s3"):
            pages = list(self._s3.get_paginator("list_object_versions").paginate(Bucket=self._bucket, Prefix=key))
            versions = [one for page in pages for one in page.get("Versions", []) if one["Key"] == key]
            markers = [one for page in pages for one in page.get("DeleteMarkers", []) if one["Key"] == key]
            if not versions:
                if markers:
                    raise PermanentError("a seal was deleted in the archive's bucket", key=key)
                return None
            # S3 lists the newest first, also those of one second.
            oldest = min(reversed(versions), key=lambda one: one["LastModified"])
            if oldest["Size"] > _MOST_BYTES:
                raise PermanentError("an object is too large to be a seal", key=key)
            answer = self._s3.get_object(Bucket=self._bucket, Key=key, VersionId=oldest["VersionId"])
            return bytes(answer["Body"].read())

    def _lock(self) -> dict[str, Any]:
        if not self._lock_mode:
            return {}
        until = datetime.now(UTC).replace(microsecond=0) + self._retention
        return {"ObjectLockMode": self._lock_mode, "ObjectLockRetainUntilDate": until}
