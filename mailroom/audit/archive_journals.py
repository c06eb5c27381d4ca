"""The journals in the database: each one's chain, its columns, its head, and the tenants that have one."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import psycopg

from mailroom.audit.archive_documents import Place
from mailroom.audit.archive_report import ArchiveReport, Outcome
from mailroom.audit.archive_rows import Scope, facts_of, rows
from mailroom.audit.archive_seals import Entries, SealTrust, check_sealed, entry_of
from mailroom.audit.journals import Entry, check_journal

#: More than the clocks of two machines differ.
_SLACK = timedelta(hours=1)
_MEMBERS = {
    "journal_sequence": "an entry was removed or renumbered; restore it from a backup or an export, and find out who did it",
    "journal_link": "find out who changed the database",
    "journal_hash": "find out who changed the database; the seal over it shows since when",
    "journal_time": "find out who changed the database",
}


#: Kinds of entries that say that entries were put back from the archive.
_RECOVERIES = ("rebuilt", "recovered")


def journals(connection: psycopg.Connection[Any], scope: Scope) -> list[tuple[str, str]]:
    """Return tenant and stream of each journal that has a head or an entry."""
    return [(one.tenant, one.stream) for one in rows(connection, _JOURNALS, scope.values())]


def check_journals(
    connection: psycopg.Connection[Any],
    scope: Scope,
    report: ArchiveReport,
    *,
    now: datetime,
    archive: Place,
    trust: SealTrust,
    reading: bool,
) -> None:
    """Check the journals of a scope from their first entry, and their seals."""
    for tenant, stream in journals(connection, scope):
        journal = _Journal(connection, tenant, stream, report, now)
        for one in check_journal(journal.entries(), tenant=tenant, stream=stream):
            do = _MEMBERS.get(one.name)
            outcome = Outcome(one.status.value)
            detail = f"{one.detail}; {do}" if do and outcome is Outcome.FAIL else one.detail
            report.add_check(one.name, outcome, one.subject, detail)
        journal.check_head()
        entries, of = Entries(connection, tenant, stream), (tenant, stream)
        how: dict[str, Any] = {"archive": archive, "trust": trust, "reading": reading, "now": now}
        check_sealed(entries, report, journal=of, **how)
        report.progress(f"{tenant}/{stream}: {journal.seq} entries")


class _Journal:
    """Reads a journal once, and checks what its chain does not say."""

    def __init__(
        self, connection: psycopg.Connection[Any], tenant: str, stream: str, report: ArchiveReport, now: datetime
    ) -> None:
        self._connection, self._report, self._now = connection, report, now
        self._of = {"tenant": tenant, "stream": stream}
        self.name = f"{tenant}/{stream}"
        self.seq, self._hash, self._columns = 0, b"", 0

    def entries(self) -> Iterator[Entry]:
        """Yield the entries."""
        for row in rows(self._connection, _ENTRIES, self._of):
            self.seq, self._hash = row.seq, row.hash
            self._check_columns(row)
            yield entry_of(row)
        if self._columns == 0:
            self._report.passed("journal_columns")

    def check_head(self) -> None:
        """Compare the head with the last entry: an older one would let the next entry fork the journal."""
        head = next(rows(self._connection, _HEAD, self._of), None)
        wrong = None
        if head is None:
            wrong = "it has entries, and no head: the row was removed; find out who changed the database"
        elif head.seq != self.seq or (self.seq and head.hash != self._hash):
            wrong = f"its head is entry {head.seq}, its last entry is {self.seq}: entries or the head were changed"
        self._report.decide("journal_head", self.name, wrong)

    def _check_columns(self, row: Any) -> None:
        subject, facts = f"{self.name}/{row.seq}", facts_of(row.payload)
        if not facts:
            self._wrong(subject, "its payload is no JSON object: it was altered")
        elif (row.kind, row.subject) != (facts.get("kind"), facts.get("subject")):
            self._wrong(subject, "its columns kind and subject are not those of its payload: they were altered")
        if facts.get("kind") in _RECOVERIES:
            self._report.add("journal_recovered", Outcome.NOTED, subject, _recovered(facts))
        if row.at > self._now + _SLACK:
            self._report.failed("journal_time", subject, "the entry is in the future; see whether the clock is right")

    def _wrong(self, subject: str, do: str) -> None:
        self._columns += 1
        self._report.failed("journal_columns", subject, do)


def _recovered(facts: dict[str, Any]) -> str:
    what = f"entries {facts.get('first', 1)} to {facts.get('last_seq')} were put back from the archive"
    again = f"; {facts['again']} that were there instead follow this one, marked `again`" if facts.get("again") else ""
    return f"{what}{again}: see that a person of yours did it"


_JOURNALS = """
select tenant, stream from (select tenant, stream from journal_head union select distinct tenant, stream from journal) as one
 where %(tenant)s::text is null or tenant = %(tenant)s
 order by tenant, stream
"""

_ENTRIES = """
select seq, at, payload, prev, hash, kind, subject from journal
 where tenant = %(tenant)s and stream = %(stream)s order by seq
"""

_HEAD = "select seq, hash from journal_head where tenant = %(tenant)s and stream = %(stream)s"
