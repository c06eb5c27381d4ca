"""Endpoints of tenants that are told what became of their messages: what is to be told, to whom, and what came of it.

What is to be told is written in the transaction of the activity that it tells of, by the database itself, so that nobody
who writes an activity can forget it. All calls may raise `TransientError`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A URL that is told, of which kinds of activities, and how it has borne that.

    It is disabled since `disabled_at`, for `reason`; else, with `failing_since`, it is told again at `next_at`. `waiting` is
    how much it has not been told yet.
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
    """One activity of one message. `sequence` grows; of one message the higher is the later."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookDelivery:
    """What one endpoint is to be told now, by nobody else until `taken_until`."""

    endpoint: Endpoint
    events: Sequence[WebhookEvent]
    taken_until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One POST: how many things it told, from which to which; `status` of the answer, `fault` where it came to nothing."""

    at: datetime
    news: int
    first: int
    last: int
    status: int | None = None
    fault: str | None = None


class Endpoints(Protocol):
    """The endpoints of all tenants. Where `tenant` is None, anybody's."""

    def add(self, endpoint: Endpoint) -> None:
        """Tell this endpoint from now on."""

    def all(self, tenant: str | None) -> list[Endpoint]:
        """Return the endpoints, oldest first."""

    def find(self, tenant: str | None, endpoint_id: str) -> Endpoint | None:
        """Return one; None for an unknown id, another tenant's, or what is no id at all."""

    def remove(self, tenant: str | None, endpoint_id: str) -> bool:
        """Tell it no more and forget it; False as `find` says None."""

    def enable(self, tenant: str | None, endpoint_id: str, *, now: datetime) -> bool:
        """Tell it again, first what has waited; False as `find` says None."""

    def replay(self, tenant: str | None, endpoint_id: str, *, since: datetime, until: datetime) -> int | None:
        """Tell again what happened between the two, and return how much that is; None as for `find`."""

    def attempts(self, tenant: str | None, endpoint_id: str, *, limit: int) -> list[Attempt] | None:
        """Return the latest attempts, newest first; None as for `find`."""

    def take(self, *, now: datetime, until: datetime) -> WebhookDelivery | None:
        """Return what is to be told to the endpoint that has waited longest, or None where nothing is.

        What nobody can be told is stepped over and named.
        """

    def set_aside(self, endpoint_id: str, error: Exception, *, until: datetime) -> None:
        """Leave an endpoint alone until then, named with what went wrong: nothing can be posted to it as it is."""

    def delivered(self, parcel: WebhookDelivery, attempt: Attempt) -> None:
        """Note that it knows."""

    def failed(self, parcel: WebhookDelivery, attempt: Attempt, *, retry_at: datetime | None, reason: str = "") -> None:
        """Note that it does not; without `retry_at` it is disabled for `reason`."""

    def waiting(self) -> tuple[int, int]:
        """Count what is not told yet, of endpoints that are not disabled, and the disabled endpoints."""

    def forget(self, *, before: datetime) -> int:
        """Delete attempts and what was told before `before`, and what waits for endpoints disabled before; return how much."""
