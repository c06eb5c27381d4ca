"""Rules of tenant webhooks: which events an endpoint gets, the retry schedule, and when it is disabled."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from mailroom.domain.delivery.events import Kind
from mailroom.domain.outbound.message import SendingStage, Status
from mailroom.domain.outbound.reasons import OutboundReason
from mailroom.domain.reasons import ReasonWord

#: Every event that an endpoint may subscribe to.
KINDS = frozenset({*Status, *Kind})
#: The events of an endpoint that chose none: all but Mailroom's internal steps.
USUAL = KINDS - {status for status in Status if status.stage in (SendingStage.WAITING, SendingStage.SENDING)}
USUAL -= {Kind.SENT, Kind.OTHER}

#: An endpoint that fails for this long is disabled.
PATIENCE = timedelta(days=3)


class Disabled(ReasonWord):
    """Why an endpoint is disabled."""

    GONE = ("gone", "its server answered 410: it wants nothing more", "enable it if that was a mistake, or remove it")
    FAILING_FOR_DAYS = (
        "failing_for_days",
        f"every POST to it has failed for {PATIENCE.days} days",
        "fix its server, then enable it: what has waited is sent first",
    )


#: Events in one POST at most; fewer after failures, so that an event the endpoint cannot handle ends up alone.
MOST = 100

#: Facts of activities that are internal to the installation.
_INTERNAL = frozenset({"run_id"})

_FIRST, _LONGEST = timedelta(seconds=5), timedelta(hours=1)


def next_try(tries: int, now: datetime, *, jitter: float) -> datetime:
    """Return when to post again after `tries` failures in a row; `jitter`, from 0 to 1, spreads the endpoints."""
    pause: timedelta = min(_FIRST * 2 ** max(0, min(tries, 20)), _LONGEST)
    return now + pause * (0.75 + jitter / 2)


def most_after(tries: int) -> int:
    """Return the most events of one POST after `tries` failures in a row."""
    return max(1, MOST >> max(0, min(tries, 20)))


def facts_for_tenants(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts of an activity that its tenant sees: without the installation's internal ids.

    A reason is given in both words: in `reason` the word up to 0.1.0, for one release, in `reason_code` the stable one.
    """
    return OutboundReason.both_words({name: value for name, value in facts.items() if name not in _INTERNAL})
