"""Counts for metrics and health: waiting work and its age, skipped rows, held batches."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Protocol

from mailroom.domain.outbound.message import Status
from mailroom.domain.outbound.rate_slots import RateLimit
from mailroom.ports.holds import HeldCount, HoldReason
from mailroom.ports.pauses import Pause
from mailroom.ports.reconciliations import Reconciliation


@dataclass(frozen=True, slots=True)
class MessageCount:
    """The number of messages in one status at one provider; `provider` is None where none has received them yet.

    `status` is a plain string where this version does not know it: older or newer code wrote the row.
    """

    provider: str | None
    status: Status | str
    messages: int


@dataclass(frozen=True, slots=True)
class EventCount:
    """The number of events of one kind from one provider."""

    provider: str
    kind: str
    events: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboundCensus:
    """Counts of outbound mail, and the times since which the oldest waits.

    `oldest_unknown` was sent then and its outcome is unknown; `oldest_due` may be sent since then and was not.
    `orders` are not on the mailbox queue yet, the oldest since `oldest_order`; since `oldest_published` an order that was
    posted there, and is due, waits for a run to begin.
    `lately` is the number of mails sent to each provider in the last minute; `ceilings` the rate limits of accounts used
    within a day; `breakers` the number of open ones, by what they stop; `pauses` those of providers' accounts and senders; `held` what waits for a person.
    """

    sent: Sequence[MessageCount] = ()
    events: Sequence[EventCount] = ()
    oldest_unknown: datetime | None = None
    oldest_due: datetime | None = None
    orders: int = 0
    oldest_order: datetime | None = None
    oldest_published: datetime | None = None
    lately: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    ceilings: Sequence[RateLimit] = ()
    breakers: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    pauses: Sequence[Pause] = ()
    held: Mapping[HoldReason, HeldCount] = field(default_factory=lambda: MappingProxyType({}))
    reconciled: Reconciliation | None = None


class Loop(StrEnum):
    """The loops that go through the rows of all tenants. Stable words: metrics and events use them."""

    RELAY = "relay"
    DISPATCH = "dispatch"
    SETTLE = "settle"
    SWEEP_INBOUND = "sweep-inbound"
    TRACKING = "tracking"
    PARKED = "parked"
    WEBHOOKS = "webhooks"
    METRICS = "metrics"
    LISTS = "lists"


#: How long a skipped row is reported after a loop last met it: longer than the interval of the slowest loop.
STANDS = timedelta(hours=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """Rows that one loop could not use and skipped: how many, and the first of them as pairs of name and reason."""

    loop: str
    rows: int
    named: Sequence[tuple[str, str]] = ()


class Monitoring(Protocol):
    """Counts outbound mail, waiting work of both sides, and skipped rows."""

    def census(self, *, now: datetime) -> OutboundCensus:
        """Return the counts of outbound mail."""

    def waiting_since(self, *, now: datetime) -> Mapping[str, datetime]:
        """Return since when the oldest waits, by side (`inbound`, `outbound`); a side where nothing waits is left out.

        Inbound counts e-mails still being processed, outbound messages that may be sent and that no breaker stops.
        """

    def skipped(self) -> Sequence[Skipped]:
        """Return the rows that are skipped at present, by loop; empty where every row can be used."""

    def held(self) -> Mapping[HoldReason, HeldCount]:
        """Return how many batches and messages are held, by reason; reasons with none are left out."""

    def leased(self, runs: Mapping[str, str], *, since: datetime) -> set[str]:
        """Return which of these runs (id to object key) have an e-mail with a heartbeat since `since`.

        The key finds the e-mail: before a run's first step, the ledger does not know its id.
        """
