"""What is known of the installation as a whole: what waits and since when, what was proved, what nobody works on.

As for all ports, every call is blocking and may raise `TransientError`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Protocol

from mailroom.domain.outbound import Status
from mailroom.domain.pace import Ceiling
from mailroom.holds import HeldCount, HoldReason


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
class Sent:
    """How many messages have come to one status at one provider; None where none has had them yet."""

    provider: str | None
    status: Status
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


class Watch(Protocol):
    """Counts everything of outbound mail."""

    def census(self, *, now: datetime) -> OutboundCensus:
        """Return what there is."""

    def waiting_since(self, *, now: datetime) -> Mapping[str, datetime]:
        """Return since when the oldest waits, by side; a side where nothing waits is not there.

        Inbound that is an e-mail which is not settled, outbound a message that may go; what a breaker stops does not count.
        """

    def held(self) -> Mapping[HoldReason, HeldCount]:
        """Return how many batches and messages are held, by reason; a reason that holds nothing is not there."""

    def in_hand(self, runs: Mapping[str, str], *, since: datetime) -> set[str]:
        """Return those of these runs whose e-mail has had a sign of life since then.

        Each run's id has the key of its e-mail's object: before its first step, the ledger does not know the run.
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
