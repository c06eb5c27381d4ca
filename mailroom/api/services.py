"""The ports that the routes work with: one value, built by `serve` or by a test."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Event
from typing import Annotated, Any, Protocol, cast

from fastapi import Depends, HTTPException, Request

from mailroom.api.attempts import Attempts
from mailroom.api.hooks.event_recorder import EventRecorder
from mailroom.api.hooks.hook_receiver import HookReceiver
from mailroom.api.key_uses import KeyUses
from mailroom.api.slots import Slots
from mailroom.delivery.provider_events.sns import Verifier
from mailroom.domain.inbound.received_email import Entry
from mailroom.inbound.replaying import Replayer
from mailroom.operations.status import StatusReader
from mailroom.outbound.attachments import Uploads
from mailroom.outbound.served_senders import ServedSenders
from mailroom.ports.addresses import Addresses
from mailroom.ports.api_keys import ApiKeys
from mailroom.ports.archive import Archive
from mailroom.ports.breakers import Breakers
from mailroom.ports.endpoints import Endpoints
from mailroom.ports.events import Events
from mailroom.ports.inbox_reader import InboxReader
from mailroom.ports.item_marks import ItemMarks
from mailroom.ports.journal import Journal
from mailroom.ports.message_reader import MessageReader
from mailroom.ports.monitoring import Monitoring
from mailroom.ports.openid import OpenIdProvider
from mailroom.ports.outbox import Outbox
from mailroom.ports.parser import Parser
from mailroom.ports.people import People, Sessions, SignInLinks
from mailroom.ports.previewer import Previewer
from mailroom.ports.quotas import Quotas
from mailroom.ports.runs import RunStarter
from mailroom.ports.scheduler import Scheduler
from mailroom.ports.sender_identities import SenderIdentities
from mailroom.ports.senders import Senders
from mailroom.ports.suppressions import Suppressions
from mailroom.ports.terms import Terms
from mailroom.ports.trail import Trail
from mailroom.ports.unsubscribing import Unsubscribing
from mailroom.settings import Settings


def _now() -> datetime:
    return datetime.now(UTC)


class LedgerReader(Protocol):
    """The part of the port `Ledger` that the API needs."""

    def find(self, any_id: str) -> Entry | None: ...

    def trace(self, email_id: str) -> dict[str, Any]: ...


class Subscriptions(Protocol):
    """Confirms a topic's subscription."""

    def confirm(self, topic_arn: str, token: str) -> None: ...


class Deduplicator(Protocol):
    """Remembers which messages were accepted."""

    def do(self, source: str, message_id: str, action: Callable[[], None], *, now: datetime) -> bool:
        """Do `action` unless the message was accepted before; return whether it was done. If it raises, none is accepted."""


class QueueWriter(Protocol):
    """The sending side of a queue."""

    def post(self, bodies: Sequence[str]) -> None: ...


@dataclass(frozen=True, slots=True)
class InboundHook:
    """The ports for SNS notifications of received e-mail."""

    verifier: Verifier
    subscriptions: Subscriptions
    once: Deduplicator
    queue: QueueWriter


@dataclass(frozen=True, slots=True)
class OutboundServices:
    """The ports of the routes of outbound mail. `uploads` None: files are not taken from S3.

    `served` None: the provider is not asked about senders. `identities` returns the provider's, None if it has none.

    `submitted` is set when the outbox has new entries; the relay clears it.
    """

    outbox: Outbox
    message_reader: MessageReader
    suppressions: Suppressions
    quotas: Quotas
    breakers: Breakers
    senders: Senders
    terms: Terms
    uploads: Uploads | None = None
    served: ServedSenders | None = None
    identities: Callable[[], SenderIdentities | None] = lambda: None
    submitted: Event = field(default_factory=Event)
    unsubscribing: Unsubscribing | None = None


@dataclass(frozen=True, slots=True)
class PeopleServices:
    """The ports by which people sign in. `attempts` limits those of each client."""

    people: People
    sessions: Sessions
    links: SignInLinks
    attempts: Attempts = field(default_factory=Attempts)


@dataclass(frozen=True, slots=True)
class OpenIdServices:
    """The provider by which people sign in. `attempts` limits those of each client; an office may share one address."""

    provider: OpenIdProvider
    attempts: Attempts = field(default_factory=lambda: Attempts(200))


@dataclass(frozen=True, slots=True)
class Services:
    """The ports of the HTTP service; `sending` None is an installation that only receives.

    `events` records delivery events, `event_recorder` those that may be lost, `hook_receiver` verifies providers' calls,
    `key_uses` when keys were used; `trail` gets who saw and did what, `journal` which archived documents that were; `replayer` replays received mail, `status` looks at the whole installation;
    `watch` counts for the metrics, `endpoints` are tenants' webhooks. Batches are prepared in `slots`, small ones in `small_slots`; sent mail is
    rendered again, to be shown, in `view_slots`. `opener` opens attachments, in `open_slots`; `previewer` draws them, in `preview_slots`.
    """

    settings: Settings
    reader: InboxReader
    marks: ItemMarks
    archive: Archive
    runs: RunStarter
    ledger: LedgerReader
    keys: ApiKeys
    opener: Parser
    previewer: Previewer
    addresses: Addresses | None = None
    key_uses: KeyUses | None = None
    people: PeopleServices | None = None
    openid: OpenIdServices | None = None
    trail: Trail | None = None
    journal: Journal | None = None
    sending: OutboundServices | None = None
    events: Events | None = None
    event_recorder: EventRecorder | None = None
    hook_receiver: HookReceiver | None = None
    watch: Monitoring | None = None
    endpoints: Endpoints | None = None
    now: Callable[[], datetime] = _now
    inbound_hook: InboundHook | None = None
    scheduler: Scheduler | None = None
    replayer: Replayer | None = None
    status: StatusReader | None = None
    slots: Slots = field(default_factory=Slots)
    small_slots: Slots = field(default_factory=Slots)
    view_slots: Slots = field(default_factory=Slots)
    open_slots: Slots = field(default_factory=Slots)
    preview_slots: Slots = field(default_factory=Slots)


def services_of(request: Request) -> Services:
    """Return the services of the application."""
    return cast(Services, request.app.state.services)


AppServices = Annotated[Services, Depends(services_of)]


def sending_of(services: AppServices) -> OutboundServices:
    """Return the ports of outbound mail. Routes depend on it after the holder, so a client without a key learns nothing.

    Raises:
        HTTPException: 404, this installation only receives.
    """
    if services.sending is None:
        raise HTTPException(404, "Sending is not enabled on this installation.")
    return services.sending


AppOutbound = Annotated[OutboundServices, Depends(sending_of)]
