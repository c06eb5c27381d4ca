"""The archive (SAE) on S3 with Object Lock: write-once deposits keyed by content, their receipts in SQL.

A deposit's key is `<tenant>/<first two hex digits>/<sha256>`. It is created with `If-None-Match: *`, a SHA-256 that S3
checks, and a retention date before which nobody can delete that version. Designed after NF Z42-013 and ISO 14641; no
conformity is claimed.

With a second place, a bucket of another region or account, each deposit is stored in both, and both copies are confirmed,
before the receipt is recorded. A deposit that is interrupted between them is completed when it is tried again: both keys
follow from the content.
"""

import hashlib
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, wait
from datetime import UTC, datetime
from typing import IO, Any

from botocore.exceptions import ClientError
from sqlalchemy import Engine

from mailroom.adapters.aws.archive_copies import ArchiveCopies
from mailroom.adapters.aws.archive_place import ArchivePlace
from mailroom.adapters.aws.clients import error_code, translated
from mailroom.adapters.aws.locked_objects import MISSING
from mailroom.adapters.postgres.archive.receipts import FIRST, SECOND, Copy, Recording, SqlReceipts
from mailroom.crash_points import crash_point
from mailroom.domain.archive.retention import Lock, RetentionClass
from mailroom.domain.errors import PermanentError
from mailroom.ports.archive import Content, Deposit
from mailroom.ports.retention_rules import RetentionRules

log = logging.getLogger(__name__)

#: Bytes that are read at once.
_CHUNK = 1 << 18


class S3Archive:
    """The port `Archive` on S3 and PostgreSQL; `second` is the bucket of second copies and its client, if there is one."""

    def __init__(
        self,
        s3: Any,
        engine: Engine,
        *,
        bucket: str,
        lock_mode: str,
        rules: RetentionRules,
        second: tuple[Any, str] | None = None,
    ) -> None:
        self._s3 = s3
        self._receipts = SqlReceipts(engine)
        self._lock_mode = lock_mode
        self._rules = rules
        self._places = [ArchivePlace(FIRST, s3, engine, bucket=bucket)]
        if second:
            self._places.append(ArchivePlace(SECOND, second[0], engine, bucket=second[1]))
        #: What is done to copies after the deposit: extended, repaired, held.
        self.copies = ArchiveCopies(engine, self._places)

    def deposit(self, tenant: str, content: bytes, *, retention: RetentionClass = RetentionClass.DOCUMENT) -> Deposit:
        """Store `content` in each place and return its deposit receipt, which is recorded after all copies are locked."""
        stored = self._store(Content(tenant, content, retention))
        self._receipts.record_all([stored])
        return stored.receipt

    def deposit_all(self, contents: Sequence[Content], *, pool: Executor) -> list[Deposit]:
        """Store each of `contents` as `deposit` does, and record them by one statement after all are locked.

        It waits for each: what is stored is recorded even if another failed, as it would be by itself.
        """
        storing = [pool.submit(self._store, one) for one in contents]
        wait(storing)
        self._receipts.record_all([one.result() for one in storing if one.exception() is None])
        return [one.result().receipt for one in storing]

    def _store(self, what: Content) -> Recording:
        # S3 compares it with the bytes.
        digest = what.sha256 or hashlib.sha256(what.content).hexdigest()
        key = f"{what.tenant}/{digest[:2]}/{digest}"
        now = datetime.now(UTC).replace(microsecond=0)
        rule = self._rules.of(what.retention)
        first, *others = self._kept(key, what.content, digest, rule.lock(self._lock_mode, now))
        receipt = Deposit(
            archive_id=f"{what.tenant}/{digest}",
            tenant=what.tenant,
            sha256=digest,
            sha512=what.sha512 or hashlib.sha512(what.content).hexdigest(),
            size=len(what.content),
            bucket=first.bucket,
            key=key,
            version=first.version,
            lock_mode=first.lock_mode,
            retain_until=first.retain_until,
            verified_at=now,
        )
        return Recording(receipt, rule.label, others)

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
            TransientError, PermanentError: a bucket cannot be reached.
        """
        for place in self._places:
            place.check()

    def _kept(self, key: str, content: bytes, digest: str, wanted: Lock) -> list[Copy]:
        """Store the content in each place and return the copies; with two, both are confirmed by what the buckets have."""
        copies: list[Copy] = []
        for place in self._places:
            if copies:
                crash_point("before", "second copy")
            version, lock = place.keep(key, content, digest, wanted)
            # The next copy is locked for no less: bytes that are there for longer keep the longest lock in each place.
            wanted = lock if lock.is_at_least(wanted) else wanted
            copies.append(Copy(place.name, place.bucket, key, version, lock.mode, lock.until))
        if len(copies) > 1:
            for place, copy in zip(self._places, copies, strict=True):
                locked = Lock(copy.lock_mode, copy.retain_until)
                place.objects.confirm(key, copy.version, sha256=digest, size=len(content), lock=locked)
            crash_point("after", "second copy")
        return copies

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
