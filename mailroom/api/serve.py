"""The process of the HTTP service: `python -m mailroom.api.serve --port N`. `mailroom.wiring` builds the adapters."""

import argparse
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from socket import socket

import uvicorn
from starlette.types import ASGIApp

from mailroom import wiring
from mailroom.api.app import Services, create_app
from mailroom.api.connections import Connection
from mailroom.api.faces import ByPort
from mailroom.api.hooks.event_recorder import EventRecorder
from mailroom.api.hooks.hook_receiver import HookReceiver
from mailroom.api.key_uses import KeyUses
from mailroom.api.listening import ListenAddress, bind, listen, listen_addresses, refuse_plain_http
from mailroom.api.services import InboundHook, OpenIdServices, OutboundServices, PeopleServices
from mailroom.delivery.provider_events import sns
from mailroom.delivery.provider_events.credentials import credentials
from mailroom.delivery.provider_events.registered import verifiers
from mailroom.delivery.tenant_webhooks import run_notifier
from mailroom.domain.errors import ConfigurationError
from mailroom.inbound.replaying import Replayer, run_replays
from mailroom.operations.logs import log_to_stderr, say_why_not
from mailroom.operations.status import StatusReader
from mailroom.operations.status_rows import sources
from mailroom.outbound.outbox_relay import run_relay
from mailroom.ports.hooks import Hooks
from mailroom.settings import Settings, load_settings, use_stack_environment
from mailroom.wiring import Installation

