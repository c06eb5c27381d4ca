"""The archive (SAE) on S3 with Object Lock: write-once deposits keyed by content, their receipts in SQL.

A deposit's key is `<tenant>/<first two hex digits>/<sha256>`. It is created with `If-None-Match: *`, a SHA-256 that S3
checks, and a retention date before which nobody can delete that version. Designed after NF Z42-013 and ISO 14641; no
conformity is claimed.
"""

import hashlib
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError
from sqlalchemy import Engine, select
from sqlalchemy.dialects.postgresql import insert

from mailroom.adapters.aws import error_code, translated
from mailroom.adapters.sql.engine import statement, transaction
from mailroom.adapters.sql.models import DepositRow, table
from mailroom.crash import crash_point
from mailroom.domain.errors import PermanentError, TransientError
from mailroom.ports import Deposit

_MISSING = frozenset({"404", "NoSuchKey", "NoSuchVersion", "NoSuchBucket"})
#: S3's words for "there is one already", and for "another writer is at it; try again".
_TAKEN, _CONTENDED = frozenset({"PreconditionFailed", "412"}), frozenset({"ConditionalRequestConflict", "409"})

_PIECE_BYTES = 1024 * 1024

_deposits = table(DepositRow)
_record = insert(_deposits)
_record = _record.on_conflict_do_update(
    index_elements=["archive_id"],
    set_={name: _record.excluded[name] for name in ("version", "lock_mode", "retain_until")},
)


class S3Archive:
    """The port `Archive` on S3 and PostgreSQL."""

    def __init__(self, s3: Any, engine: Engine, *, bucket: str, lock_mode: str, retention: timedelta) -> None:
        self._s3 = s3
        self._engine = engine
        self._bucket = bucket
        self._lock_mode = lock_mode
        self._retention = retention

    def deposit(self, tenant: str, content: bytes) -> Deposit:
        """Keep `content` and return its receipt; the receipt is recorded after the object is locked."""
        digest = hashlib.sha256(content).hexdigest()
        key = f"{tenant}/{digest[:2]}/{digest}"
        version, lock_mode, until = self._put(key, content, digest)
        return self._record(
            Deposit(
                archive_id=f"{tenant}/{digest}",
                tenant=tenant,
                sha256=digest,
                size=len(content),
                bucket=self._bucket,
                key=key,
                version=version,
                lock_mode=lock_mode,
                retain_until=until,
            )
        )

    def find(self, archive_id: str) -> Deposit | None:
        """Return the receipt given for `archive_id`, or None."""
        with transaction(self._engine) as connection:
            row = connection.execute(select(_deposits).where(_deposits.c.archive_id == archive_id)).first()
        return _receipt(row) if row else None

    def read(self, archive_id: str) -> bytes:
        """Return the content, checked against its digest."""
        receipt = self.find(archive_id)
        if receipt is None:
            raise LookupError("no such deposit")
        with translated("s3"):
            try:
                answer = self._s3.get_object(Bucket=receipt.bucket, Key=receipt.key, VersionId=receipt.version)
                content: bytes = answer["Body"].read()
            except ClientError as error:
                if error_code(error) in _MISSING:
                    raise LookupError("the deposit's object is not in the store") from None
                raise
        if hashlib.sha256(content).hexdigest() != receipt.sha256:
            raise PermanentError("the stored bytes are not those that were deposited", archive_id=archive_id)
        return content

    def _put(self, key: str, content: bytes, digest: str) -> tuple[str, str, datetime]:
        until = datetime.now(UTC).replace(microsecond=0) + self._retention
        with translated("s3"):
            try:
                crash_point("before", "put")
                answer = self._s3.put_object(
                    Bucket=self._bucket,
                    Key=key,
                    Body=content,
                    IfNoneMatch="*",
                    ChecksumAlgorithm="SHA256",
                    ChecksumSHA256=b64encode(bytes.fromhex(digest)).decode(),
                    ObjectLockMode=self._lock_mode,
                    ObjectLockRetainUntilDate=until,
                    ContentType="application/octet-stream",
                )
                crash_point("after", "put")
                return answer["VersionId"], self._lock_mode, until
            except ClientError as error:
                if error_code(error) in _CONTENDED:
                    raise TransientError("another writer deposits the same content", key=key) from None
                if error_code(error) not in _TAKEN:
                    raise
        return self._adopt(key, content)

    def _adopt(self, key: str, content: bytes) -> tuple[str, str, datetime]:
        """Take over the deposit that is there already: the same content again, or one whose receipt was lost.

        Its bytes are compared, for a receipt given for other bytes would be false evidence.
        """
        crash_point("before", "adopt")
        with translated("s3"):
            there = self._s3.get_object(Bucket=self._bucket, Key=key)
            same = there["ContentLength"] == len(content) and _has(there["Body"], content)
        crash_point("after", "adopt")
        if not same or "ObjectLockRetainUntilDate" not in there:
            raise PermanentError("what lies in the archive is not this content", key=key)
        return there["VersionId"], there["ObjectLockMode"], there["ObjectLockRetainUntilDate"].astimezone(UTC)

    def _record(self, receipt: Deposit) -> Deposit:
        values = {name: getattr(receipt, name) for name in receipt.__slots__}
        with statement(self._engine, "commit of record") as connection:
            connection.execute(_record, values | {"deposited_at": datetime.now(UTC)})
        return receipt


def _has(body: Any, content: bytes) -> bool:
    """Return whether a body of this length has this content, read piece by piece: the mail is in memory already."""
    expected, at = memoryview(content), 0
    for piece in body.iter_chunks(_PIECE_BYTES):
        if expected[at : at + len(piece)] != piece:
            return False
        at += len(piece)
    return at == len(content)


def _receipt(row: Any) -> Deposit:
    return Deposit(**{name: getattr(row, name) for name in Deposit.__slots__})
