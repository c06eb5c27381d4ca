"""What the routes work with; one value, made by `serve` or by a test."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Event
from typing import Annotated, Any, Protocol, cast

from fastapi import Depends, HTTPException, Request

from mailroom.api.hooks.event_recorder import EventRecorder
from mailroom.api.hooks.hook_receiver import HookReceiver
from mailroom.api.slots import Slots
from mailroom.delivery.provider_events.sns import Verifier
from mailroom.domain.inbound.received_email import Entry
from mailroom.outbound.attachments import Uploads
from mailroom.ports.api_keys import ApiKeys
from mailroom.ports.archive import Archive
from mailroom.ports.breakers import Breakers
from mailroom.ports.endpoints import Endpoints
from mailroom.ports.events import Events
from mailroom.ports.inbox_reader import InboxReader
from mailroom.ports.message_reader import MessageReader
from mailroom.ports.monitoring import Monitoring
from mailroom.ports.outbox import Outbox
from mailroom.ports.quotas import Quotas
from mailroom.ports.runs import RunStarter
from mailroom.ports.scheduler import Scheduler
from mailroom.ports.senders import Senders
from mailroom.ports.suppressions import Suppressions
from mailroom.ports.terms import Terms
from mailroom.settings import Settings


def _now() -> datetime:
    return datetime.now(UTC)


class LedgerReader(Protocol):
    """The part of the port `Ledger` that is needed here; any ledger has it."""

    def find(self, any_id: str) -> Entry | None: ...

    def trace(self, email_id: str) -> dict[str, Any]: ...


class Subscriptions(Protocol):
    """Answers a topic's question whether it may post."""

    def confirm(self, topic_arn: str, token: str) -> None: ...


class Deduplicator(Protocol):
    """Knows which messages were taken."""

    def do(self, source: str, message_id: str, action: Callable[[], None], *, now: datetime) -> bool:
        """Do `action` unless this message was taken before, and say whether it was done; what it raises leaves it untaken."""


class QueueWriter(Protocol):
    """The sending side of a queue."""

    def post(self, bodies: Sequence[str]) -> None: ...


@dataclass(frozen=True, slots=True)
class InboundHook:
    """What a post of SNS about received e-mail goes through."""

    verifier: Verifier
    subscriptions: Subscriptions
    once: Deduplicator
    queue: QueueWriter


@dataclass(frozen=True, slots=True)
class OutboundServices:
    """What the routes of outbound mail work with. `uploads` None: files are not taken from S3.

    `submitted` is set where the outbox has something new; whoever relays it clears it.
    """

    outbox: Outbox
    message_reader: MessageReader
    suppressions: Suppressions
    quotas: Quotas
    breakers: Breakers
    senders: Senders
    terms: Terms
    uploads: Uploads | None = None
    submitted: Event = field(default_factory=Event)


@dataclass(frozen=True, slots=True)
class Services:
    """Everything outside that the HTTP service needs; `sending` None is an installation that only receives.

    `events` is where what became of mail is recorded, `event_recorder` the same for what may be lost, `hook_receiver` what its providers'
    calls are checked against, `watch` what counts it all, `endpoints` who is told of it. Batches are prepared in `slots`, small
    ones in `small_slots`.
    """

    settings: Settings
    reader: InboxReader
    archive: Archive
    runs: RunStarter
    ledger: LedgerReader
    keys: ApiKeys
    sending: OutboundServices | None = None
    events: Events | None = None
    event_recorder: EventRecorder | None = None
    hook_receiver: HookReceiver | None = None
    watch: Monitoring | None = None
    endpoints: Endpoints | None = None
    now: Callable[[], datetime] = _now
    inbound_hook: InboundHook | None = None
    scheduler: Scheduler | None = None
    slots: Slots = field(default_factory=Slots)
    small_slots: Slots = field(default_factory=Slots)


def services_of(request: Request) -> Services:
    """Return the services that the application was made with."""
    return cast(Services, request.app.state.services)


AppServices = Annotated[Services, Depends(services_of)]


def sending_of(services: AppServices) -> OutboundServices:
    """Return what sends. Routes name it behind the holder: who has no key learns nothing of the installation.

    Raises:
        HTTPException: 404, this installation only receives.
    """
    if services.sending is None:
        raise HTTPException(404, "This installation sends no mail.")
    return services.sending


AppOutbound = Annotated[OutboundServices, Depends(sending_of)]
