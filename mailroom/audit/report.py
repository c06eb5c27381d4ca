"""The report of a check: counts, and each violation with what to do. Ids only, never the content of a mail."""

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

INBOUND, OUTBOUND = "inbound", "outbound"

#: An object of the bucket without a line in the ledger.
UNKNOWN_OBJECT = "unknown object"

#: A mail that the archive describes and the ledger lacks, wholly or in part: the database was restored.
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

#: The balance of all tenants together.
ALL = "*"

#: The limit of violations kept in the report; all are counted, and emitted as they are found.
_KEPT = 1000


@dataclass(frozen=True, slots=True)
class Violation:
    """One violation: `kind` is a stable word, `subject` the id, `do` what is wrong and what to do."""

    kind: str
    subject: str
    do: str

    def __str__(self) -> str:
        return f"{self.kind}  {self.subject}  {self.do}"


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem in the archive's bucket: `version` is the foreign, missing or damaged one."""

    kind: str
    key: str
    version: str
    do: str


@dataclass(frozen=True, slots=True, order=True)
class Account:
    """One account of the balance: a tenant on one side, inbound also one prefix of the bucket. `*` is all tenants."""

    side: str
    tenant: str
    prefix: str


def difference(balance: Counter[str]) -> int:
    """Return how many arrived and are nowhere; negative for those that are there and never arrived."""
    return 2 * balance["came"] - balance.total()


@dataclass(slots=True)
class Report:
    """The counts, balances and violations of one check. `emit` receives each violation as it is found."""

    emit: Callable[[Violation], None]
    progress: Callable[[str], None]
    counts: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    violations: list[Violation] = field(default_factory=list)
    oldest_in_flight: datetime | None = None
    balances: dict[Account, Counter[str]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    _said: set[tuple[str, str]] = field(default_factory=set)

    def balance(self, side: str, tenant: str, prefix: str = "") -> Counter[str]:
        """Return the counts of one account, created on first use."""
        return self.balances.setdefault(Account(side, tenant, prefix), Counter())

    def violate(self, kind: str, subject: str, do: str) -> None:
        """Record a violation."""
        violation = Violation(kind, subject, do)
        self.wrong[kind] += 1
        if len(self.violations) < _KEPT:
            self.violations.append(violation)
        self.emit(violation)

    def violate_once(self, kind: str, subject: str, do: str) -> None:
        """Record a violation, such as a missing permission, only the first time."""
        if (kind, subject) not in self._said:
            self._said.add((kind, subject))
            self.violate(kind, subject, do)

    def find(self, finding: Finding) -> None:
        """Record a problem in the archive's bucket, as a finding and as a violation."""
        self.findings.append(finding)
        self.violate(finding.kind, finding.key, finding.do)

    def add(self, other: "Report") -> None:
        """Add the counts and violations of another report."""
        self.counts.update(other.counts)
        self.wrong.update(other.wrong)
        self.violations += other.violations[: _KEPT - len(self.violations)]

    def in_flight(self, since: datetime) -> None:
        """Count an e-mail in flight; `since` is its last activity."""
        self.counts["in flight"] += 1
        self.oldest_in_flight = min(self.oldest_in_flight or since, since)

    def differences(self, side: str) -> int:
        """Return the number of violations on one side."""
        return sum(times for kind, times in self.wrong.items() if (kind in _OF_MESSAGES) == (side == OUTBOUND))

    @property
    def is_clean(self) -> bool:
        """Whether there are no violations."""
        return not self.wrong

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
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
