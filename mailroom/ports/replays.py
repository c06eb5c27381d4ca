"""Replays of many e-mails: groups to choose from, what a replay would touch, and its durable progress.

Every call that names a tenant sees only e-mails routed to it, perhaps among others, and only what is held of its own part;
None is an operator. Every call may raise `TransientError`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from mailroom.domain.inbound.received_email import Envelope, State
from mailroom.domain.inbound.replaying import MOST_REPLAYED, ReplayAction, ReplayState


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayOrder:
    """Which e-mails to replay or release; with `ids` these alone, in any state.

    Without `states` those that were not filed, and filed ones that are held for some of their tenants. `recipient` is an
    address or `@domain` of the envelope. At most `most`, the oldest first.
    """

    action: ReplayAction = ReplayAction.REPLAY
    ids: tuple[str, ...] = ()
    states: tuple[State, ...] = ()
    reason: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    recipient: str | None = None
    most: int = MOST_REPLAYED


@dataclass(frozen=True, slots=True)
class ReasonGroup:
    """The e-mails that were not filed for one reason; of `mails`, `partly` were filed for other tenants."""

    reason: str | None
    mails: int
    partly: int
    oldest: datetime
    newest: datetime


@dataclass(frozen=True, slots=True)
class UnroutedRecipient:
    """A recipient without an address here, of e-mails that wait for one."""

    address: str
    mails: int
    oldest: datetime


@dataclass(frozen=True, slots=True)
class Candidate:
    """A selected e-mail. `items` are tenant and recipient of its items that are shown; `done` and `failed` its processors."""

    id: str
    key: str
    state: State
    envelope: Envelope | None
    released: tuple[str, ...]
    items: frozenset[tuple[str, str]]
    done: frozenset[str]
    failed: frozenset[str]


@dataclass(frozen=True, slots=True)
class Selected:
    """Counts of an order: all e-mails, those that are in another replay, under way now, and that have a flow run."""

    mails: int = 0
    elsewhere: int = 0
    under_way: int = 0
    with_run: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Replay:
    """A replay and its progress; `elsewhere` more were selected that another replay had."""

    id: str
    tenant: str | None
    action: ReplayAction
    wanted: Mapping[str, object]
    requested_by: str
    created_at: datetime
    elsewhere: int = 0
    states: Mapping[ReplayState, int] = field(default_factory=dict)

    @property
    def mails(self) -> int:
        """The number of its e-mails."""
        return sum(self.states.values())

    @property
    def left(self) -> int:
        """How many have not ended."""
        return sum(count for state, count in self.states.items() if state.is_open)

    @property
    def troubled(self) -> int:
        """How many ended so that a person should look."""
        return sum(count for state, count in self.states.items() if state.is_trouble)


@dataclass(frozen=True, slots=True)
class ReplayedMail:
    """One e-mail of a replay; `run_id` is None for a tenant."""

    email_id: str
    message_id: str
    state: ReplayState
    reason: str | None
    received_at: datetime
    run_id: str | None = None


@dataclass(frozen=True, slots=True)
class TakenMail:
    """One e-mail whose turn it is; `again`: it was taken before, perhaps by a process that ended.

    `attempts` is its number of attempts when it was selected, `is_leased` whether a live worker processes it now.
    `replay_id` is None for an e-mail that is replayed alone, without a record of its progress.
    """

    replay_id: str | None
    email_id: str
    action: ReplayAction
    tenant: str | None
    requested_by: str
    attempts: int
    again: bool
    is_leased: bool


class Replays(Protocol):
    """The store of replays."""

    def groups(self, tenant: str | None) -> Sequence[ReasonGroup]:
        """Return the e-mails that were not filed, by reason, the largest group first."""

    def unrouted(self, *, limit: int) -> Sequence[UnroutedRecipient]:
        """Return the recipients of e-mails quarantined as `no_route`, those with most mails first."""

    def count(self, tenant: str | None, order: ReplayOrder) -> Selected:
        """Return the counts of an order."""

    def sample(self, tenant: str | None, order: ReplayOrder, *, limit: int) -> Sequence[Candidate]:
        """Return the first e-mails of an order."""

    def begin(self, tenant: str | None, order: ReplayOrder, *, by: str, now: datetime) -> Replay:
        """Store a replay of the e-mails that an order selects now, without those that another replay has; for `by`."""

    def take(
        self, *, now: datetime, until: datetime, stale_before: datetime, limit: int, replay_id: str | None = None
    ) -> Sequence[TakenMail]:
        """Return waiting e-mails that are due, oldest first; no other call returns them before `until`."""

    def prepare(self, mail: TakenMail, *, now: datetime) -> bool:
        """Record a release, and open a filed e-mail of which a part is held; return whether anything changed.

        For other tenants it stays where it is: what was filed is not held by the next attempt.
        """

    def requested(self, mail: TakenMail, *, now: datetime) -> None:
        """Record that its run is scheduled."""

    def postpone(self, mails: Collection[TakenMail], *, until: datetime) -> None:
        """Have these e-mails wait until then."""

    def end(self, mail: TakenMail, state: ReplayState, *, reason: str | None = None) -> None:
        """Record how one e-mail ended."""

    def settle(self, *, now: datetime) -> int:
        """End requested e-mails whose attempt has ended, by the ledger, and return how many."""

    def find(self, tenant: str | None, replay_id: str) -> Replay | None:
        """Return one replay; None for another tenant's or a malformed id."""

    def recent(self, tenant: str | None, *, limit: int) -> Sequence[Replay]:
        """Return the latest replays, newest first."""

    def mails(
        self, tenant: str | None, replay_id: str, *, states: Collection[ReplayState], limit: int
    ) -> Sequence[ReplayedMail]:
        """Return e-mails of a replay in these states, oldest first."""
