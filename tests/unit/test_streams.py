"""Streams as values: names, what an unsubscribe covers, what a policy may say, and SES's topics."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailroom.delivery.provider_events.ses_topics import left_facts
from mailroom.domain.delivery.streams import (
    MOST_STREAMS,
    TRANSACTIONAL,
    Scope,
    UnsubscribePolicy,
    is_stream,
    left_streams,
    policy_faults,
    scope_of,
)

NAMES = st.sampled_from(["bulk", "weekly", "receipts", TRANSACTIONAL, "a" * 63, "No Stream", "", "*"])
FACTS = st.fixed_dictionaries(
    {},
    optional={
        "scope": st.sampled_from(["stream", "not_transactional", "all", "x"]),
        "streams": st.lists(NAMES, max_size=4).map(" ".join) | st.text(max_size=30),
        "group": st.sampled_from(["1", "2", "x"]),
    },
)
POLICIES = st.builds(
    UnsubscribePolicy,
    covers=st.sampled_from([Scope.STREAM, Scope.NOT_TRANSACTIONAL]),
    transactional=st.lists(NAMES.filter(is_stream), max_size=3).map(tuple),
    groups=st.dictionaries(st.sampled_from(["1", "2"]), NAMES.filter(is_stream)),
)


@given(FACTS, NAMES.filter(is_stream), POLICIES)
def test_an_unsubscribe_covers_something_and_never_a_transactional_stream(
    facts: dict[str, str], stream: str, policy: UnsubscribePolicy
) -> None:
    """Whatever a provider, a form and a tenant say together: the person has left, and still gets receipts."""
    left = left_streams(facts, stream, policy)

    assert left
    assert len(left) == len(set(left)) <= MOST_STREAMS
    assert all(one is None or (is_stream(one) and not policy.is_transactional(one)) for one in left)


@given(st.text(max_size=20), st.none() | NAMES)
def test_only_an_unsubscribe_leaves_transactional_mail_alone(reason: str, stream: str | None) -> None:
    """Every other reason without a stream covers all mail, also a tenant's own words."""
    scope = scope_of(reason, stream)

    assert (scope is Scope.STREAM) is (stream is not None)
    assert (scope is Scope.NOT_TRANSACTIONAL) is (stream is None and reason == "unsubscribe")


def test_a_policy_in_any_letters_is_fine() -> None:
    """French spaces, emojis of several signs and letters from right to left are what tenants write."""
    text = "À bientôt\u00a0! Désabonné\u202f?\n\u05e9\u05dc\u05d5\u05dd\u200f 👩\u200d💻\n\nAdieu."

    assert policy_faults(UnsubscribePolicy(name="L\u2019Épicerie\u00a0& Cie", text=text)) == []


TOPIC = {"topicName": "Weekly", "subscriptionStatus": "OptOut"}


@pytest.mark.parametrize(
    ("now", "before", "facts"),
    [
        ({"unsubscribeAll": True, "topicSubscriptionStatus": [TOPIC]}, {}, {"scope": "not_transactional"}),
        ({"topicSubscriptionStatus": [TOPIC]}, {}, {"streams": "weekly"}),
        ({"topicSubscriptionStatus": [TOPIC, TOPIC | {"topicName": "b_2"}]}, {}, {"streams": "weekly b_2"}),
        ({"topicSubscriptionStatus": [TOPIC]}, {"topicSubscriptionStatus": [TOPIC]}, {}),
        ({"topicSubscriptionStatus": [TOPIC | {"subscriptionStatus": "OptIn"}]}, {}, {}),
        ({"topicSubscriptionStatus": [TOPIC | {"topicName": "über uns"}]}, {}, {}),
        ({"topicSubscriptionStatus": [5, None, {}, {"topicName": 5}, "OptOut"]}, None, {}),
        ({"unsubscribeAll": "true", "topicSubscriptionStatus": "OptOut"}, [], {}),
        (None, None, {}),
    ],
)
def test_what_was_left_on_the_page_of_ses_is_read(now: Any, before: Any, facts: dict[str, str]) -> None:
    """Topics left before are not left again; what is no topic of ours is passed over."""
    assert left_facts({"newTopicPreferences": now, "oldTopicPreferences": before}) == facts