#: Threads that post to tenants' webhooks; an endpoint that does not answer occupies one of them for 15 s.
_NOTIFYING = 4


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal; return 2 if the settings do not allow it."""
    options = _arguments(arguments)
    log_to_stderr()
    try:
        use_stack_environment()
        settings = load_settings()
        installation = Installation(settings)
        installation.refuse_open_orchestrator()
        everywhere = _listen_addresses_of(options, settings)
        installation.refuse_unfit_schema()
        installation.refuse_outside(asking=False)
        wiring.keep_to(wiring.SERVICE)
        services = services_for(installation)
        return _serve(installation, services, [(listen_on, bind(listen_on)) for listen_on in everywhere])
    except ConfigurationError as error:
        say_why_not("mailroom api", error)
        return 2


def _serve(
    installation: Installation, services: Services, bound: Sequence[tuple[ListenAddress, Sequence[socket]]]
) -> int:
    """Serve on these sockets until a signal ends it, and return the exit code.

    Raises:
        ConfigurationError: another program has just taken the port.
    """
    settings, stop = installation.settings, threading.Event()
    installation.restores.start()
    if services.sending is not None:
        mailbox = installation.queue(settings.mailbox_queue_url)
        relay, values = (services.sending.outbox, mailbox, stop), {"handed": services.sending.submitted}
        threading.Thread(target=run_relay, args=relay, kwargs=values, name="relay", daemon=True).start()
    if services.replayer is not None:
        threading.Thread(target=run_replays, args=(services.replayer, stop), name="replays", daemon=True).start()
    if services.endpoints is not None:
        for number in range(_NOTIFYING):
            reporting = (services.endpoints, installation.webhooks, stop)
            threading.Thread(target=run_notifier, args=reporting, name=f"notifying-{number}", daemon=True).start()
    # No access log: its lines are URLs, which contain addresses. Proxy headers can be forged by any client.
    config = uvicorn.Config(
        _application(services, bound),
        access_log=False,
        proxy_headers=False,
        server_header=False,
        log_config=None,
        timeout_graceful_shutdown=10,
        http=Connection,
        ws="none",
    )
    server, outside = uvicorn.Server(config), threading.Event()
    threading.Thread(target=_end_if_outside, args=[installation, server, outside], name="regions", daemon=True).start()
    for listen_on, sockets in bound:
        listen(listen_on, sockets)
    with suppress(KeyboardInterrupt):
        server.run(sockets=[one for _, sockets in bound for one in sockets])
    stop.set()
    if outside.is_set():
        return 2
    return 0 if server.started else 3


def _listen_addresses_of(options: argparse.Namespace, settings: Settings) -> list[ListenAddress]:
    public_port = settings.public_port if options.public_port is None else options.public_port
    addresses = listen_addresses(
        settings, host=options.host, port=options.port, public_host=options.public_host, public_port=public_port
    )
    behind = options.behind_tls_proxy or settings.behind_tls_proxy
    refuse_plain_http([listen_on.host for listen_on in addresses], behind_tls_proxy=behind)
    return addresses


def _application(services: Services, bound: Sequence[tuple[ListenAddress, Sequence[socket]]]) -> ASGIApp:
    if len(bound) == 1:
        return create_app(services, bound[0][0].face)
    faces = [(create_app(services, listen_on.face), sockets) for listen_on, sockets in bound]
    return ByPort({one.getsockname()[1]: app for app, sockets in faces for one in sockets})


def _end_if_outside(installation: Installation, server: uvicorn.Server, outside: threading.Event) -> None:
    """Stop the service if AWS reports a bucket outside the regions; in a thread, for an outage of S3 must not delay it."""
    try:
        installation.refuse_outside()
        installation.refuse_unfit_archive()
    except ConfigurationError as error:
        say_why_not("mailroom api", error)
        outside.set()
        server.should_exit = True


def services_from(settings: Settings) -> Services:
    """Return the services of the installation in `settings`."""
    return services_for(Installation(settings))


def services_for(installation: Installation) -> Services:
    """Return the services of this installation."""
    settings, store = installation.settings, installation.store
    return Services(
        settings=settings,
        reader=store.reader,
        marks=store.item_marks,
        archive=installation.archive,
        runs=installation.runs,
        ledger=store.ledger,
        keys=store.api_keys,
        addresses=store.directory,
        opener=wiring.opener(),
        previewer=installation.previewer(),
        key_uses=KeyUses(store.api_keys),
        openid=OpenIdServices(openid) if (openid := wiring.openid_provider(settings)) else None,
        people=PeopleServices(store.people, store.sessions, store.links),
        trail=store.trail,
        journal=store.journal,
        sending=OutboundServices(
            outbox=store.guarded_outbox(installation.restores),
            message_reader=store.message_reader,
            suppressions=store.suppressions,
            quotas=store.quotas,
            breakers=store.breakers,
            senders=store.senders,
            terms=store.terms,
            uploads=installation.uploads,
            unsubscribing=store.unsubscribing,
            served=installation.served_senders,
            identities=installation.sender_lookup.identities,
        ),
        events=store.events,
        event_recorder=EventRecorder(store.events),
        hook_receiver=hook_receiver_from(settings, store.hooks),
        watch=store.watch,
        endpoints=store.endpoints,
        inbound_hook=_inbound_hook(installation) if settings.inbound_hook else None,
        scheduler=installation.scheduler,
        status=_status_reader(installation),
        replayer=Replayer(store.replays, store.ledger, installation.runs, store.processings),
    )


def _status_reader(installation: Installation) -> StatusReader:
    settings = installation.settings
    urls = {
        "inbound": settings.inbound_queue_url,
        "mailbox": settings.mailbox_queue_url,
        "tracking": settings.tracking_queue_url,
    }

    def count(url: str) -> int:
        return len(installation.dead_letters(url))

    dead = {name: partial(count, url) for name, url in urls.items()}
    return StatusReader(sources(installation.store.facts, dead_letters=dead, scheduler=installation.scheduler))


def _inbound_hook(installation: Installation) -> InboundHook:
    settings = installation.settings
    arn = settings.inbound_topic_arn
    topics, certificates = installation.topics(settings.region_named(arn))
    return InboundHook(
        verifier=sns.Verifier(certificates, topics=frozenset({arn}), allow_sha1=settings.sns_old_signatures),
        subscriptions=topics,
        once=installation.store.once,
        queue=installation.queue(settings.inbound_queue_url),
    )


def hook_receiver_from(settings: Settings, hooks: Hooks) -> HookReceiver:
    """Return the verifiers of providers' calls, with the store of verified calls."""
    subscriptions, certificates = Installation(settings).topics(settings.region)
    topics = credentials(settings.ses_hook_topics)
    return HookReceiver(
        hooks=hooks,
        topics=subscriptions,
        ses=sns.Verifier(
            certificates,
            topics=frozenset(one.secret for one in topics),
            allow_sha1=settings.sns_old_signatures,
        ),
        verifiers=verifiers(settings.hook_credentials()),
        ses_tenants={one.secret: one.tenant for one in topics},
    )


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="mailroom api", description="Serve the inbox pages and the HTTP API.")
    parser.add_argument("--port", type=_port, default=8025)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; loopback by default")
    parser.add_argument("--public-port", type=_port, help="port for the public paths only; 0 for none")
    parser.add_argument("--public-host", default="", help="address of the public port; by default that of --host")
    parser.add_argument("--behind-tls-proxy", action="store_true", help="a TLS proxy is in front of every port")
    return parser.parse_args(arguments)


def _port(word: str) -> int:
    if not word.isdecimal() or int(word) > 65535:
        raise argparse.ArgumentTypeError(f"{word!r} is no port; ports are 1 to 65535")
    return int(word)


if __name__ == "__main__":
    sys.exit(main())
