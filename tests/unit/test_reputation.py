"""The circuit breaker opens before the provider's, and never on a handful of messages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailroom.domain.delivery.reputation import OF_BATCH, OF_TENANT, ReputationCounts, Thresholds, Trip, judge

RULES = Thresholds(sample=100, bounces=0.05, complaints=0.001, fewest_complaints=3)


@pytest.mark.parametrize(
    ("tally", "trip"),
    [
        (ReputationCounts(sent=0), None),
        (ReputationCounts(sent=99, bounced=99, complained=99), None),
        (ReputationCounts(sent=100), None),
        (ReputationCounts(sent=100, bounced=5), None),
        (ReputationCounts(sent=100, bounced=6), Trip.BOUNCES),
        (ReputationCounts(sent=100, complained=2), None),
        (ReputationCounts(sent=100, complained=3), Trip.COMPLAINTS),
        (ReputationCounts(sent=3000, complained=3), None),
        (ReputationCounts(sent=3000, complained=4), Trip.COMPLAINTS),
        (ReputationCounts(sent=100, bounced=50, complained=50), Trip.COMPLAINTS),
    ],
)
def test_opens_over_its_rate_after_its_sample(tally: ReputationCounts, trip: Trip | None) -> None:
    """At the threshold it stays closed, above it opens; one complaint of few messages is one person."""
    assert judge(tally, RULES) is trip


@given(st.integers(0, 5000), st.data())
def test_more_bounces_never_close_it(sent: int, data: st.DataObject) -> None:
    """An open breaker must not close because rates got worse."""
    bounced = data.draw(st.integers(0, sent))
    complained = data.draw(st.integers(0, sent))
    worse = ReputationCounts(
        sent=sent,
        bounced=data.draw(st.integers(bounced, sent)),
        complained=data.draw(st.integers(complained, sent)),
    )

    if judge(ReputationCounts(sent=sent, bounced=bounced, complained=complained), RULES):
        assert judge(worse, RULES)


def test_ours_opens_before_the_providers() -> None:
    """SES pauses an account at 10 % bounces and 0.5 % complaints."""
    for rules in (OF_BATCH, OF_TENANT):
        assert judge(ReputationCounts(sent=10_000, bounced=1_000), rules) is Trip.BOUNCES
        assert judge(ReputationCounts(sent=10_000, complained=50), rules) is Trip.COMPLAINTS


@pytest.mark.parametrize("wrong", [{"sample": 0}, {"bounces": 0}, {"bounces": 5}, {"complaints": -1}])
def test_threshold_that_is_none_is_refused(wrong: dict[str, float]) -> None:
    """5 for five per cent would never open."""
    with pytest.raises(ValueError, match="breaker"):
        Thresholds(**{"sample": 100} | wrong)  # type: ignore[arg-type]
