"""The schedule of a message that its recipient's server does not take now: for any answers, times, ends and batches."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailroom.domain.errors import RecipientGaveUp, RecipientUnavailable
from mailroom.domain.outbound.message import Batch, Content, Draft, Party
from mailroom.outbound.retry_schedule import (
    RECIPIENT_DELAYS,
    RECIPIENT_JITTER,
    RecipientSchedule,
    recipient_outcome,
)
from mailroom.ports.dispatch import Claimed

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
DAY = timedelta(days=1)
DRAFT = Draft(id=str(UUID(int=1)), number=0, to=Party("u@users.test"), content=0)
CONTENT = Content(subject="s", text="t", html=None)

waits = st.timedeltas(timedelta(), timedelta(days=3))
jitters = st.floats(0, 1)
schedules = st.builds(
    RecipientSchedule,
    give_up_after=st.timedeltas(timedelta(hours=1), timedelta(days=30)),
    grid=st.sampled_from([timedelta(seconds=1), timedelta(minutes=1), timedelta(minutes=5)]),
)


def claim(
    refusals: int = 0,
    first_at: datetime | None = None,
    *,
    expires_at: datetime | None = None,
    batch_id: UUID | None = None,
) -> Claimed:
    batch = Batch(id=str(batch_id or UUID(int=7)), tenant="acme", from_=Party("desk@acme.test"), expires_at=expires_at)
    return Claimed(
        batch=batch,
        draft=DRAFT,
        content=CONTENT,
        attempt=refusals + 1,
        handed_at=NOW,
        refusals=refusals,
        first_refused_at=first_at,
    )


def tries(
    schedule: RecipientSchedule, jitter: float = 0.0, asked: timedelta = timedelta(), **batch: object
) -> list[datetime]:
    """Return the times of all tries of a message that is refused at each of them, the first one included."""
    found, due = [NOW], schedule.next_try(claim(**batch), now=NOW, requested_wait=asked, jitter=jitter)  # type: ignore[arg-type]
    expires_at = batch.get("expires_at")
    while due is not None and due != expires_at:
        found.append(due)
        again = claim(len(found) - 1, NOW, **batch)  # type: ignore[arg-type]
        due = schedule.next_try(again, now=due, requested_wait=asked, jitter=jitter)
    return found


@settings(deadline=None)
@given(
    schedule=schedules,
    batch_id=st.uuids(),
    jitter=jitters,
    asked=waits,
    expires_in=st.none() | st.timedeltas(DAY / 48, 9 * DAY),
)
def test_tries_never_come_before_their_wait_nor_after_the_end(
    schedule: RecipientSchedule, batch_id: UUID, jitter: float, asked: timedelta, expires_in: timedelta | None
) -> None:
    """Whatever the batch, the server's wish, the setting and the chance: each try is later, and there is a last one."""
    expires_at = NOW + expires_in if expires_in is not None else None

    found = tries(schedule, jitter, asked, batch_id=batch_id, expires_at=expires_at)

    assert all(later - earlier >= max(asked, RECIPIENT_DELAYS[0]) for earlier, later in pairwise(found))
    assert found[-1] <= NOW + schedule.give_up_after
    assert expires_at is None or found[-1] < expires_at


@settings(deadline=None)
@given(batch_id=st.uuids(), jitter=jitters)
def test_waits_grow_to_six_hours_and_end_after_four_days(batch_id: UUID, jitter: float) -> None:
    """Each wait is its step's or up to a fifth more, and the grid; the last try uses what is left of the four days."""
    found = tries(RecipientSchedule(), jitter, batch_id=batch_id)
    between = [later - earlier for earlier, later in pairwise(found)]

    for wait, step in zip(between[:-1], [*RECIPIENT_DELAYS, *[RECIPIENT_DELAYS[-1]] * 20], strict=False):
        assert step <= wait <= step * (1 + RECIPIENT_JITTER) + max(timedelta(minutes=5), step / 12)
    assert timedelta(days=4, hours=-6) < sum(between, timedelta()) <= timedelta(days=4)
    assert 17 <= len(found) <= 23


