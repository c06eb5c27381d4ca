"""S3's Object Lock, for moto: GetObjectRetention works, and a lock is neither shortened nor weakened.

moto 5.2.5 responds to GetObjectRetention with the object itself, and accepts any new date and mode for a locked version.
Sources: Amazon S3 API reference, GetObjectRetention and PutObjectRetention; S3 user guide, "Locking objects with Object Lock".
"""

from datetime import UTC, datetime
from typing import Any

from moto.s3.exceptions import AccessDeniedByLock, S3ClientError
from moto.s3.models import FakeKey, S3Backend
from moto.s3.responses import S3Response

_BODY = (
    '<?xml version="1.0" encoding="UTF-8"?><Retention xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
    "<Mode>{mode}</Mode><RetainUntilDate>{until}</RetainUntilDate></Retention>"
)

_get_object = S3Response.get_object
_put_retention = S3Backend.put_object_retention


class NoLock(S3ClientError):
    """S3's response for a version without a lock."""

    def __init__(self) -> None:
        super().__init__(
            "NoSuchObjectLockConfiguration", "The specified object does not have a ObjectLock configuration"
        )


def like_s3() -> None:
    """Make moto in this process follow Object Lock's rules; may be called again."""
    S3Response.get_object = _answer  # type: ignore[method-assign]
    S3Backend.put_object_retention = _keep  # type: ignore[method-assign]


def _answer(self: S3Response) -> Any:
    if "retention" not in self.querystring:
        return _get_object(self)
    key, _ = self._get_key()
    if not key.lock_mode:
        raise NoLock
    return 200, {"content-type": "application/xml"}, _BODY.format(mode=key.lock_mode, until=key.lock_until)


def _keep(
    self: S3Backend, bucket_name: str, key_name: str, version_id: str | None, retention: tuple[str | None, str | None]
) -> None:
    key = self.get_object(bucket_name, key_name, version_id=version_id)
    if isinstance(key, FakeKey) and key.is_locked(governance_bypass=False):
        mode, until = retention
        weaker = mode != key.lock_mode and key.lock_mode == "COMPLIANCE"
        if weaker or until is None or _time(until) < _time(str(key.lock_until)):
            raise AccessDeniedByLock
    _put_retention(self, bucket_name, key_name, version_id, retention)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC)
