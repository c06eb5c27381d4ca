"""What tenants are told of their messages, and how long a deaf endpoint is waited for."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from mailroom.domain.delivery.events import Kind
from mailroom.domain.outbound.message import SendingStage, Status
from mailroom.domain.outbound.reasons import OutboundReason
from mailroom.domain.reasons import ReasonWord

#: Every word that an activity may have.
KINDS = frozenset({*Status, *Kind})
#: What an endpoint is told that did not choose: not each step within our own walls.
USUAL = KINDS - {status for status in Status if status.stage in (SendingStage.WAITING, SendingStage.SENDING)}
USUAL -= {Kind.SENT, Kind.OTHER}

#: An endpoint that fails for so long is disabled.
PATIENCE = timedelta(days=3)


class Disabled(ReasonWord):
    """Why an endpoint is disabled."""

    GONE = ("gone", "its server answered 410: it wants nothing more", "enable it if that was a mistake, or remove it")
    FAILING_FOR_DAYS = (
        "failing_for_days",
        f"every POST to it has failed for {PATIENCE.days} days",
        "mend its server, then enable it: what has waited is sent first",
    )


#: How many things one POST tells; after a failure fewer, so that one that cannot be borne stands alone.
MOST = 100

#: Facts of activities that are the installation's own.
_INTERNAL = frozenset({"run_id"})

_FIRST, _LONGEST = timedelta(seconds=5), timedelta(hours=1)


def next_try(tries: int, now: datetime, *, jitter: float) -> datetime:
    """Return when to tell again after so many failures in a row; `jitter`, from 0 to 1, keeps endpoints apart."""
    pause: timedelta = min(_FIRST * 2 ** max(0, min(tries, 20)), _LONGEST)
    return now + pause * (0.75 + jitter / 2)


def most_after(tries: int) -> int:
    """Return how many things to tell at once after so many failures in a row."""
    return max(1, MOST >> max(0, min(tries, 20)))


def facts_for_tenants(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts of an activity as its tenant may know them: without ids of the installation's own.

    A reason has both its words: `reason` that of up to 0.1.0, for one release, and `reason_code` the stable one.
    """
    return OutboundReason.both_words({name: value for name, value in facts.items() if name not in _INTERNAL})
