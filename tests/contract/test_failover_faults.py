"""Failover: whose fault an answer of the second provider is."""

import pytest

from mailroom.adapters.providers.failover import FailOver
from mailroom.domain.errors import (
    DailyQuota,
    MailroomError,
    OutcomeUnknown,
    Paused,
    RecipientRefused,
    RecipientUnavailable,
    SenderRefused,
    Throttled,
    TransientError,
)
from mailroom.testing.provider import MemoryProvider, a_mail


@pytest.mark.parametrize(
    ("answer", "stands"),
    [
        (Paused("suspended", provider="second"), True),
        (SenderRefused("not verified", provider="second"), True),
        (DailyQuota("used up", provider="second"), True),
        (Throttled("slow", provider="second"), True),
        (TransientError("gone", provider="second"), True),
        (RecipientUnavailable("greylisted", provider="second"), False),
        (OutcomeUnknown("lost", provider="second"), False),
        (RecipientRefused("unknown", provider="second"), False),
    ],
)
def test_a_fault_of_the_second_provider_leaves_the_first_s_result(answer: MailroomError, stands: bool) -> None:
    """It would pause the first's account; what concerns the mail, or may have sent it, counts."""
    first, second, outage = MemoryProvider("first"), MemoryProvider("second"), TransientError("no connection")
    first.answers.append(outage)
    second.answers.append(answer)

    assert FailOver(first, second).send([a_mail()]) == [outage if stands else answer]
