"""Which events count for a message that was sent again, whatever came before and in whatever order."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailroom.domain.delivery.earlier_attempts import REACHED, EarlierAttempt, NewestAttempt, counts, is_earlier
from mailroom.domain.delivery.events import OURS, DeliveryEvent, Kind, advance, counts_as
from mailroom.domain.outbound.message import Status
from mailroom.domain.outbound.resending import RESENDABLE, NotResent, never_resent

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
PROVIDERS = st.sampled_from(["ses", "sendgrid"])
IDS = st.none() | st.sampled_from(["a", "b", "c"])
TIMES = st.integers(-100_000, 100_000).map(lambda seconds: NOW + timedelta(seconds=seconds))
EARLIER = st.builds(
    EarlierAttempt,
    attempt=st.integers(1, 4),
    provider=PROVIDERS,
    provider_message_id=IDS,
    status=st.sampled_from(sorted(RESENDABLE)),
    resent_at=TIMES,
)
NEWEST = st.builds(NewestAttempt, begun=st.booleans(), provider=PROVIDERS, provider_message_id=IDS)
EVENTS = st.builds(
    DeliveryEvent,
    provider=PROVIDERS | st.just(OURS),
    event_id=st.just("e"),
    kind=st.sampled_from(Kind),
    at=TIMES,
    provider_message_id=IDS,
)


@given(EVENTS, NEWEST)
def test_of_a_message_that_was_never_sent_again_every_event_counts(event: DeliveryEvent, newest: NewestAttempt) -> None:
    """Nothing changes for nearly all messages."""
    assert counts(event, newest, [])


@given(EVENTS, NEWEST, st.lists(EARLIER, min_size=1, max_size=3))
def test_that_the_mail_has_arrived_always_counts(
    event: DeliveryEvent, newest: NewestAttempt, earlier: list[EarlierAttempt]
) -> None:
    """By whichever attempt; what does not count is always of an earlier one."""
    if counts_as(event) in REACHED or event.provider == OURS:
        assert counts(event, newest, earlier)
    if not counts(event, newest, earlier):
        assert is_earlier(event, newest, earlier)


@given(EVENTS, NEWEST, st.lists(EARLIER, min_size=1, max_size=3))
def test_no_ill_fate_of_an_earlier_attempt_reaches_one_that_has_begun(
    event: DeliveryEvent, newest: NewestAttempt, earlier: list[EarlierAttempt]
) -> None:
    """As far as the provider's id says whose the event is."""
    of_earlier = any(
        event.provider_message_id
        and (event.provider, event.provider_message_id) == (one.provider, one.provider_message_id)
        for one in earlier
    )
    if newest.begun and of_earlier and counts_as(event) not in REACHED:
        assert not counts(event, newest, earlier)


@given(EVENTS, st.lists(EARLIER, min_size=1, max_size=3))
def test_the_newest_attempts_own_events_count(event: DeliveryEvent, earlier: list[EarlierAttempt]) -> None:
    """Unless an earlier one has the same id, which no provider gives twice."""
    newest = NewestAttempt(begun=True, provider=event.provider, provider_message_id=event.provider_message_id)
    same = any(one.provider_message_id == event.provider_message_id for one in earlier)
    if event.provider_message_id and not same:
        assert counts(event, newest, earlier)


def test_an_id_that_no_earlier_attempt_has_is_the_newest_ones_even_at_another_provider() -> None:
    """Of two providers the second took it, and its event came before its answer was settled."""
    first = EarlierAttempt(attempt=1, provider="sendgrid", provider_message_id="a", status="rejected", resent_at=NOW)
    newest = NewestAttempt(begun=True, provider="ses", provider_message_id=None)
    event = DeliveryEvent(provider="sendgrid", event_id="e", kind=Kind.BOUNCED_HARD, at=NOW, provider_message_id="b")

    assert counts(event, newest, [first])
    assert not counts(replace(event, provider_message_id="a"), newest, [first])
    assert not counts(replace(event, provider_message_id=None), newest, [first])


@given(EVENTS, NEWEST, st.lists(EARLIER, max_size=3), st.integers(1, 5))
def test_an_attempt_that_an_event_names_decides_and_neither_time_nor_ids_do(
    event: DeliveryEvent, newest: NewestAttempt, earlier: list[EarlierAttempt], attempt: int
) -> None:
    """A relay reports for days: its report of the first attempt may come long after the second has begun."""
    named = replace(event, attempt=attempt)
    of_it = [one for one in earlier if one.attempt == attempt]

    assert is_earlier(named, newest, earlier) == bool(of_it)
    if counts_as(event) in REACHED or not of_it:
        assert counts(named, newest, earlier)
    else:
        was_unknown = any(one.status == Status.UNKNOWN for one in of_it)
        assert counts(named, newest, earlier) == (not newest.begun and was_unknown)


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_either_arrived_or_is_of_one_attempt(kind: Kind) -> None:
    """A new kind whose mail has arrived must be among them: it claims no less than `delivered`."""
    claimed = advance(Status.QUEUED, kind)

    assert (kind in REACHED) == (claimed in {Status.DELIVERED, Status.OPENED, Status.CLICKED, Status.COMPLAINED})


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("submitted", [True, False])
def test_every_status_can_be_sent_again_or_says_why_not(status: Status, submitted: bool) -> None:
    """A new status without a word would be sent again, or be refused without a reason."""
    assert (never_resent(status, submitted=submitted) is None) == (status in RESENDABLE)
    assert never_resent(Status.DEFERRED, submitted=submitted) is (NotResent.SENT if submitted else NotResent.UNDER_WAY)
