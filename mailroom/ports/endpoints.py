"""Webhook endpoints of tenants: pending events, deliveries, retries, and the attempts that were made.

The database writes each pending event in the transaction of its activity, so that no code that writes an activity can
forget it. All calls may raise `TransientError`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A tenant's URL, the kinds of activities it is notified of, and the state of its deliveries.

    It is disabled since `disabled_at`, for `reason`; otherwise, with `failing_since`, the next attempt is at `next_at`.
    `waiting` is the number of pending events.
    """

    id: str
    tenant: str
    url: str
    secret: str = field(repr=False)
    kinds: tuple[str, ...]
    created_at: datetime
    tries: int = 0
    failing_since: datetime | None = None
    next_at: datetime | None = None
    disabled_at: datetime | None = None
    reason: str | None = None
    waiting: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookEvent:
    """One activity of one message. `sequence` grows: for one message, the higher is the later."""

    sequence: int
    kind: str
    at: datetime
    actor: str | None
    facts: Mapping[str, Any]
    message_id: str
    batch_id: str
    reference: str
    recipient: str
    metadata: Mapping[str, str]
    status: str
    reason: str | None
    #: The address that the message is from; empty where the batch's row has none.
    sender: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookDelivery:
    """The events to post to one endpoint now, leased to this process until `taken_until`."""

    endpoint: Endpoint
    events: Sequence[WebhookEvent]
    taken_until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One POST: its `news` (number of events), the `first` and `last` sequence; the response's `status`, or the `fault`."""

    at: datetime
    news: int
    first: int
    last: int
    status: int | None = None
    fault: str | None = None


class Endpoints(Protocol):
    """The endpoints of all tenants. `tenant` None selects every tenant."""

    def add(self, endpoint: Endpoint) -> None:
        """Register an endpoint; it is notified of activities from now on."""

    def all(self, tenant: str | None) -> list[Endpoint]:
        """Return the endpoints, oldest first."""

    def find(self, tenant: str | None, endpoint_id: str) -> Endpoint | None:
        """Return one; None for an unknown id, another tenant's, or a malformed id."""

    def remove(self, tenant: str | None, endpoint_id: str) -> bool:
        """Delete it; False where `find` returns None."""

    def enable(self, tenant: str | None, endpoint_id: str, *, now: datetime) -> bool:
        """Enable it again; its pending events are posted first. False where `find` returns None."""

    def replay(self, tenant: str | None, endpoint_id: str, *, since: datetime, until: datetime) -> int | None:
        """Post the events between `since` and `until` again, and return how many; None as for `find`."""

    def attempts(self, tenant: str | None, endpoint_id: str, *, limit: int) -> list[Attempt] | None:
        """Return the latest attempts, newest first; None as for `find`."""

    def take(self, *, now: datetime, until: datetime) -> WebhookDelivery | None:
        """Lease the pending events of the endpoint that has waited longest, until `until`; None if there are none.

        Events that cannot be posted are skipped and recorded.
        """

    def set_aside(self, endpoint_id: str, error: Exception, *, until: datetime) -> None:
        """Skip an endpoint until `until` and record `error`: nothing can be posted to it as it is."""

    def delivered(self, parcel: WebhookDelivery, attempt: Attempt) -> None:
        """Record that the endpoint accepted these events."""

    def failed(self, parcel: WebhookDelivery, attempt: Attempt, *, retry_at: datetime | None, reason: str = "") -> None:
        """Record a failed attempt, to be retried at `retry_at`; without it the endpoint is disabled for `reason`."""

    def waiting(self) -> tuple[int, int]:
        """Return the number of pending events of enabled endpoints, and the number of disabled endpoints."""

    def forget(self, *, before: datetime) -> int:
        """Delete attempts and events posted before `before`, and what waits for endpoints disabled before; return how many."""
