"""Circuit breakers: they stop a batch or a tenant before the provider stops the account.

SES reviews an account from 5 % bounces and pauses it at 10 %; for complaints the rates are 0.1 % and 0.5 % (its developer
guide, "Sending review process", 2026). Breakers open earlier, but only once enough messages were sent to judge by.
"""

from dataclasses import dataclass
from datetime import timedelta

from mailroom.domain.reasons import ReasonWord

_CLOSE = "then `mailroom breakers close ID`, or cancel the batch"


class Trip(ReasonWord):
    """What opened the breaker."""

    BOUNCES = (
        "bounces",
        "too many messages were returned for good",
        f"find out where the addresses come from and take the bad ones out; {_CLOSE}",
    )
    COMPLAINTS = (
        "complaints",
        "too many recipients reported a message as spam",
        f"find out whether these people asked for this mail; {_CLOSE}",
    )
    SAME_REFUSAL = (
        "same_refusal",
        "recipients of several domains were refused one after the other with the same answer",
        f"the answer is about the sender, the content or the list: correct that with the provider; {_CLOSE}; those refused before stay rejected",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReputationCounts:
    """Outcomes of the messages of one batch, or of one tenant in a period; `sent` counts all that went to the provider."""

    sent: int
    bounced: int = 0
    complained: int = 0


#: The period by which a tenant is judged.
TENANT_WITHIN = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """When to open: rates from 0 to 1, judged after `sample` messages. Fewer complaints than `fewest_complaints` never do."""

    sample: int
    bounces: float = 0.05
    complaints: float = 0.001
    fewest_complaints: int = 3

    def __post_init__(self) -> None:
        if self.sample < 1 or not 0 < self.bounces <= 1 or not 0 < self.complaints <= 1 or self.fewest_complaints < 1:
            raise ValueError("a breaker needs a sample, and rates between 0 and 1")


#: A purchased list shows within the first hundred messages.
OF_BATCH = Thresholds(sample=100, bounces=0.08)
#: Over the last day, all batches of the tenant together.
OF_TENANT = Thresholds(sample=500)


def judge(counts: ReputationCounts, thresholds: Thresholds) -> Trip | None:
    """Return why the breaker opens, or None. Complaints first: they weigh more with every provider."""
    if counts.sent < thresholds.sample:
        return None
    if counts.complained >= thresholds.fewest_complaints and counts.complained / counts.sent > thresholds.complaints:
        return Trip.COMPLAINTS
    return Trip.BOUNCES if counts.bounced / counts.sent > thresholds.bounces else None


def may_open(bounced: int, complained: int, thresholds: Thresholds) -> bool:
    """Return whether these counts open the breaker at the smallest sample; if not, `sent` need not be counted."""
    return (
        judge(ReputationCounts(sent=thresholds.sample, bounced=bounced, complained=complained), thresholds) is not None
    )
