"""SES subscription management: what a recipient left on SES's own page, a contact list or topics of it.

Source: SES developer guide, "Using subscription management" and the "Subscription" event (2026). A topic is one of our streams.
"""

from collections.abc import Mapping
from typing import Any

from mailroom.delivery.provider_events.fields import listed, table
from mailroom.domain.delivery.streams import MOST_STREAMS, SCOPE_FACT, STREAMS_FACT, Scope, is_stream


def left_facts(subscription: Mapping[str, Any]) -> dict[str, str]:
    """Return the facts of what was left by a `subscription` object: all, or the topics opted out of now; none for neither."""
    now, before = (table(subscription.get(f"{when}TopicPreferences")) for when in ("new", "old"))
    if now.get("unsubscribeAll") is True:
        return {SCOPE_FACT: Scope.NOT_TRANSACTIONAL.value}
    left = [name for name in _opted_out(now) if name not in _opted_out(before)]
    return {STREAMS_FACT: " ".join(left)} if left else {}


def _opted_out(preferences: Mapping[str, Any]) -> list[str]:
    topics = map(table, listed(preferences.get("topicSubscriptionStatus"))[:MOST_STREAMS])
    names = (topic.get("topicName") for topic in topics if str(topic.get("subscriptionStatus")).lower() == "optout")
    streams = (name.lower() for name in names if isinstance(name, str))
    return [stream for stream in streams if is_stream(stream)]
