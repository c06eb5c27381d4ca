"""Rate slots allow no more mails in a second than the rate."""

import pytest

from mailroom.domain.outbound.rate_slots import MOST_SLOTS, RateSlots


@pytest.mark.parametrize("per_second", [0.1, 0.5, 1, 1.5, 14, 200, 1000, 1001, 1500, 100_000])
def test_a_second_has_no_more_mails_than_the_rate_and_nearly_as_many(per_second: float) -> None:
    """Each slot is used once a window: the mails of a second are the slots of all windows that begin in it."""
    pace = RateSlots.of(per_second)

    in_a_second = pace.slots * max(1, round(1 / pace.window_s))

    assert in_a_second <= max(1, per_second)
    assert pace.slots / pace.window_s == pytest.approx(per_second if per_second < 1 else int(per_second), rel=0.001)
    assert pace.slots <= MOST_SLOTS
