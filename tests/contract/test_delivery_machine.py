"""Delivery as a state machine (R21): dispatch, responses, events and crashes in any order, on PostgreSQL.

The invariants: each message goes to the provider at most once and never to a suppressed recipient, a recipient that refused
for now is not tried before its time and its refusals are counted, each event is recorded once, and the final status is the one
that all events give together.
"""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import reduce
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import Engine, text

from mailroom.adapters.postgres.delivery.events import SqlEvents
from mailroom.adapters.postgres.delivery.suppressions import SqlSuppressions
from mailroom.adapters.postgres.outbound.dispatching import SqlDispatch
from mailroom.adapters.postgres.outbound.outbox import SqlOutbox
from mailroom.domain.delivery.events import OURS, Actor, DeliveryEvent, Kind, advance, counts_as
from mailroom.domain.delivery.suppression import Cause, cause_of
from mailroom.domain.errors import OutcomeUnknown, PermanentError, RecipientUnavailable, Throttled
from mailroom.domain.outbound.message import Batch, Content, Draft, Party, Status
from mailroom.outbound.retry_schedule import RecipientSchedule, recipient_outcome
from mailroom.ports.dispatch import Claimed, Outcome
from mailroom.ports.provider import ProviderReceipt
from mailroom.ports.suppressions import Suppression
from mailroom.testing.notices import an_event

MESSAGES = 4
_LATER = [
    Kind.DELAYED,
    Kind.DELIVERED,
    Kind.OPENED,
    Kind.CLICKED,
    Kind.BOUNCED_SOFT,
    Kind.BOUNCED_HARD,
    Kind.COMPLAINED,
]
_REPORTED = st.lists(st.sampled_from(_LATER), max_size=4, unique=True)


@dataclass
class World:
    """The provider, and the events on their way from it."""

    got: dict[str, int] = field(default_factory=dict)
    wire: list[DeliveryEvent] = field(default_factory=list)
    unsettled: list[Outcome] = field(default_factory=list)
    reported: set[str] = field(default_factory=set)
    suppressed: set[str] = field(default_factory=set)
    refusals: dict[str, list[datetime]] = field(default_factory=dict)

    def take(self, claim: Claimed, kinds: list[Kind], *, tagged: bool) -> str:
        """Take a mail, and return the provider's id; `kinds` will be reported later."""
        message = claim.draft.id
        self.got[message] = self.got.get(message, 0) + 1
        known = f"ses-{message}-{self.got[message]}"
        self.wire += [
            an_event(kind, f"{known}-{kind}", provider_message_id=known, message_id=message if tagged else None)
            for kind in [Kind.SENT, *kinds]
        ]
        return known

    def about(self, message: str) -> list[DeliveryEvent]:
        """Return the events of a message that will have been reported in the end, by its provider and by our own links."""
        return [one for one in self.wire if message in (one.message_id, (one.provider_message_id or "")[4:40])]


