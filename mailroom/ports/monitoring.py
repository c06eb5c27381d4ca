"""Counts of everything: what waits and since when, what is stepped over, what is held."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Protocol

from mailroom.domain.outbound.message import Status
from mailroom.domain.outbound.rate_slots import RateLimit
from mailroom.ports.holds import HeldCount, HoldReason
from mailroom.ports.reconciliations import Reconciliation


@dataclass(frozen=True, slots=True)
class MessageCount:
    """How many messages have come to one status at one provider; None where none has had them yet.

    A status may be a word that there is not: a row that older or newer code left, counted as it stands.
    """

    provider: str | None
    status: Status | str
    messages: int


@dataclass(frozen=True, slots=True)
class EventCount:
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

    sent: Sequence[MessageCount] = ()
    events: Sequence[EventCount] = ()
    oldest_unknown: datetime | None = None
    oldest_due: datetime | None = None
    orders: int = 0
    oldest_order: datetime | None = None
    oldest_told: datetime | None = None
    lately: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    ceilings: Sequence[RateLimit] = ()
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


class Monitoring(Protocol):
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

    def leased(self, runs: Mapping[str, str], *, since: datetime) -> set[str]:
        """Return those of these runs whose e-mail has had a sign of life since then.

        Each run's id has the key of its e-mail's object: before its first step, the ledger does not know the run.
        """
