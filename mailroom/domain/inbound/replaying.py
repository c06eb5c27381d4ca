"""Replays of received e-mails: what is done with each, and how it ended.

    waiting ──> requested ──> filed | quarantined | failed     by the ledger, after its next attempt
       │            └───────> not_begun                        no worker began it
       └──────────> again | skipped | refused

To replay is to process by the rules as they are now: addresses, policies, parser. To release is a person's decision that a
policy, or the limit of a sender, does not hold it back; whatever else stops it still does.
"""

from datetime import timedelta
from enum import StrEnum
from typing import Self

from mailroom.domain.inbound.filing_policy import RELEASABLE
from mailroom.domain.inbound.received_email import State


class ReplayAction(StrEnum):
    """What is done with the e-mails."""

    REPLAY = "replay"
    RELEASE = "release"


class ReplayState(StrEnum):
    """The state of one e-mail in a replay."""

    _value_: str
    sentence: str

    def __new__(cls, word: str, sentence: str = "") -> Self:
        """Return the state with its sentence for people."""
        made = str.__new__(cls, word)
        made._value_, made.sentence = word, sentence
        return made

    WAITING = "waiting", "waits for its turn"
    REQUESTED = "requested", "its run is scheduled, and a worker begins it"
    FILED = "filed", "filed: its items are in their inboxes"
    QUARANTINED = "quarantined", "quarantined again, with the reason"
    FAILED = "failed", "its run failed again, with the reason"
    AGAIN = "again", "filed before; the processors that failed run again"
    SKIPPED = "skipped", "nothing was to be done: it was filed, or not held, at its turn"
    REFUSED = "refused", "its run could not be scheduled"
    NOT_BEGUN = "not_begun", "no worker began its run; look at the workers, then replay it again"

    @property
    def is_open(self) -> bool:
        """Whether it is still to be done, or its outcome is awaited."""
        return self in (ReplayState.WAITING, ReplayState.REQUESTED)

    @property
    def is_trouble(self) -> bool:
        """Whether a person should look at it."""
        troubles = (ReplayState.QUARANTINED, ReplayState.FAILED, ReplayState.REFUSED, ReplayState.NOT_BEGUN)
        return self in troubles


#: The e-mails of one replay.
MOST_REPLAYED = 100_000
#: A requested e-mail that no worker began for so long may be in another replay; after a day it is given up.
FREE_AFTER, GIVEN_UP_AFTER = timedelta(minutes=15), timedelta(days=1)


def is_not_released(state: State, reason: str | None) -> bool:
    """Return whether a release does nothing with an e-mail that ended so: neither a policy nor a limit holds it back."""
    return state.is_replayable and reason not in RELEASABLE