def test_messages_of_a_batch_share_the_times_of_their_tries() -> None:
    """Three thousand messages that were refused within a minute wait for a few runs, not for one each."""
    schedule, batch_id = RecipientSchedule(), uuid4()
    for refusals, most in [(0, 3), (3, 5), (6, 4)]:
        moments = [NOW + timedelta(milliseconds=20 * number) for number in range(3000)]
        due = {
            schedule.next_try(
                claim(refusals, NOW, batch_id=batch_id),
                now=moment,
                requested_wait=timedelta(),
                jitter=number % 100 / 99,
            )
            for number, moment in enumerate(moments)
        }
        assert len(due) <= most


def test_batches_do_not_share_them() -> None:
    """Runs of a hundred batches would otherwise begin in the same second."""
    asked = {"now": NOW, "requested_wait": timedelta(), "jitter": 0.0}
    due = {RecipientSchedule().next_try(claim(batch_id=uuid4()), **asked) for _ in range(100)}  # type: ignore[arg-type]

    assert len(due) > 50


def test_ends_of_messages_are_shared_too() -> None:
    """Each message's four days end at another time; its last try is at a shared one before it."""
    schedule = RecipientSchedule()
    now, ends = NOW + timedelta(days=4, hours=-2), set()
    for seconds in range(600):
        first_at = NOW + timedelta(seconds=seconds)
        due = schedule.next_try(claim(12, first_at), now=now, requested_wait=timedelta(), jitter=0.5)
        assert due is not None
        assert due <= first_at + schedule.give_up_after
        ends.add(due)
    assert len(ends) <= 2


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [
        (None, 0),
        (45, 45),
        ("90", 90),
        (-5, 0),
        ("soon", 0),
        (float("nan"), 0),
        (float("inf"), None),
        (1e300, None),
        ([], 0),
    ],
)
def test_what_a_server_asks_for_is_a_minimum_whatever_it_is(asked: object, seconds: float | None) -> None:
    """A server far away chooses this value. One that asks for longer than the message may wait ends its tries."""
    answer = RecipientUnavailable("later", retry_after_s=asked, code=450)
    schedule = RecipientSchedule(delays=(timedelta(seconds=1),), grid=timedelta(seconds=1))

    outcome = recipient_outcome(claim(), answer, schedule=schedule, now=NOW, jitter=0.0)

    if seconds is None:
        assert isinstance(outcome.result, RecipientGaveUp)
        assert outcome.retry_at is None
    else:
        assert outcome.result is answer
        assert outcome.retry_at is not None
        assert max(seconds, 1) <= (outcome.retry_at - NOW).total_seconds() <= max(seconds, 1) + 1


def test_the_end_says_how_often_it_was_tried_and_what_the_last_answer_was() -> None:
    """The history of the message is enough to explain it; no log is needed."""
    answer = RecipientUnavailable("later", provider="smtp", code=450, enhanced="4.2.1")
    late = claim(19, NOW - 4 * DAY)

    outcome = recipient_outcome(late, answer, schedule=RecipientSchedule(), now=NOW, jitter=0.0)

    assert isinstance(outcome.result, RecipientGaveUp)
    assert outcome.result.facts == {
        "provider": "smtp",
        "code": 450,
        "enhanced": "4.2.1",
        "tries": 20,
        "since": "2026-11-18T09:30:00+00:00",
    }


def test_a_batch_that_expires_between_two_tries_expires_at_its_time() -> None:
    """Neither a try after `expires_at`, nor a failure before it."""
    expires_at = NOW + timedelta(minutes=7)

    due = RecipientSchedule().next_try(
        claim(1, NOW, expires_at=expires_at), now=NOW, requested_wait=timedelta(), jitter=0.0
    )

    assert due == expires_at
