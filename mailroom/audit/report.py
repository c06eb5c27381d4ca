"""What a check found: counts, and each violation with what to do. Ids only, never what a mail says."""

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

INBOUND, OUTBOUND = "inbound", "outbound"

#: An object of the bucket that the ledger has no line for.
UNKNOWN_OBJECT = "unknown object"

#: A mail that the archive describes and the ledger does not know, or not so far: its database was put back.
FORGOTTEN = "forgotten"

#: Kinds of violations that are about messages; all others are about mails, their archive and their queue.
_OF_MESSAGES = frozenset(
    {
        "missing message",
        "strange message",
        "unknown status",
        "untold status",
        "attempts",
        "stuck message",
        "message balance",
        "held after a restore",
        "restored database",
        "no counter",
    }
)

#: The line of a balance that is about all tenants.
ALL = "*"

#: So many violations are kept for the report; all are counted and told as they are found.
_KEPT = 1000


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that must not be: `kind` is a stable word, `subject` the id that `do` is about."""

    kind: str
    subject: str
    do: str

    def __str__(self) -> str:
        return f"{self.kind}  {self.subject}  {self.do}"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong in the archive's bucket: `version` is the one that should not be there, or should be and is not."""

    kind: str
    key: str
    version: str
    do: str


@dataclass(frozen=True, slots=True, order=True)
class Account:
    """What is balanced by itself: a tenant on one side, inbound under one prefix of the bucket. `*` is all tenants."""

    side: str
    tenant: str
    prefix: str


def difference(balance: Counter[str]) -> int:
    """Return how many more came than are anywhere; what is there and never came makes it negative."""
    return 2 * balance["came"] - balance.total()


@dataclass(slots=True)
class Report:
    """What was looked at and what was wrong with it."""

    tell: Callable[[Violation], None]
    progress: Callable[[str], None]
    counts: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    violations: list[Violation] = field(default_factory=list)
    oldest_in_flight: datetime | None = None
    balances: dict[Account, Counter[str]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    _said: set[tuple[str, str]] = field(default_factory=set)

    def balance(self, side: str, tenant: str, prefix: str = "") -> Counter[str]:
        """Return the counts of one account, which is opened by asking for it."""
        return self.balances.setdefault(Account(side, tenant, prefix), Counter())

    def violate(self, kind: str, subject: str, do: str) -> None:
        """Note a violation."""
        found = Violation(kind, subject, do)
        self.wrong[kind] += 1
        if len(self.violations) < _KEPT:
            self.violations.append(found)
        self.tell(found)

    def violate_once(self, kind: str, subject: str, do: str) -> None:
        """Note a violation that everything which is looked at would meet, a missing permission, only once."""
        if (kind, subject) not in self._said:
            self._said.add((kind, subject))
            self.violate(kind, subject, do)

    def find(self, found: Finding) -> None:
        """Note something that is wrong in the archive's bucket, as a violation too."""
        self.findings.append(found)
        self.violate(found.kind, found.key, found.do)

    def add(self, other: "Report") -> None:
        """Add what another look has found."""
        self.counts.update(other.counts)
        self.wrong.update(other.wrong)
        self.violations += other.violations[: _KEPT - len(self.violations)]

    def in_flight(self, since: datetime) -> None:
        """Note an e-mail that is under way, and since when nothing happened to it."""
        self.counts["in flight"] += 1
        self.oldest_in_flight = min(self.oldest_in_flight or since, since)

    def differences(self, side: str) -> int:
        """Return how much was wrong on one side."""
        return sum(times for kind, times in self.wrong.items() if (kind in _OF_MESSAGES) == (side == OUTBOUND))

    @property
    def is_clean(self) -> bool:
        """Whether nothing was wrong."""
        return not self.wrong

    def as_json(self) -> dict[str, Any]:
        """Return the report for programs."""
        return {
            "clean": self.is_clean,
            "counts": dict(self.counts),
            "wrong": dict(self.wrong),
            "balances": [
                {**asdict(account), **counts, "difference": difference(counts)}
                for account, counts in sorted(self.balances.items(), key=lambda one: one[0])
            ],
            "oldest_in_flight": self.oldest_in_flight.isoformat() if self.oldest_in_flight else None,
            "violations": [asdict(one) for one in self.violations],
        }
