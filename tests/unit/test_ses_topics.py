"""Topics of an SES contact list: what was left is read in one way, for the kind of the event and for the streams."""

from typing import Any

import pytest

from mailroom.delivery.provider_events.ses_meanings import meaning_of, topics_of
from mailroom.delivery.provider_events.ses_topics import left_now
from mailroom.domain.delivery.events import Kind


def part(now: Any, before: Any) -> dict[str, Any]:
    return {
        f"{when}TopicPreferences": {
            "unsubscribeAll": False,
            "topicSubscriptionStatus": [{"topicName": name, "subscriptionStatus": status} for name, status in topics],
        }
        for when, topics in (("new", now), ("old", before))
    }


@pytest.mark.parametrize(
    ("now", "before", "kind", "facts"),
    [
        ([("weekly", "OptOut")], [("weekly", "OptIn")], Kind.UNSUBSCRIBED, {"streams": "weekly"}),
        ([("Weekly", " optout ")], [], Kind.UNSUBSCRIBED, {"streams": "weekly"}),
        ([("weekly", "OptOut")], [("weekly", "OPTOUT")], Kind.OTHER, {}),
        ([("weekly", "OptIn")], [("weekly", "OptOut")], Kind.OTHER, {}),
        ([("No stream!", "OptOut")], [], Kind.UNSUBSCRIBED, {}),
        ([("No stream!", "OptOut"), ("offers", "OptOut")], [], Kind.UNSUBSCRIBED, {"streams": "offers"}),
        ([(7, "OptOut"), (None, "OptOut"), ("a", ["OptOut"])], [], Kind.OTHER, {}),
        ([], [("weekly", "OptIn")], Kind.OTHER, {}),
    ],
)
def test_the_kind_and_the_streams_agree_on_what_was_left(
    now: Any, before: Any, kind: Kind, facts: dict[str, str]
) -> None:
    """A blank or a capital made it a leaving for one of them, and none for the other."""
    assert meaning_of("Subscription", part(now, before), {}) == (kind, facts)
    assert bool(left_now(part(now, before))) == (kind is Kind.UNSUBSCRIBED)


@pytest.mark.parametrize(
    "hostile", [None, 7, [], {"topicSubscriptionStatus": "x"}, {"topicSubscriptionStatus": [None, 7]}]
)
def test_what_is_no_list_of_topics_has_none(hostile: Any) -> None:
    """A call that is verified may still hold anything."""
    subscription = {"newTopicPreferences": hostile, "oldTopicPreferences": hostile}

    assert (left_now(subscription), topics_of(subscription)) == ([], None)
    assert meaning_of("Subscription", subscription, {}) == (Kind.OTHER, {})
