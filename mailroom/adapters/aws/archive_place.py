"""A bucket with Object Lock in which the archive keeps a copy of each deposit: content that is there already is found again.

Content that is stored already keeps its version, whose lock is extended. Other versions of its key, and delete markers, are
unknown objects: other writers may use the bucket. They are reported and do not stop a deposit: the locked version with these
bytes is searched for, and if there is none, a new version is put.
"""

import logging
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from sqlalchemy import Engine

from mailroom.adapters.aws.locked_objects import DECRYPT, EXTEND, LockedObjects, Version, denied
from mailroom.adapters.aws.s3 import check_readable
from mailroom.adapters.postgres.archive.findings import SqlArchiveFindings
from mailroom.adapters.postgres.archive.receipts import SqlReceipts
from mailroom.crash_points import crash_point
from mailroom.domain.archive.retention import Lock
from mailroom.domain.errors import NotPermitted, TransientError

log = logging.getLogger(__name__)

#: A lock that ends at most this much earlier than a new one would is long enough: no call, and the receipt has its date.
_SHORT_OF, _AT_MOST = 100, timedelta(days=1)

#: The most versions of one key that are read to find the content, newest first.
_MOST_READ = 20

#: Tries of a deposit while other writers change the key.
_TRIES = 4


class ArchivePlace:
    """One bucket of the archive; `name` is `first` or `second`, as receipts name it."""

    #: By bucket, the last denial in this process, with the client that got it: `check` repeats the call until it is permitted.
    _denied: ClassVar[dict[str, tuple[LockedObjects, NotPermitted]]] = {}

    def __init__(self, name: str, s3: Any, engine: Engine, *, bucket: str) -> None:
        self.name = name
        self.bucket = bucket
        self.objects = LockedObjects(s3, bucket)
        self.s3 = s3
        self._engine = engine
        self._receipts = SqlReceipts(engine)

    def keep(self, key: str, content: bytes, digest: str, wanted: Lock) -> tuple[str, Lock]:
        """Return a version with these bytes, stored if need be, and its lock, which is as wanted or insignificantly shorter.

        Raises:
            NotPermitted: a permission to read or extend locks is missing.
            TransientError: other writers change the same key.
            LockRefused: no version may get such a lock.
        """
        wanted.refuse(now=datetime.now(UTC))
        try:
            return self._keep(key, content, digest, wanted)
        except NotPermitted as error:
            self._denied[self.bucket] = self.objects, error
            raise

    def check(self) -> None:
        """Return if the bucket can be read, and a permission that was denied in this process is granted again.

        Raises:
            NotPermitted: a permission is still missing.
            TransientError, PermanentError: the bucket cannot be reached.
        """
        check_readable(self.s3, self.bucket, "mailroom-probe")
        if self.bucket in self._denied:
            objects, denial = self._denied[self.bucket]
            objects.ask_again(denial)
            self._denied.pop(self.bucket, None)

    def _keep(self, key: str, content: bytes, digest: str, wanted: Lock) -> tuple[str, Lock]:
        over = None
        for _ in range(_TRIES):
            version = self.objects.put(key, content, digest, wanted, over=over)
            if version is not None:
                return version, wanted
            crash_point("before", "adopt")
            try:
                newest = self.objects.read(key, content, digest)
            except NotPermitted:
                if (kept := self._below_unreadable(key, content, digest, wanted)) is None:
                    raise
                return kept
            kept = self._adopt(key, content, digest, newest, wanted)
            crash_point("after", "adopt")
            if kept is not None:
                return kept
            over = newest.etag if newest is not None else None
            # The new version replaces one that the receipt says is locked until then.
            kept_until = self._receipts.kept_until(self.bucket, key)
            wanted = Lock(wanted.mode, max(wanted.until, kept_until or wanted.until))
        raise TransientError("another process is depositing the same content", key=key)

    def _adopt(
        self, key: str, content: bytes, digest: str, newest: Version | None, wanted: Lock
    ) -> tuple[str, Lock] | None:
        """Return the version that has this content already, with its extended lock; None if no version has.

        Its bytes are compared, because a receipt for other bytes would be false evidence.
        """
        if newest is not None and (lock := self._extended(key, newest, wanted)):
            return newest.id, lock
        known = self._receipts.versions(self.bucket, key)
        versions = self.objects.versions(key, size=len(content))[:_MOST_READ]
        for version in dict.fromkeys([*known, *versions]):
            is_newest = newest is not None and version == newest.id
            one = newest if is_newest else self.objects.read(key, content, digest, version=version)
            if one is not None and not one.is_readable and version in known:
                raise denied("no permission to decrypt the archive's objects", DECRYPT, key, version)
            if one is not None and not is_newest and (lock := self._extended(key, one, wanted)):
                self._report_unknown(key, newest)
                return one.id, lock
        self._report_unknown(key, newest)
        return None

    def _below_unreadable(self, key: str, content: bytes, digest: str, wanted: Lock) -> tuple[str, Lock] | None:
        """Return the version of the receipt and its lock, when only a newer version may not be read.

        Such a version is not ours: in a bucket with access control lists, an object of another account belongs to it.
        """
        for version in self._receipts.versions(self.bucket, key):
            try:
                one = self.objects.read(key, content, digest, version=version)
            except NotPermitted:
                continue
            if one is not None and (lock := self._extended(key, one, wanted)):
                log.warning(
                    "no permission to read the newest version of archive key %s; see mailroom archive findings", key
                )
                return one.id, lock
        return None

    def _extended(self, key: str, version: Version, wanted: Lock) -> Lock | None:
        """Return the version's lock, extended if it is too short; None if it cannot hold this content as wanted.

        A version under GOVERNANCE is changed to COMPLIANCE if that is wanted and S3 allows it; otherwise a new one is put.
        """
        lock = version.lock
        if not version.is_same or lock is None:
            return None
        enough = Lock(wanted.mode, wanted.until - min((wanted.until - datetime.now(UTC)) / _SHORT_OF, _AT_MOST))
        if lock.is_at_least(enough):
            return lock
        mode = lock.mode if lock.is_as_strict_as(wanted) else wanted.mode
        longer = Lock(mode, max(wanted.until, lock.until))
        if self.objects.extend(key, version.id, longer, present=lock):
            return longer
        # Another mail with this content may have extended it further; S3 refuses to shorten.
        lock = self.objects.lock_of(key, version.id)
        if lock is not None and lock.is_at_least(enough):
            return lock
        if lock is not None and not lock.is_as_strict_as(wanted):
            return None
        raise denied("no permission to extend the archive's locks", EXTEND, key, version.id)

    def _report_unknown(self, key: str, newest: Version | None) -> None:
        """Report an unknown newest version under the deposit's key, or a delete marker."""
        if newest is not None and newest.is_same and newest.lock is not None:
            return
        what = f"version {newest.id}" if newest is not None else "a delete marker"
        log.warning("%s of archive key %s was not deposited by Mailroom; see mailroom archive findings", what, key)
        if newest is not None:
            SqlArchiveFindings(self._engine, self.bucket).meet(key, newest.id, now=datetime.now(UTC))
