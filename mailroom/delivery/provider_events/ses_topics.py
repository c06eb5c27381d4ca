"""SES subscription management: what a recipient left on SES's own page, a contact list or topics of it.

Source: SES developer guide, "Using subscription management" and the "Subscription" event (2026). A topic is one of our streams.
"""

from collections.abc import Mapping
from typing import Any

from mailroom.delivery.provider_events.fields import listed, plain, table
from mailroom.domain.delivery.streams import MOST_STREAMS, SCOPE_FACT, STREAMS_FACT, Scope, is_stream

_OUT = "optout"


def left_facts(subscription: Mapping[str, Any]) -> dict[str, str]:
    """Return the facts of what was left by a `subscription` object: all, or the topics opted out of now; none for neither."""
    now = table(subscription.get("newTopicPreferences"))
    if now.get("unsubscribeAll") is True:
        return {SCOPE_FACT: Scope.NOT_TRANSACTIONAL.value}
    left = [stream for stream in map(str.lower, left_now(subscription)) if is_stream(stream)]
    return {STREAMS_FACT: " ".join(left)} if left else {}


def left_now(subscription: Mapping[str, Any]) -> list[str]:
    """Return the topics that a `subscription` object opts out of, and that were not opted out of before."""
    before = statuses(subscription, "old")
    return [
        name for name, status in statuses(subscription, "new").items() if status == _OUT and before.get(name) != _OUT
    ]


def statuses(subscription: Mapping[str, Any], when: str) -> dict[str, str]:
    """Return the status of each topic `new` or `old`, in small letters: `optin` or `optout`."""
    preferences = table(subscription.get(f"{when}TopicPreferences"))
    topics = map(table, listed(preferences.get("topicSubscriptionStatus"))[:MOST_STREAMS])
    return {
        name: plain(topic.get("subscriptionStatus"))
        for topic in topics
        if isinstance(name := topic.get("topicName"), str)
    }
