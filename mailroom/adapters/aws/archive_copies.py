"""What is done to the copies of a deposit after it was made: a lock is extended, a copy is replaced by the other, a hold is set.

Each changes the buckets first and is recorded after that; it can be repeated.
"""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError
from sqlalchemy import Engine

from mailroom.adapters.aws.archive_pieces import ArchivePieces
from mailroom.adapters.aws.archive_place import ArchivePlace
from mailroom.adapters.aws.clients import error_code, translated
from mailroom.adapters.aws.locked_objects import EXTEND, MISSING, denied
from mailroom.adapters.postgres.archive.copies import copies_of
from mailroom.adapters.postgres.archive.holds import SqlHolds
from mailroom.adapters.postgres.archive.journal import SqlJournal
from mailroom.adapters.postgres.archive.receipts import FIRST, SECOND, Copy, SqlReceipts
from mailroom.crash_points import crash_point
from mailroom.domain.archive.journal import Kind, Stream
from mailroom.domain.archive.retention import Lock
from mailroom.domain.errors import ConfigurationError, PermanentError
from mailroom.ports.archive import Deposit

log = logging.getLogger(__name__)


class ArchiveCopies:
    """The copies of deposits in the archive's places."""

    def __init__(self, engine: Engine, places: Sequence[ArchivePlace]) -> None:
        self._engine = engine
        self._places = {place.name: place for place in places}
        #: Manifests and seals in the same places.
        self.pieces = ArchivePieces(places)
        self._receipts, self._journal, self._holds = SqlReceipts(engine), SqlJournal(engine), SqlHolds(engine)

    def extend(self, archive_id: str, wanted: Lock) -> Deposit:
        """Extend the lock of every copy of a deposit to `wanted`, and return its receipt.

        Raises:
            LookupError: no such deposit, or a copy is missing.
            LockRefused: some copy has a longer or stricter lock; nothing is changed.
            NotPermitted: S3 refuses it.
        """
        receipt, copies = self._known(archive_id)
        now = datetime.now(UTC)
        wanted.refuse(now=now)
        present = {name: self._lock_of(copy) for name, copy in copies.items()}
        for lock in present.values():
            wanted.refuse(now=now, present=lock)
        for name, copy in copies.items():
            if not self._places[name].objects.extend(copy.key, copy.version, wanted, present=present[name]):
                raise denied("no permission to extend the archive's locks", EXTEND, copy.key, copy.version)
        longer = [replace(copy, lock_mode=wanted.mode, retain_until=wanted.until) for copy in copies.values()]
        return self._record(receipt, longer)

    def repair(self, archive_id: str, *, from_place: str, to_place: str) -> Deposit:
        """Replace the copy at one place by that of the other, or add it if there is none, and return the receipt.

        The content is compared with the receipt's digest before it is written, and the new version is confirmed and held as
        the other is before it is recorded. A good copy stays as it is.

        Raises:
            LookupError: no such deposit, or the copy to read is missing.
            PermanentError: the copy to read is damaged too.
            ConfigurationError: no such place.
        """
        receipt, repaired = self._copied(archive_id, from_place=from_place, to_place=to_place)
        facts = {"place": to_place, "version": repaired.version}
        self._journal.append(receipt.tenant, Stream.LIFE, Kind.REPAIR, archive_id, facts)
        return self._record(receipt, [repaired])

    def add_second(self, archive_id: str) -> None:
        """Add the second copy of a deposit of before there was a second place, from its first one; one that is there stays.

        The content is compared with the receipt's digest before it is written; the journal has an entry `copy`.

        Raises:
            LookupError, PermanentError: there is no good first copy, or its lock has ended.
            ConfigurationError: there is no second place.
        """
        if SECOND in copies_of(self._engine, [archive_id]).get(archive_id, {}):
            return
        receipt, added = self._copied(archive_id, from_place=FIRST, to_place=SECOND)
        self._record(receipt, [added])

    def _copied(self, archive_id: str, *, from_place: str, to_place: str) -> tuple[Deposit, Copy]:
        """Write the copy at one place to the other, confirm and hold it, and return the receipt and the new copy."""
        receipt, copies = self._known(archive_id, missing_ok=True)
        if to_place not in self._places or from_place not in self._places or from_place == to_place:
            raise ConfigurationError(f"the archive has no copy at {to_place} besides {from_place}")
        content = self._content(receipt, copies[from_place])
        until = max(one.retain_until for one in copies.values())
        place, wanted = self._places[to_place], Lock(copies[from_place].lock_mode, until)
        if until <= datetime.now(UTC):
            raise PermanentError("the lock of the deposit has ended; deposit it again", archive_id=archive_id)
        crash_point("before", "repair")
        version, lock = place.keep(receipt.key, content, receipt.sha256, wanted)
        place.objects.confirm(receipt.key, version, sha256=receipt.sha256, size=receipt.size, lock=lock)
        if self._holds.is_held(archive_id):
            place.objects.hold(receipt.key, version, is_held=True)
        crash_point("after", "repair")
        return receipt, Copy(to_place, place.bucket, receipt.key, version, lock.mode, lock.until)

    def hold(self, archive_ids: Sequence[str], *, is_held: bool) -> None:
        """Set or remove S3's legal hold on every copy of these deposits.

        Raises:
            NotPermitted: S3 refuses it.
        """
        for copies in copies_of(self._engine, archive_ids).values():
            for name, copy in copies.items():
                if name not in self._places:
                    raise ConfigurationError(f"the archive's {name} place is not configured; its copies cannot be held")
                try:
                    self._places[name].objects.hold(copy.key, copy.version, is_held=is_held)
                except LookupError:
                    log.warning("the %s copy of %s is missing; it is held when it is repaired", name, copy.key)

    def hold_manifests(self, keys: Sequence[str], *, is_held: bool) -> None:
        """Set or remove S3's legal hold on every version of these manifests, in each place.

        Raises:
            NotPermitted: S3 refuses it.
        """
        self.pieces.hold(keys, is_held=is_held)

    def _known(self, archive_id: str, *, missing_ok: bool = False) -> tuple[Deposit, dict[str, Copy]]:
        receipt, copies = self._receipts.find(archive_id), copies_of(self._engine, [archive_id]).get(archive_id, {})
        if receipt is None:
            raise LookupError("no such deposit")
        if not missing_ok and (unknown := set(copies) - set(self._places)):
            raise ConfigurationError(f"the archive's places {', '.join(sorted(unknown))} are not configured")
        return receipt, copies

    def _lock_of(self, copy: Copy) -> Lock:
        lock = self._places[copy.place].objects.lock_of(copy.key, copy.version)
        if lock is None:
            raise LookupError(f"the {copy.place} copy of the deposit is missing, or not locked")
        return lock

    def _content(self, receipt: Deposit, copy: Copy) -> bytes:
        """Return the content of a copy, compared with the receipt."""
        s3: Any = self._places[copy.place].s3
        with translated("s3"):
            try:
                content: bytes = s3.get_object(Bucket=copy.bucket, Key=copy.key, VersionId=copy.version)["Body"].read()
            except ClientError as error:
                if error_code(error) in MISSING:
                    raise LookupError(f"the {copy.place} copy of the deposit is missing") from None
                raise
        if hashlib.sha256(content).hexdigest() != receipt.sha256:
            raise PermanentError("the copy differs from what was deposited", archive_id=receipt.archive_id)
        return content

    def _record(self, receipt: Deposit, copies: Sequence[Copy]) -> Deposit:
        """Record changed copies, each with its entry in the journal."""
        now = datetime.now(UTC)
        first = next((one for one in copies if one.place == FIRST), None)
        values = {name: getattr(first, name) for name in Copy.__slots__ if name != "place"} if first else {}
        changed = replace(receipt, **values | {"verified_at": now})
        self._receipts.record(changed, others=[one for one in copies if one.place != FIRST])
        return changed
