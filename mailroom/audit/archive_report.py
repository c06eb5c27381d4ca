"""The report of `mailroom archive verify`: named checks in four families, in the manner of a probative value report.

A check has one result for each subject: it passed, it failed, no seal covers it yet, or what it is about may still come.
Subjects are ids; no sentence contains anything of a mail.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from threading import Lock
from typing import Any


class Outcome(StrEnum):
    """The result of a check for one subject."""

    PASS = "PASS"  # noqa: S105 - no password
    FAIL = "FAIL"
    #: Entries after the last seal: a change of them whose chain was computed again cannot be known yet.
    NOT_YET_SEALED = "NOT_YET_SEALED"
    #: A person did it, or what was entered first is no longer what is there: a line of every report from then on.
    NOTED = "NOTED"
    #: Younger than the patience: it may be under way.
    NOT_THERE_YET = "NOT_THERE_YET"


OBJECTS, JOURNAL, SEALS, MAIL = "objects", "journal", "seals", "mail"

#: Each check's family, and what it says when it passes. docs/archive.md says what to do about each.
CHECKS = {
    "object_there": (OBJECTS, "the version that is recorded exists in the bucket that is configured"),
    "object_bytes": (OBJECTS, "its size, SHA-256 and SHA-512 are those of the receipt and of the journal"),
    "object_lock": (OBJECTS, "it is locked at least as strictly and as long as receipt, journal and rule say"),
    "object_known": (OBJECTS, "each object of the bucket has a receipt"),
    "journal_sequence": (JOURNAL, "the numbers of the entries have no gap"),
    "journal_link": (JOURNAL, "each entry names the hash of the one before it"),
    "journal_hash": (JOURNAL, "each entry's hash is that of its content"),
    "journal_time": (JOURNAL, "times never go back, and none is in the future"),
    "journal_head": (JOURNAL, "the head is the last entry"),
    "journal_columns": (JOURNAL, "kind and subject are those of the entry's payload"),
    "journal_recovered": (JOURNAL, "no entries were put back from the archive"),
    "deposit_entry": (JOURNAL, "the receipt has its entry, and is what that says"),
    "copy_entry": (JOURNAL, "each copy has its entry, and is what that says"),
    "deposit_kept": (JOURNAL, "each entry about a deposit or a copy has its row"),
    "mail_entry": (JOURNAL, "the e-mail has its entries"),
    "mail_kept": (JOURNAL, "each entry about an e-mail or an item has its row"),
    "manifest_there": (MAIL, "the manifest is in the archive, locked, with the digest of its entry"),
    "manifest_known": (MAIL, "the database has the e-mail of each manifest in the archive"),
    "mail_source": (MAIL, "object, sender, recipients and times of the ledger are those of the manifest"),
    "mail_verdicts": (MAIL, "the verdicts of the ledger are those of the manifest"),
    "mail_routes": (MAIL, "each item's recipient and inbox is a route of the manifest"),
    "mail_parts": (MAIL, "the item's e-mail and files are deposits, and parts of the manifest"),
    "item_fields": (MAIL, "the item has the digest of its entry or, without one, says what the raw e-mail says"),
    "readable": (MAIL, "the rows can be read"),
}

#: The limit of results other than PASS that are kept in a report; all are counted, and emitted as they are found.
_KEPT = 1000


@dataclass(frozen=True, slots=True)
class Result:
    """A result other than PASS, or one of a single document or mail: `do` is what is wrong, and what to do."""

    check: str
    outcome: Outcome
    subject: str
    do: str

    def __str__(self) -> str:
        return f"{self.outcome}  {self.check}  {_shown(self.subject)}  {self.do}"


@dataclass(slots=True)
class ArchiveReport:
    """Counts of each check's results, and those other than PASS. Threads may add to it."""

    emit: Callable[[Result], None] = lambda _: None
    progress: Callable[[str], None] = lambda _: None
    counts: Counter[tuple[str, Outcome]] = field(default_factory=Counter)
    results: list[Result] = field(default_factory=list)
    read_bytes: int = 0
    read_objects: int = 0
    _lock: Any = field(default_factory=Lock)

    def passed(self, check: str, times: int = 1) -> None:
        """Count a check that passed."""
        with self._lock:
            self.counts[check, Outcome.PASS] += times

    def failed(self, check: str, subject: str, do: str) -> None:
        """Record a check that failed."""
        self.add(check, Outcome.FAIL, subject, do)

    def add(self, check: str, outcome: Outcome, subject: str, do: str) -> None:
        """Record a result of a check."""
        result = Result(check, outcome, subject, do)
        with self._lock:
            self.counts[check, outcome] += 1
            if len(self.results) < _KEPT:
                self.results.append(result)
            self.emit(result)

    def add_check(self, check: str, outcome: Outcome, subject: str, do: str) -> None:
        """Record a result that may be a pass, which is only counted."""
        if outcome is Outcome.PASS:
            self.passed(check)
        else:
            self.add(check, outcome, subject, do)

    def decide(self, check: str, subject: str, wrong: str | None) -> bool:
        """Record a failure with the sentence `wrong`, or a pass if it is None; return whether it passed."""
        if wrong is None:
            self.passed(check)
        else:
            self.failed(check, subject, wrong)
        return wrong is None

    def has_read(self, size: int) -> None:
        """Count an object that was read, and report progress now and then."""
        with self._lock:
            self.read_objects, self.read_bytes = self.read_objects + 1, self.read_bytes + size
            if self.read_objects % 1000 == 0:
                self.progress(f"{self.read_objects} objects, {self.read_bytes >> 20} MiB read")

    def checks(self) -> list[str]:
        """Return the names of the checks that were made, by family."""
        return sorted({name for name, _ in self.counts}, key=lambda name: (family_of(name), name))

    def failures(self) -> list[Result]:
        """Return the failures that are kept."""
        return [one for one in self.results if one.outcome is Outcome.FAIL]

    @property
    def is_intact(self) -> bool:
        """Whether nothing failed."""
        return not any(times for (_, outcome), times in self.counts.items() if outcome is Outcome.FAIL)

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON values: by family and check, how often each result, and what is not PASS."""
        checks: dict[str, dict[str, Any]] = {family: {} for family in (OBJECTS, JOURNAL, SEALS, MAIL)}
        for (name, outcome), times in sorted(self.counts.items()):
            checks[family_of(name)].setdefault(name, {})[outcome.value] = times
        return {
            "intact": self.is_intact,
            "checks": checks,
            "results": [asdict(one) for one in self.results],
            "read": {"objects": self.read_objects, "bytes": self.read_bytes},
        }


def family_of(check: str) -> str:
    """Return the family of a check; the checks of seals have their own list."""
    return CHECKS[check][0] if check in CHECKS else SEALS


def _shown(text: str) -> str:
    """Return a subject as printable text: what an administrator wrote into a row must not reach a terminal as it is."""
    return text if text.isprintable() else ascii(text)
