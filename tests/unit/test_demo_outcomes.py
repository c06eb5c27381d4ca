"""The batch of `mailroom demo`: the outcomes of its recipients, and the message when they do not come."""

from collections import Counter
from typing import Any

import pytest

from mailroom.cli._api_client import ApiClient
from mailroom.cli._demo_batch import follow, outcomes
from mailroom.domain.delivery.reputation import OF_BATCH, ReputationCounts, judge
from mailroom.domain.errors import PermanentError
from mailroom.domain.outbound.message import Status


class Standing(ApiClient):
    """An API whose one batch stands still."""

    def __init__(self, statuses: dict[str, int]) -> None:
        self.statuses = statuses

    def batch(self, batch_id: str) -> dict[str, Any]:
        """Return the batch as it always stands."""
        return {"id": batch_id, "statuses": self.statuses}


def test_no_breaker_opens_however_far_the_batch_is() -> None:
    """Rates are judged while it is sent, and every event of what has gone may be there already."""
    words = [fate.word for fate in outcomes(200)]

    for sent in range(1, 201):
        gone = Counter(words[:sent])
        tally = ReputationCounts(sent=sent, bounced=gone["bounce"], complained=gone["complaint"])
        assert judge(tally, OF_BATCH) is None, sent


def test_two_hundred_mails_have_every_outcome() -> None:
    """The figures that the README shows."""
    found = Counter(fate.word for fate in outcomes(200))

    assert found == {
        "user": 150,
        "open": 20,
        "click": 10,
        "bounce": 10,
        "delay": 4,
        "softbounce": 4,
        "complaint": 2,
    }


def test_followed_until_each_has_come_to_its_end() -> None:
    """A status with a count of 0 makes no difference."""
    shown: list[dict[str, int]] = []
    expected = Counter(fate.status.value for fate in outcomes(20))

    ended = follow(Standing({**expected, Status.QUEUED: 0}), "b", mails=20, show=lambda now: shown.append(dict(now)))

    assert ended == expected
    assert shown == [expected]


def test_batch_that_stands_still_is_reported_with_its_counts() -> None:
    """The command must not wait for ever, and says where to look."""
    with pytest.raises(PermanentError, match="mailroom breakers") as caught:
        follow(Standing({"queued": 20}), "some-batch", mails=20, show=lambda _: None, patience_s=0)

    assert "some-batch" in str(caught.value)
    assert "queued=20" in str(caught.value)