class Delivery(RuleBasedStateMachine):
    """One batch, several workers and a provider."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self.engine = engine
        self.outbox, self.dispatch, self.events = SqlOutbox(engine), SqlDispatch(engine), SqlEvents(engine)
        self.world = World()
        self.now = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)

    @initialize()
    def submit(self) -> None:
        batch = Batch(id=str(uuid4()), tenant=f"t{uuid4().hex[:8]}", from_=Party("desk@acme.test"))
        # Ids in the order of the numbers: with ids in any order a game that is played again would choose other messages.
        game = uuid4().hex[:30]
        ids = [str(UUID(f"{game}{at:02x}")) for at in range(MESSAGES)]
        drafts = [Draft(id=ids[at], number=at, to=Party(f"u{at}@users.test"), content=0) for at in range(MESSAGES)]
        self.outbox.accept(batch, [Content(subject="s", text="t", html=None)], drafts, now=self.now)
        self.batch, self.ids = batch, [draft.id for draft in drafts]

    def claimed(self) -> Claimed | None:
        claim = next(iter(self.dispatch.claim(self.batch.id, most=1, provider="ses", now=self.now)), None)
        if claim is not None:
            refusals = self.world.refusals.get(claim.draft.id, [])
            assert claim.draft.to.address not in self.world.suppressed
            assert claim.refusals == len(refusals)
            assert all(self.now >= next_try for next_try in refusals)
        return claim

    @rule(at=st.integers(0, MESSAGES - 1))
    def suppress(self, at: int) -> None:
        """A suppression is added; messages sent from then on, again or for the first time, must not go to it."""
        address = f"u{at}@users.test"
        one = Suppression(address=address, reason=Cause.MANUAL, tenant=self.batch.tenant, since=self.now)
        SqlSuppressions(self.engine).add([one])
        self.world.suppressed.add(address)

    @rule(
        data=st.data(),
        kind=st.sampled_from([Kind.OPENED, Kind.CLICKED, Kind.UNSUBSCRIBED]),
        actor=st.sampled_from(Actor),
    )
    def look(self, data: st.DataObject, kind: Kind, actor: Actor) -> None:
        """The recipient opens, clicks or unsubscribes by our links; reported before, after or beside the provider's events."""
        if self.world.got:
            message = data.draw(st.sampled_from(sorted(self.world.got)))
            event = an_event(kind, f"{message}-{kind}-{actor}", provider=OURS, message_id=message, actor=actor)
            if event not in self.world.wire:
                self.world.wire.append(event)

    @rule(kinds=_REPORTED, tagged=st.booleans())
    def send(self, kinds: list[Kind], tagged: bool) -> None:
        """The provider takes it and answers; the answer is settled now or later."""
        if claim := self.claimed():
            known = self.world.take(claim, kinds, tagged=tagged)
            self.world.unsettled.append(Outcome(claim.draft.id, claim.attempt, ProviderReceipt("ses", known)))

    @rule(kinds=_REPORTED)
    def send_and_lose_the_answer(self, kinds: list[Kind]) -> None:
        if claim := self.claimed():
            self.world.take(claim, kinds, tagged=True)
            self.world.unsettled.append(Outcome(claim.draft.id, claim.attempt, OutcomeUnknown("no answer")))

    @rule(kinds=_REPORTED, taken=st.booleans())
    def die_during_the_call(self, kinds: list[Kind], taken: bool) -> None:
        """Nobody settles; the mail may be sent or not."""
        claim = self.claimed()
        if claim and taken:
            self.world.take(claim, kinds, tagged=True)

    @rule()
    def be_throttled(self) -> None:
        if claim := self.claimed():
            again = self.now + timedelta(seconds=1)
            self.world.unsettled.append(Outcome(claim.draft.id, claim.attempt, Throttled("slow down"), again))

    @rule(jitter=st.floats(0, 1))
    def be_refused_for_now(self, jitter: float) -> None:
        """The recipient's server takes no mail now; after four days it is given up."""
        if claim := self.claimed():
            schedule, answer = RecipientSchedule(), RecipientUnavailable("not now")
            outcome = recipient_outcome(claim, answer, schedule=schedule, now=self.now, jitter=jitter)
            self.world.unsettled.append(outcome)

    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        if self.world.unsettled:
            at = data.draw(st.integers(0, len(self.world.unsettled) - 1))
            outcome = self.world.unsettled.pop(at)
            self.dispatch.settle([outcome], now=self.now)
            if isinstance(outcome.result, RecipientUnavailable) and outcome.retry_at:
                self.world.refusals.setdefault(outcome.message_id, []).append(outcome.retry_at)

    @rule(data=st.data())
    def reschedule(self, data: st.DataObject) -> None:
        """A caller moves what waits, to a past time too: never before the next try of a recipient's own schedule."""
        minutes = data.draw(st.integers(-60, 600))
        self.outbox.reschedule(self.batch.tenant, self.batch.id, self.now + timedelta(minutes=minutes), now=self.now)

    @rule(data=st.data())
    def report(self, data: st.DataObject) -> None:
        """Report some events, early, late, again, in any order; a reported event may come once more."""
        if self.world.wire:
            some = data.draw(st.lists(st.sampled_from(self.world.wire), max_size=6))
            self.events.record(some, now=self.now)
            self.world.reported |= {event.event_id for event in some}

    @rule(data=st.data())
    def die_while_recording(self, data: st.DataObject) -> None:
        """The transaction fails after its first statements; nothing of it may stay."""
        if self.world.wire:
            some = data.draw(st.lists(st.sampled_from(self.world.wire), min_size=1, max_size=3))
            broken = replace(some[0], event_id="broken", facts={"never": "\x00"})
            with pytest.raises(PermanentError):
                self.events.record([*some, broken], now=self.now)

    @rule()
    def find_what_the_dead_left(self) -> None:
        """Called only when no message is between the call and the settling, as its time limit ensures."""
        if not self.world.unsettled:
            self.dispatch.strand(before=self.now + timedelta(seconds=1), now=self.now)

    @rule(seconds=st.integers(0, 600))
    def let_time_pass(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)
        self.events.rematch(now=self.now, limit=100)

    @rule(hours=st.integers(1, 30))
    def let_hours_pass(self, hours: int) -> None:
        self.now += timedelta(hours=hours)

    @invariant()
    def each_message_goes_at_most_once(self) -> None:
        assert all(times == 1 for times in self.world.got.values())

    def teardown(self) -> None:
        """Report every event that was not reported yet, in reverse, and compare."""
        if not hasattr(self, "ids"):
            return
        self.dispatch.settle(self.world.unsettled, now=self.now)
        # An event that was reported once must be recorded: it is not reported again.
        left = [event for event in reversed(self.world.wire) if event.event_id not in self.world.reported]
        self.events.record(left, now=self.now)
        for days in (1, 2):
            self.events.rematch(now=self.now + timedelta(days=days), limit=1000)
        for message in self.ids:
            self.check(message)
        self.check_suppressions()

    def check(self, message: str) -> None:
        events = self.world.about(message)
        kinds = [event.kind for event in events]
        with self.engine.connect() as connection:
            asked = {"id": message}
            row = connection.execute(text("select status, handed_at from message where id = :id"), asked).one()
            noted = text("select kind from activity where message_id = :id and event_id is not null")
            output = list(connection.execute(noted, asked).scalars())
        assert sorted(output) == sorted(kinds)
        if kinds:
            assert row.status == reduce(advance, map(counts_as, events), Status.SENDING)
            assert row.handed_at is not None
        else:
            ours = ("accepted", "queued", "scheduled", "deferred", "sending", "unknown", "suppressed", "failed")
            assert row.status in ours

    def check_suppressions(self) -> None:
        causes = {cause for event in self.world.wire if (cause := cause_of(event.kind))}
        with self.engine.connect() as connection:
            asked = text("select address, reason from suppression where tenant = :tenant")
            rows = {row.address: row.reason for row in connection.execute(asked, {"tenant": self.batch.tenant})}
        assert set(rows.values()) <= causes | {Cause.MANUAL}
        output = {
            f"u{at}@users.test"
            for at, id_ in enumerate(self.ids)
            if any(cause_of(e.kind) for e in self.world.about(id_))
        }
        assert set(rows) == output | self.world.suppressed


@pytest.mark.parametrize(("games", "moves"), [(25, 25), pytest.param(200, 50, marks=pytest.mark.long)])
def test_no_game_loses_doubles_or_confuses_anything(engine: Engine, games: int, moves: int) -> None:
    """Deliver, repeat, reorder, crash, suppress, unsubscribe: every mail once, every event once, one final status."""
    bounded = settings(
        max_examples=games,
        stateful_step_count=moves,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize=True,
    )

    run_state_machine_as_test(lambda: Delivery(engine), settings=bounded)  # type: ignore[arg-type, return-value]
