"""Deposits: the objects in each place, the receipt, the rows of the copies and the journal's entries, key by key.

Everything is read in the order of keys, so memory is bounded. The bytes of a version are read by `archive_reading`.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

import psycopg

from mailroom.audit.archive_manifests import is_manifest
from mailroom.audit.archive_report import ArchiveReport, Outcome
from mailroom.audit.archive_rows import Scope, copies, deposits, entries, facts_of, key_of, time_of
from mailroom.audit.listings import Stored

#: More than the clocks of the workers and of the database differ.
_SLACK = timedelta(hours=1)

FIRST, SECOND = "first", "second"


@dataclass(frozen=True, slots=True)
class Place:
    """A bucket that has copies, and a client that may read it."""

    name: str
    s3: Any
    bucket: str


@dataclass(frozen=True, slots=True)
class Expected:
    """A copy as receipt, row and journal say it is; `until` and `mode` are the longest and strictest of them."""

    archive_id: str
    place: Place
    key: str
    version: str
    sha256: str
    sha512: str | None
    size: int
    mode: str
    until: datetime


@dataclass(slots=True)
class _Document:
    """All that is known under one key."""

    key: str
    deposits: list[Any] = field(default_factory=list)
    copies: list[Any] = field(default_factory=list)
    entries: list[Any] = field(default_factory=list)
    objects: dict[str, list[Stored]] = field(default_factory=dict)


@dataclass(slots=True)
class _Said:
    """What the entries say about the copy in one place: the version of the last one, its lock as the longest and strictest."""

    version: str | None = None
    until: datetime | None = None
    mode: str | None = None

    def add(self, facts: dict[str, Any]) -> None:
        until, mode = time_of(facts.get("until")), facts.get("mode")
        is_same, self.version = facts.get("version") == self.version, facts.get("version")
        # What replaces a version is locked for at least as long.
        self.until = max(filter(None, (self.until, until)), default=None)
        self.mode = self.mode if is_same and self.mode == "COMPLIANCE" else mode or self.mode


class Documents:
    """Checks documents and yields the copies to read, into a report."""

    def __init__(
        self,
        connection: psycopg.Connection[Any],
        places: Iterable[Place],
        report: ArchiveReport,
        *,
        is_old: Callable[[datetime], bool],
        known: Callable[[str, str], bool],
        since: datetime | None,
    ) -> None:
        self._connection, self._report, self._is_old, self._known = connection, report, is_old, known
        self._places = {one.name: one for one in places}
        self._since = since
        #: Manifests of the listing, by key.
        self.manifests: list[Stored] = []

    def check(self, scope: Scope, listings: Mapping[str, Iterable[Stored]]) -> Iterator[Expected]:
        """Check the documents of a scope against these listings, and yield each copy whose bytes and lock are to be read."""
        for document in self._documents(scope, listings):
            try:
                yield from self._look(document)
            except Exception as error:  # noqa: BLE001 - one broken row must not end the check of the others
                what = (
                    f"its rows cannot be read ({type(error).__name__}); an administrator wrote what Mailroom does not"
                )
                self._report.failed("readable", document.key, what)

    def _documents(self, scope: Scope, listings: Mapping[str, Iterable[Stored]]) -> Iterator[_Document]:
        streams: list[Iterator[tuple[str, str, Any]]] = [
            ((row.at_key, row.row, row) for row in read(self._connection, scope))
            for read in (deposits, copies, entries)
        ]
        streams += [_of_place(name, stored) for name, stored in listings.items()]
        merged = heapq.merge(*streams, key=lambda one: one[0].encode())
        for key, group in groupby(merged, lambda one: one[0]):
            document = _Document(key)
            for _, what, row in group:
                if what in ("deposit", "copy", "entry"):
                    getattr(document, _FIELDS[what]).append(row)
                else:
                    document.objects.setdefault(what, []).append(row)
            yield document

    def _look(self, document: _Document) -> Iterator[Expected]:
        if is_manifest(document.key):
            self.manifests += document.objects.get(FIRST, [])
            return
        said = _said(document.entries)
        if not document.deposits:
            self._without_receipt(document)
            return
        [receipt] = document.deposits
        self._check_entry(document, receipt)
        rows = {one.place: one for one in document.copies}
        for name in sorted(said.keys() - rows.keys(), key=str):
            what = f"the journal has an entry about its copy in place {name}, the database has no row of it: it was removed"
            self._report.failed("deposit_kept", receipt.archive_id, f"{what}; restore the row from the entry")
        if FIRST not in rows and FIRST not in said:
            self._report.failed("deposit_kept", receipt.archive_id, "no copy of it is recorded; its row was removed")
        for copy in rows.values():
            yield from self._check_copy(document, receipt, copy, said.get(copy.place))

    def _without_receipt(self, document: _Document) -> None:
        """Report entries, copies or objects that no receipt names."""
        if document.entries:
            what = (
                f"the journal says that it was deposited (entry {document.entries[0].seq}), but its receipt is gone: it was "
                "removed from the database; restore it from the archive (docs/archive.md, rebuild)"
            )
            self._report.failed("deposit_kept", document.entries[0].archive_id, what)
        elif document.copies:
            self._report.failed(
                "deposit_kept", document.copies[0].archive_id, "its receipt is gone, a copy's row is left"
            )
        for stored in (one for versions in document.objects.values() for one in versions if not one.is_marker):
            if document.entries or document.copies or self._known(stored.key, stored.version):
                continue
            if self._is_old(stored.modified):
                what = (
                    f"version {stored.version} of {stored.modified:%Y-%m-%d %H:%M:%S} UTC has neither receipt nor entry: "
                    "a mail was removed from database and journal, or somebody else wrote to the bucket; find out which"
                )
                self._report.failed("object_known", stored.key, what)
            else:
                what = "it has no receipt yet; verify again in an hour"
                self._report.add("object_known", Outcome.NOT_THERE_YET, stored.key, what)

    def _check_entry(self, document: _Document, receipt: Any) -> None:
        """Compare a receipt with the entry that recorded it: a receipt without one is forged."""
        made = [(one, facts_of(one.payload)) for one in document.entries if one.kind == "deposit"]
        if not made:
            self._without_entry(document, receipt)
            return
        wrong, *later = [_differences(receipt, one, facts) for one, facts in made]
        what = f"{', '.join(wrong)} of its receipt are not what entry {made[0][0].seq} of the journal says"
        if wrong and [] in later:
            other = made[1 + later.index([])][0].seq
            what = f"{what}, but what entry {other} says: the row was removed and made again, or altered; compare both"
            self._report.add("deposit_entry", Outcome.NOTED, receipt.archive_id, what)
            return
        what = f"{what}: the row was altered; restore it from the entry"
        self._report.decide("deposit_entry", receipt.archive_id, what if wrong else None)

    def _without_entry(self, document: _Document, receipt: Any) -> None:
        stored = [one.modified for versions in document.objects.values() for one in versions if not one.is_marker]
        if stored and (self._since is None or min(stored) < self._since):
            what = (
                "it was deposited by an earlier release, before there were journals; its bytes and its lock are checked"
            )
            self._report.add("deposit_entry", Outcome.NOT_YET_SEALED, receipt.archive_id, what)
            return
        what = "no entry of the journal says that it was deposited: its receipt is forged, or the entry was removed"
        self._report.failed("deposit_entry", receipt.archive_id, f"{what}; find out who changed the database")

    def _check_copy(self, document: _Document, receipt: Any, copy: Any, said: _Said | None) -> Iterator[Expected]:
        """Compare a copy with its entries and with the listing, and yield it if there is something to read."""
        subject, place = f"{receipt.archive_id}@{copy.place}", self._places.get(copy.place)
        if said is not None or document.entries:
            self._report.decide("copy_entry", subject, _wrong_with_copy(copy, said or _Said()))
        if place is None:
            what = "no bucket is configured for this place; set it, or find out who wrote the row"
            self._report.failed("object_there", subject, what)
            return
        version = said.version if said is not None and said.version else copy.version
        if (wrong := _misplaced(receipt, copy, place)) is not None:
            self._report.failed("object_there", subject, wrong)
        stored = next((one for one in document.objects.get(copy.place, []) if one.version == version), None)
        if stored is None:
            what = f"version {version} is not in bucket {place.bucket}: it was removed; repair it from another copy (flow audit)"
            self._report.failed("object_there", subject, what)
            return
        if wrong is None:
            self._report.passed("object_there")
        ends = (copy.retain_until, receipt.retain_until, said.until if said else None)
        modes = (copy.lock_mode, receipt.lock_mode, said.mode if said else None)
        if stored.size != receipt.size:
            what = f"it has {stored.size} bytes, its receipt says {receipt.size}: it is another object, or damaged"
            self._report.failed("object_bytes", subject, what)
            return
        yield Expected(
            archive_id=receipt.archive_id,
            place=place,
            key=document.key,
            version=version,
            sha256=receipt.archive_id.partition("/")[2],
            sha512=_sha512(receipt, document.entries),
            size=receipt.size,
            mode="COMPLIANCE" if "COMPLIANCE" in modes else "GOVERNANCE",
            until=max(one for one in ends if one is not None),
        )


_FIELDS = {"deposit": "deposits", "copy": "copies", "entry": "entries"}


def _of_place(name: str, stored: Iterable[Stored]) -> Iterator[tuple[str, str, Any]]:
    return ((one.key, name, one) for one in stored)


def _said(of_entries: Iterable[Any]) -> dict[str, _Said]:
    said: dict[str, _Said] = {}
    for one in of_entries:
        facts = facts_of(one.payload)
        said.setdefault(str(facts.get("place", FIRST)), _Said()).add(facts)
    return said


def _differences(receipt: Any, entry: Any, facts: dict[str, Any]) -> list[str]:
    """Return the names of what a receipt and its entry differ in."""
    pairs: dict[str, tuple[Any, Any]] = {
        "tenant": (receipt.tenant, entry.tenant),
        "SHA-256": (receipt.sha256, facts.get("sha256")),
        "SHA-512": (receipt.sha512, facts.get("sha512")),
        "size": (receipt.size, facts.get("size")),
        "version": (receipt.version, facts.get("version")),
        "lock mode": (receipt.lock_mode, facts.get("mode")),
        "end of the lock": (receipt.retain_until, time_of(facts.get("until"))),
        "id": (receipt.archive_id, f"{entry.tenant}/{facts.get('sha256')}"),
    }
    wrong = [name for name, (has, says) in pairs.items() if has != says]
    if abs(receipt.deposited_at - entry.at) > _SLACK:
        wrong.append("time of deposit")
    return wrong


def _wrong_with_copy(copy: Any, said: _Said) -> str | None:
    wrong = []
    if said.version is None:
        return "no entry of the journal says that this copy was made: its row is forged, or the entry was removed"
    if copy.version != said.version:
        wrong.append("version")
    if said.until is not None and copy.retain_until < said.until:
        wrong.append("end of the lock")
    if said.mode == "COMPLIANCE" and copy.lock_mode != "COMPLIANCE":
        wrong.append("lock mode")
    if not wrong:
        return None
    return (
        f"{', '.join(wrong)} of its row are not what the journal says: the row was altered; restore it from the entry"
    )


def _misplaced(receipt: Any, copy: Any, place: Place) -> str | None:
    if copy.bucket != place.bucket:
        return f"its row names another bucket than {place.bucket}, which is configured: the row was altered"
    if copy.key != key_of(receipt.archive_id) or receipt.key != key_of(receipt.archive_id):
        return "its row names another key than its digest: the row was altered"
    return None


def _sha512(receipt: Any, of_entries: Iterable[Any]) -> str | None:
    """Return the SHA-512 of the journal, or else of the receipt."""
    said = (facts_of(one.payload).get("sha512") for one in of_entries if one.kind == "deposit")
    return next((one for one in said if isinstance(one, str)), receipt.sha512)
