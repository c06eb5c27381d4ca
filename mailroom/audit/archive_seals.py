"""The seals of a journal: read from the archive and from the witness, and given to the checks of `seals`."""

import re
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any, overload

import psycopg
from botocore.exceptions import BotoCoreError, ClientError

from mailroom.audit.archive_documents import Place
from mailroom.audit.archive_report import ArchiveReport, Outcome
from mailroom.audit.archive_rows import microseconds, rows
from mailroom.audit.journals import Entry
from mailroom.audit.listings import Stored, archived_versions
from mailroom.audit.locks import code_of
from mailroom.audit.seals import check_seals

_KEY = re.compile(r"[^/]+/seals/(life|operations)/([0-9]{8})(?:\.(entries|token))?\.json")
_AT_ONCE = 8
_DO = {
    "seal_witness": "compare both, and find out who wrote to either bucket",
    "seal_root": "the archived entries of the seal show what was there (docs/archive.md)",
    "journal_length": "restore the newer entries from the archived ones (docs/archive.md, rebuild)",
}


@dataclass(frozen=True, slots=True)
class SealTrust:
    """Who else has the seals, and the ids of the keys that may have signed them; None accepts the first seal's."""

    witness: Place | None = None
    keys: Collection[str] | None = None


def is_seal(key: str) -> bool:
    """Return whether an object of the archive is a seal, or belongs to one."""
    return _KEY.fullmatch(key) is not None


def check_sealed(
    entries: Sequence[Entry],
    report: ArchiveReport,
    *,
    journal: tuple[str, str],
    archive: Place,
    trust: SealTrust,
    reading: bool,
    now: datetime,
) -> None:
    """Check a journal's seals, and its entries against them; without `reading`, the archived entries are not compared."""
    tenant, stream = journal
    found = _read(archive, tenant, stream, ("", "token", "entries") if reading else ("", "token"), report)
    outside = None if trust.witness is None else _read(trust.witness, tenant, stream, ("",), report)[""]
    checks = check_seals(
        found[""],
        entries,
        tenant=tenant,
        stream=stream,
        now=now,
        entries=found.get("entries"),
        tokens=found["token"],
        witnessed=outside,
        keys=trust.keys,
    )
    for one in checks:
        outcome = Outcome(one.status.value)
        do = _DO.get(one.name, "find out who changed it") if outcome is Outcome.FAIL else ""
        report.add_check(one.name, outcome, one.subject, f"{one.detail}; {do}" if do else one.detail)


class Entries(Sequence[Entry]):
    """The entries of a journal, read when they are wanted: a journal may be larger than the memory.

    If numbers are missing, which its own checks report, all are read at once.
    """

    def __init__(self, connection: psycopg.Connection[Any], tenant: str, stream: str) -> None:
        self._connection, self._of = connection, {"tenant": tenant, "stream": stream}
        size, first, last = connection.execute(_SIZE, self._of).fetchone() or (0, None, None)
        self._size = int(size)
        self._all = list(self.between(None, None)) if size and (first, last) != (1, size) else None

    def between(self, after: int | None, until: int | None) -> Iterator[Entry]:
        """Yield the entries with numbers after `after`, up to `until`."""
        for row in rows(self._connection, _ENTRIES, self._of | {"after": after, "until": until}):
            yield entry_of(row)

    def __len__(self) -> int:
        return self._size

    @overload
    def __getitem__(self, which: int) -> Entry: ...
    @overload
    def __getitem__(self, which: slice) -> Sequence[Entry]: ...
    def __getitem__(self, which: int | slice) -> Entry | Sequence[Entry]:
        if self._all is not None:
            return self._all[which]
        if isinstance(which, slice):
            start, stop, _ = which.indices(self._size)
            return list(self.between(start, stop)) if start < stop else []
        at = which if which >= 0 else self._size + which
        if not 0 <= at < self._size:
            raise IndexError(which)
        return next(self.between(at, at + 1))


def entry_of(row: Any) -> Entry:
    """Return an entry from its row."""
    return Entry(row.seq, microseconds(row.at), row.payload, row.prev, row.hash)


def _read(
    place: Place, tenant: str, stream: str, parts: Sequence[str], report: ArchiveReport
) -> dict[str, dict[int, bytes]]:
    """Return the documents by kind and number: the oldest version of each, whatever came later."""
    oldest: dict[tuple[str, int], Stored] = {}
    for one in archived_versions(place.s3, place.bucket, prefix=f"{tenant}/seals/{stream}/"):
        match = _KEY.fullmatch(one.key)
        if match is None or (match[3] or "") not in parts or one.is_marker:
            continue
        name = match[3] or "", int(match[2])
        # S3 lists the newest first, also those of one second.
        if name not in oldest or one.modified <= oldest[name].modified:
            oldest[name] = one
    documents: dict[str, dict[int, bytes]] = {part: {} for part in parts}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for (part, number), stored in pool.map(lambda item: (item[0], _bytes(place, item[1], report)), oldest.items()):
            if stored is not None:
                documents[part][number] = stored
    return documents


def _bytes(place: Place, stored: Stored, report: ArchiveReport) -> bytes | None:
    try:
        answer = place.s3.get_object(Bucket=place.bucket, Key=stored.key, VersionId=stored.version)
        return bytes(answer["Body"].read())
    except (ClientError, BotoCoreError) as error:
        what = f"cannot be read: S3 responds {code_of(error)}; grant the auditor access, or find out who removed it"
        report.failed("seal_form", stored.key, what)
        return None


_SIZE = "select count(*), min(seq), max(seq) from journal where tenant = %(tenant)s and stream = %(stream)s"

_ENTRIES = """
select seq, at, payload, prev, hash from journal
 where tenant = %(tenant)s and stream = %(stream)s
       and (%(after)s::bigint is null or seq > %(after)s) and (%(until)s::bigint is null or seq <= %(until)s)
 order by seq
"""
