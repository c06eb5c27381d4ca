"""The installation's counter in the archive's bucket, below `_mailroom/`: no tenant's name begins like that; it is not locked.

The bucket keeps versions, so each write removes the one that it replaced. Writes are conditional: of two concurrent ones the
higher value stays.
"""

import json
import logging
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from mailroom.adapters.aws.clients import error_code, translated
from mailroom.domain.errors import MailroomError, PermanentError, TransientError

log = logging.getLogger(__name__)

PREFIX = "_mailroom/"

_MISSING = frozenset({"404", "NoSuchKey"})
_CONTENDED = frozenset({"PreconditionFailed", "412", "ConditionalRequestConflict", "409"})
_TRIES = 5


@dataclass(frozen=True, slots=True)
class _Kept:
    """The object's value; `etag` and `version` identify this write of it."""

    counter: int
    etag: str
    version: str | None


class S3Counter:
    """The port `OutsideCounter` on one small S3 object for each installation."""

    def __init__(self, s3: Any, *, bucket: str) -> None:
        self._s3, self._bucket = s3, bucket
        self._warned = False

    def read(self, name: str) -> int | None:
        """Return the value, or None if there is none."""
        kept = self._get(name)
        return None if kept is None else kept.counter

    def raise_to(self, name: str, counter: int) -> None:
        """Write `counter` if the stored value is lower or missing."""
        for _ in range(_TRIES):
            before = self._get(name)
            if before is not None and before.counter >= counter:
                return
            if self._put(name, counter, before):
                self._forget(name, before)
                return
        raise TransientError("other processes keep writing the counter", key=_key(name))

    def _get(self, name: str) -> _Kept | None:
        with translated("s3"):
            try:
                answer = self._s3.get_object(Bucket=self._bucket, Key=_key(name))
            except ClientError as error:
                if error_code(error) in _MISSING:
                    return None
                raise
            body = answer["Body"].read()
        try:
            return _Kept(int(json.loads(body)["counter"]), answer["ETag"], answer.get("VersionId"))
        except (ValueError, KeyError, TypeError):
            raise PermanentError("the counter outside the database is not readable", key=_key(name)) from None

    def _put(self, name: str, counter: int, before: _Kept | None) -> bool:
        """Write, and return whether no other process wrote in between."""
        condition = {"IfNoneMatch": "*"} if before is None else {"IfMatch": before.etag}
        with translated("s3"):
            try:
                self._s3.put_object(
                    Bucket=self._bucket,
                    Key=_key(name),
                    Body=json.dumps({"counter": counter}).encode(),
                    ContentType="application/json",
                    **condition,
                )
            except ClientError as error:
                if error_code(error) in _CONTENDED:
                    return False
                raise
        return True

    def _forget(self, name: str, before: _Kept | None) -> None:
        """Delete the replaced version; failing to do so only leaves a few bytes."""
        if before is None or before.version in (None, "null"):
            return
        try:
            with translated("s3"):
                self._s3.delete_object(Bucket=self._bucket, Key=_key(name), VersionId=before.version)
        except MailroomError as error:
            if not self._warned:
                log.warning(
                    "old versions of the counter cannot be deleted from the archive's bucket; see its run-book: %s",
                    error,
                )
            self._warned = True


def _key(name: str) -> str:
    return f"{PREFIX}{name}/counter.json"
