"""The archive (SAE) on S3 with Object Lock: write-once deposits keyed by content, their receipts in SQL.

A deposit's key is `<tenant>/<first two hex digits>/<sha256>`. It is created with `If-None-Match: *`, a SHA-256 that S3
checks, and a retention date before which nobody can delete that version. Designed after NF Z42-013 and ISO 14641; no
conformity is claimed.

Content that is stored already keeps its version, whose lock is extended before the receipt is recorded. Other versions of
its key, and delete markers, are unknown objects: other writers may use the bucket. They are reported and do not stop a
deposit: the locked version with these bytes is searched for, and if there is none, a new version is put.
"""

import hashlib
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import IO, Any, ClassVar

from botocore.exceptions import ClientError
from sqlalchemy import Engine

from mailroom.adapters.aws.clients import error_code, translated
from mailroom.adapters.aws.locked_objects import DECRYPT, EXTEND, MISSING, Lock, LockedObjects, Version, denied
from mailroom.adapters.aws.s3 import check_readable
from mailroom.adapters.postgres.archive.findings import SqlArchiveFindings
from mailroom.adapters.postgres.archive.receipts import SqlReceipts
from mailroom.crash_points import crash_point
from mailroom.domain.errors import NotPermitted, PermanentError, TransientError
from mailroom.ports.archive import Deposit

log = logging.getLogger(__name__)

#: A lock that ends at most this much earlier than a new one would is long enough: no call, and the receipt has its date.
_SHORT_OF, _AT_MOST = 100, timedelta(days=1)

#: The most versions of one key that are read to find the content, newest first.
_MOST_READ = 20

#: Bytes that are read at once.
_CHUNK = 1 << 18

#: Tries of a deposit while other writers change the key.
_TRIES = 4


class S3Archive:
    """The port `Archive` on S3 and PostgreSQL."""

    #: By bucket, the last denial in this process, with the client that got it: `check` repeats the call until it is permitted.
    _denied: ClassVar[dict[str, tuple[LockedObjects, NotPermitted]]] = {}

    def __init__(self, s3: Any, engine: Engine, *, bucket: str, lock_mode: str, retention: timedelta) -> None:
        self._s3 = s3
        self._objects = LockedObjects(s3, bucket)
        self._engine = engine
        self._receipts = SqlReceipts(engine)
        self._bucket = bucket
        self._lock_mode = lock_mode
        self._retention = retention

    def deposit(self, tenant: str, content: bytes, *, period: timedelta | None = None) -> Deposit:
        """Store `content` and return its deposit receipt, which is recorded after the object is locked."""
        digest = hashlib.sha256(content).hexdigest()
        key = f"{tenant}/{digest[:2]}/{digest}"
        now = datetime.now(UTC).replace(microsecond=0)
        try:
            version, lock = self._keep(key, content, digest, Lock(self._lock_mode, now + (period or self._retention)))
        except NotPermitted as error:
            self._denied[self._bucket] = self._objects, error
            raise
        receipt = Deposit(
            archive_id=f"{tenant}/{digest}",
            tenant=tenant,
            sha256=digest,
            sha512=hashlib.sha512(content).hexdigest(),
            size=len(content),
            bucket=self._bucket,
            key=key,
            version=version,
            lock_mode=lock.mode,
            retain_until=lock.until,
            verified_at=now,
        )
        self._receipts.record(receipt)
        return receipt

    def find(self, archive_id: str) -> Deposit | None:
        """Return the deposit receipt of `archive_id`, or None."""
        return self._receipts.find(archive_id)

    def read(self, archive_id: str) -> bytes:
        """Return the content, checked against its digest."""
        return b"".join(self._verified(archive_id, at_once=True))

    def copy(self, archive_id: str, target: IO[bytes]) -> None:
        """Write the content to `target`, checked against its digest."""
        for chunk in self._verified(archive_id):
            target.write(chunk)

    def check(self) -> None:
        """Return if the archive works, and a permission that was denied in this process is granted again.

        Raises:
            NotPermitted: a permission is still missing.
            TransientError, PermanentError: the bucket cannot be reached.
        """
        check_readable(self._s3, self._bucket, "mailroom-probe")
        if self._bucket in self._denied:
            objects, denial = self._denied[self._bucket]
            objects.ask_again(denial)
            self._denied.pop(self._bucket, None)

    def _verified(self, archive_id: str, *, at_once: bool = False) -> Iterator[bytes]:
        """Yield the content, in one chunk or in small ones; raise at the end if it is not what was deposited."""
        receipt = self.find(archive_id)
        if receipt is None:
            raise LookupError("no such deposit")
        digest = hashlib.sha256()
        with translated("s3"):
            try:
                answer = self._s3.get_object(Bucket=receipt.bucket, Key=receipt.key, VersionId=receipt.version)
                for chunk in answer["Body"].iter_chunks(max(receipt.size, 1) if at_once else _CHUNK):
                    digest.update(chunk)
                    yield chunk
            except ClientError as error:
                if error_code(error) in MISSING | {"NoSuchBucket"}:
                    raise LookupError("the object of the deposit is missing in the archive's bucket") from None
                raise
        if digest.hexdigest() != receipt.sha256:
            raise PermanentError("the stored bytes differ from those that were deposited", archive_id=archive_id)

    def _keep(self, key: str, content: bytes, digest: str, wanted: Lock) -> tuple[str, Lock]:
        """Return a version with these bytes, stored if need be, and its lock, which is as wanted or insignificantly shorter."""
        over = None
        for _ in range(_TRIES):
            version = self._objects.put(key, content, digest, wanted, over=over)
            if version is not None:
                return version, wanted
            crash_point("before", "adopt")
            try:
                newest = self._objects.read(key, content, digest)
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
            kept_until = self._receipts.kept_until(self._bucket, key)
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
        known = self._receipts.versions(self._bucket, key)
        versions = self._objects.versions(key, size=len(content))[:_MOST_READ]
        for version in dict.fromkeys([*known, *versions]):
            is_newest = newest is not None and version == newest.id
            one = newest if is_newest else self._objects.read(key, content, digest, version=version)
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
        for version in self._receipts.versions(self._bucket, key):
            try:
                one = self._objects.read(key, content, digest, version=version)
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
        enough = Lock(wanted.mode, wanted.until - min(self._retention / _SHORT_OF, _AT_MOST))
        if lock.is_at_least(enough):
            return lock
        mode = lock.mode if lock.is_as_strict_as(wanted) else wanted.mode
        longer = Lock(mode, max(wanted.until, lock.until))
        if self._objects.extend(key, version.id, longer):
            return longer
        # Another mail with this content may have extended it further; S3 refuses to shorten.
        lock = self._objects.lock_of(key, version.id)
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
            SqlArchiveFindings(self._engine, self._bucket).meet(key, newest.id, now=datetime.now(UTC))
