"""What is known of the installation as a whole: what waits and since when, what was proved, what nobody works on.

As for all ports, every call is blocking and may raise `TransientError`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Protocol

from mailroom.domain.outbound.message import Status
from mailroom.domain.outbound.pace import Ceiling
from mailroom.ports.holds import HeldCount, HoldReason


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    """One proof that nothing is lost: what was counted, and the differences of each side (`inbound`, `outbound`)."""

    begun_at: datetime
    ended_at: datetime
    differences: Mapping[str, int]
    counts: Mapping[str, int]


class Reconciliations(Protocol):
    """The proofs that were made."""

    def note(self, proof: Reconciliation) -> None:
        """Keep it."""

    def last(self) -> Reconciliation | None:
        """Return the latest, or None."""


@dataclass(frozen=True, slots=True)
class ArchiveFinding:
    """Something wrong in the archive's bucket: a stranger's version or delete marker, or a deposit that is not whole.

    `kind` and `do` are the check's words, `found_at` is when it was first found.
    """

    kind: str
    key: str
    version: str
    do: str
    found_at: datetime
    acknowledged_at: datetime | None = None
    acknowledged_by: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Looked:
    """Which keys a comparison of the archive has seen: those after `after` up to `until` ("" is the end), and `keys`."""

    after: str
    until: str
    keys: tuple[str, ...] = ()


class ArchiveFindings(Protocol):
    """What was found wrong in the archive, until it is right again or an operator has acknowledged it."""

    def note(self, found: Sequence[ArchiveFinding], looked: Looked, *, now: datetime) -> None:
        """Keep what was found; what was found before where this look was, and is not there any more, is settled."""

    def open_keys(self) -> list[str]:
        """Return keys with findings that nobody has acknowledged, those seen longest ago first."""


@dataclass(frozen=True, slots=True)
class Sent:
    """How many messages have come to one status at one provider; None where none has had them yet.

    A status may be a word that there is not: a row that older or newer code left, counted as it stands.
    """

    provider: str | None
    status: Status | str
    messages: int


@dataclass(frozen=True, slots=True)
class Told:
    """How many events of one kind a provider told."""

    provider: str
    kind: str
    events: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboundCensus:
    """What there is of outbound mail.

    `oldest_unknown` was handed over then and nobody knows its outcome; `oldest_due` may go since then and has not gone.
    `orders` are not on the mailbox queue yet, the oldest since `oldest_order`; `oldest_told` is since when an order that is
    there and due waits for a run to begin.
    `lately` is how many mails each provider was handed in the last minute; `ceilings` what each account is held to, of those
    that were sent through within a day; `breakers` how many are open, by what they stop; `held` what waits for a person.
    """

    sent: Sequence[Sent] = ()
    told: Sequence[Told] = ()
    oldest_unknown: datetime | None = None
    oldest_due: datetime | None = None
    orders: int = 0
    oldest_order: datetime | None = None
    oldest_told: datetime | None = None
    lately: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    ceilings: Sequence[Ceiling] = ()
    breakers: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    held: Mapping[HoldReason, HeldCount] = field(default_factory=lambda: MappingProxyType({}))
    reconciled: Reconciliation | None = None


class Loop(StrEnum):
    """What goes through the rows of all tenants. Stable words: metrics and events use them."""

    RELAY = "relay"
    DISPATCH = "dispatch"
    SETTLE = "settle"
    SWEEP_INBOUND = "sweep-inbound"
    TRACKING = "tracking"
    PARKED = "parked"
    WEBHOOKS = "webhooks"
    METRICS = "metrics"
    LISTS = "lists"


#: A row that was stepped over stands for so long after it was last met: longer than the slowest loop takes to come again.
STANDS = timedelta(hours=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """Rows that one loop could not use and stepped over: how many, and the first of them, each by what it is and why."""

    loop: str
    rows: int
    named: Sequence[tuple[str, str]] = ()


class Watch(Protocol):
    """Counts everything of outbound mail."""

    def census(self, *, now: datetime) -> OutboundCensus:
        """Return what there is."""

    def waiting_since(self, *, now: datetime) -> Mapping[str, datetime]:
        """Return since when the oldest waits, by side; a side where nothing waits is not there.

        Inbound that is an e-mail which is not settled, outbound a message that may go; what a breaker stops does not count.
        """

    def skipped(self) -> Sequence[Skipped]:
        """Return what is stepped over at present, by loop; nothing where every row can be used."""

    def held(self) -> Mapping[HoldReason, HeldCount]:
        """Return how many batches and messages are held, by reason; a reason that holds nothing is not there."""

    def in_hand(self, runs: Mapping[str, str], *, since: datetime) -> set[str]:
        """Return those of these runs whose e-mail has had a sign of life since then.

        Each run's id has the key of its e-mail's object: before its first step, the ledger does not know the run.
        """


#: A scheduler makes the next run of a schedule within a minute of the last; this much later it is silent.
_SCHEDULER_PATIENCE = timedelta(minutes=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheduling:
    """What the orchestrator's scheduler has done for this installation's schedules.

    `last_worked_at` is when it last scheduled a run by itself, None if never. `active` are the deployments with an active
    schedule that nobody paused, `idle` those of them for which no run is scheduled ahead. `every` is the shortest interval
    of them, None where all of them have times of day.
    """

    last_worked_at: datetime | None
    active: tuple[str, ...] = ()
    idle: tuple[str, ...] = ()
    every: timedelta | None = None

    def is_silent(self, now: datetime) -> bool:
        """Return whether the scheduler has stopped: a schedule has nothing ahead, or the next run of one is overdue to be made.

        In the first minute after its start, a scheduler that has not made its first pass is silent too.
        """
        if self.idle:
            return True
        if not self.active or self.every is None:
            return False
        return self.last_worked_at is None or now - self.last_worked_at > self.every + _SCHEDULER_PATIENCE

    def as_json(self, now: datetime) -> dict[str, Any]:
        """Return what `status` and `/readyz` say of it."""
        worked = self.last_worked_at.isoformat() if self.last_worked_at else None
        return {"last_worked_at": worked, "silent": self.is_silent(now), "without_runs": list(self.idle)}


class Scheduler(Protocol):
    """The orchestrator's scheduler, seen from outside."""

    def look(self) -> Scheduling:
        """Return what it has done; the answer may be some seconds old.

        Raises:
            TransientError: the orchestrator does not answer.
        """


#: While it lasts, a fact is told again after so long.
REMIND_AFTER = timedelta(hours=1)


def news(
    found: Collection[str], told: Mapping[str, datetime], *, now: datetime
) -> tuple[set[str], dict[str, datetime]]:
    """Return what of `found` is to be told now, and what will have been told, and when, after that.

    A fact is told when it is new and again each hour while it lasts; once it is over, it is new the next time.
    """
    due = {fact for fact in found if fact not in told or now - told[fact] >= REMIND_AFTER}
    return due, {fact: now if fact in due else told[fact] for fact in sorted(found)}
