"""The archive in memory."""

import hashlib
import threading
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import IO

from mailroom.domain.archive.retention import RetentionClass
from mailroom.domain.errors import PermanentError
from mailroom.ports.archive import Content, Deposit


class MemoryArchive:
    """The port `Archive` in memory, safe between threads.

    `contents` has the stored bytes by archive id. It is open, so that a test can lose or alter what is kept; `retention`
    is what documents get from now on, and `other` everything else.
    """

    def __init__(self, *, retention: timedelta = timedelta(days=1)) -> None:
        self.contents: dict[str, bytes] = {}
        self.retention, self.other = retention, timedelta(days=30)
        self._receipts: dict[str, Deposit] = {}
        self._versions = count(1)
        self._lock = threading.Lock()

    def deposit(self, tenant: str, content: bytes, *, retention: RetentionClass = RetentionClass.DOCUMENT) -> Deposit:
        """Archive `content` and return its receipt; the same content again is the same deposit, locked for longer."""
        digest = hashlib.sha256(content).hexdigest()
        archive_id = f"{tenant}/{digest}"
        now = datetime.now(UTC).replace(microsecond=0)
        period = self.retention if retention.rule == RetentionClass.DOCUMENT else self.other
        with self._lock:
            if self.contents.get(archive_id) != content:
                self.contents[archive_id] = content
                self._receipts[archive_id] = self._receipt(tenant, content, now + period)
            known = self._receipts[archive_id]
            is_short = known.retain_until < now + period - min(period / 100, timedelta(days=1))
            until = now + period if is_short else known.retain_until
            self._receipts[archive_id] = replace(known, retain_until=until, verified_at=now)
            return self._receipts[archive_id]

    def deposit_all(self, contents: Sequence[Content], *, pool: Executor) -> list[Deposit]:
        """Archive each of `contents`."""
        return list(pool.map(lambda one: self.deposit(one.tenant, one.content, retention=one.retention), contents))

    def find(self, archive_id: str) -> Deposit | None:
        """Return the receipt of `archive_id`, or None."""
        return self._receipts.get(archive_id)

    def read(self, archive_id: str) -> bytes:
        """Return the content, verified against its digest."""
        with self._lock:
            receipt, content = self._receipts.get(archive_id), self.contents.get(archive_id)
        if receipt is None or content is None:
            raise LookupError("no such deposit")
        if hashlib.sha256(content).hexdigest() != receipt.sha256:
            raise PermanentError("the stored bytes differ from those that were deposited", archive_id=archive_id)
        return content

    def copy(self, archive_id: str, target: IO[bytes]) -> None:
        """Write the content to `target`, verified against its digest."""
        target.write(self.read(archive_id))

    def check(self) -> None:
        """Return: it always works."""

    def _receipt(self, tenant: str, content: bytes, until: datetime) -> Deposit:
        digest = hashlib.sha256(content).hexdigest()
        return Deposit(
            archive_id=f"{tenant}/{digest}",
            tenant=tenant,
            sha256=digest,
            sha512=hashlib.sha512(content).hexdigest(),
            size=len(content),
            bucket="memory",
            key=f"{tenant}/{digest[:2]}/{digest}",
            version=str(next(self._versions)),
            lock_mode="GOVERNANCE",
            retain_until=until,
        )
