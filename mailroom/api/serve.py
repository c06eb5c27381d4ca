"""The process: `python -m mailroom.api.serve --port N`. The one module here that knows adapters."""

import argparse
import ipaddress
import logging
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

import uvicorn

from mailroom.adapters.aws.archive_s3 import S3Archive
from mailroom.adapters.aws.clients import client, emulator_of
from mailroom.adapters.aws.counter_s3 import S3Counter
from mailroom.adapters.aws.regions import refuse_named_outside, refuse_outside
from mailroom.adapters.aws.shelf_s3 import S3Shelf
from mailroom.adapters.aws.sns import SnsCertificates, SnsTopics
from mailroom.adapters.aws.sqs import SqsQueue
from mailroom.adapters.http import HttpWebhooks
from mailroom.adapters.postgres.delivery.breakers import SqlBreakers
from mailroom.adapters.postgres.delivery.endpoints import SqlEndpoints
from mailroom.adapters.postgres.delivery.events import SqlEvents
from mailroom.adapters.postgres.delivery.hooks import SqlHooks, SqlOnce
from mailroom.adapters.postgres.delivery.suppressions import SqlSuppressions
from mailroom.adapters.postgres.engine import make_engine
from mailroom.adapters.postgres.inbound.ledger import SqlLedger
from mailroom.adapters.postgres.inbox.reading import SqlApiKeys, SqlReader
from mailroom.adapters.postgres.migrating import refuse_start
from mailroom.adapters.postgres.operations.restores import SqlRestores
from mailroom.adapters.postgres.operations.watching import SqlWatch
from mailroom.adapters.postgres.outbound.following import SqlFollower
from mailroom.adapters.postgres.outbound.outbox import SqlOutbox
from mailroom.adapters.postgres.outbound.quotas import SqlQuotas
from mailroom.adapters.postgres.outbound.terms import SqlTerms
from mailroom.adapters.postgres.tenants.senders import SqlSenders
from mailroom.adapters.prefect.http import PrefectRuns, password, refuse_if_open
from mailroom.adapters.prefect.schedules import PrefectScheduler
from mailroom.api.app import Services, create_app
from mailroom.api.hooks.hearing import Hearing
from mailroom.api.hooks.noting import Notes
from mailroom.api.services import InboundHook, Outbound
from mailroom.delivery.notifying import keep_notifying
from mailroom.delivery.webhooks import postmark, sendgrid, sns
from mailroom.delivery.webhooks.credentials import credentials
from mailroom.domain.errors import ConfigurationError
from mailroom.outbound.relaying import keep_relaying
from mailroom.ports.hooks import Hooks
from mailroom.settings import Settings, load_settings, use_stack_environment

#: How many tenants' endpoints are told at once; one that does not answer takes 15 s of one of these.
_NOTIFYING = 4


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until told to stop; 2 when the settings do not allow it."""
    asked = _arguments(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        use_stack_environment()
        settings = load_settings()
        refuse_if_unsafe(settings, host=asked.host)
        refuse_start(settings.database_url.get_secret_value())
        refuse_named_outside(settings)
    except ConfigurationError as error:
        print(f"mailroom api: {error}", file=sys.stderr)
        return 2
    restores_of(settings).start()
    services, stop = services_from(settings), threading.Event()
    if services.sending is not None:
        mailbox = _queue(settings, settings.mailbox_queue_url)
        relay, told = (services.sending.outbox, mailbox, stop), {"handed": services.sending.handed}
        threading.Thread(target=keep_relaying, args=relay, kwargs=told, name="relay", daemon=True).start()
    if services.endpoints is not None:
        webhooks = HttpWebhooks(private=settings.private_webhooks)
        for number in range(_NOTIFYING):
            telling = (services.endpoints, webhooks, stop)
            threading.Thread(target=keep_notifying, args=telling, name=f"notifying-{number}", daemon=True).start()
    # No access log: its lines are URLs, and these hold addresses. Proxy headers are anybody's word.
    config = uvicorn.Config(
        create_app(services),
        host=asked.host,
        port=asked.port,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        log_config=None,
        timeout_graceful_shutdown=10,
    )
    server, outside = uvicorn.Server(config), threading.Event()
    threading.Thread(target=_end_if_outside, args=[settings, server, outside], name="regions", daemon=True).start()
    with suppress(KeyboardInterrupt):
        server.run()
    stop.set()
    if outside.is_set():
        return 2
    return 0 if server.started else 3


def _end_if_outside(settings: Settings, server: uvicorn.Server, outside: threading.Event) -> None:
    """End the service if AWS says that a bucket is outside; beside the service, which an outage of S3 must not stop."""
    try:
        refuse_outside(settings, whole=False)
    except ConfigurationError as error:
        print(f"mailroom api: {error}", file=sys.stderr, flush=True)
        outside.set()
        server.should_exit = True


def refuse_if_unsafe(settings: Settings, *, host: str) -> None:
    """Return if these settings may be served on `host`.

    Raises:
        ConfigurationError: pages without a key would be open to more than this machine, or Prefect is open to others.
    """
    refuse_if_open(settings.prefect_api_url, password=password())
    if settings.pages_open and not _is_loopback(host):
        raise ConfigurationError("MAILROOM_PAGES_OPEN is for loopback only; unset it or serve on 127.0.0.1")


def services_from(settings: Settings) -> Services:
    """Return the services of this installation."""
    engine = make_engine(settings.database_url.get_secret_value())
    s3, archive_s3 = (client("s3", region=at) for at in (settings.region_of_buckets, settings.region_of_archive))
    return Services(
        settings=settings,
        reader=SqlReader(engine),
        archive=S3Archive(
            archive_s3,
            engine,
            bucket=settings.archive_bucket,
            lock_mode=settings.archive_lock_mode,
            retention=timedelta(days=settings.archive_retention_days),
        ),
        runs=PrefectRuns(api_url=settings.prefect_api_url, ui_url=settings.prefect_url),
        ledger=SqlLedger(engine),
        keys=SqlApiKeys(engine),
        sending=Outbound(
            outbox=SqlOutbox(engine, restores_of(settings, engine)),
            follower=SqlFollower(engine),
            suppressions=SqlSuppressions(engine),
            quotas=SqlQuotas(engine),
            breakers=SqlBreakers(engine),
            senders=SqlSenders(engine),
            terms=SqlTerms(engine),
            shelf=S3Shelf(s3, bucket=settings.files_bucket) if settings.files_bucket else None,
        ),
        events=SqlEvents(engine),
        notes=Notes(SqlEvents(engine)),
        hearing=hearing_from(settings, SqlHooks(engine)),
        watch=SqlWatch(engine),
        endpoints=SqlEndpoints(engine),
        inbound_hook=_inbound_hook(settings, SqlOnce(engine)) if settings.inbound_hook else None,
        scheduler=PrefectScheduler(settings.prefect_api_url),
    )


def _queue(settings: Settings, url: str) -> SqsQueue:
    return SqsQueue(client("sqs", region=settings.region_of_queue(url)), url=url)


def restores_of(settings: Settings, engine: Any = None) -> SqlRestores:
    """Return what recognises that the database was restored."""
    s3 = client("s3", region=settings.region_of_archive)
    engine = engine or make_engine(settings.database_url.get_secret_value(), pool_size=1)
    return SqlRestores(engine, S3Counter(s3, bucket=settings.archive_bucket))


def _inbound_hook(settings: Settings, once: SqlOnce) -> InboundHook:
    aws_sns = client("sns", region=settings.region_named(settings.inbound_topic_arn))
    certificates = SnsCertificates(emulator=emulator_of(aws_sns))
    return InboundHook(
        verifier=sns.Verifier(certificates, topics=frozenset({settings.inbound_topic_arn})),
        subscriptions=SnsTopics(aws_sns),
        once=once,
        queue=_queue(settings, settings.inbound_queue_url),
    )


def hearing_from(settings: Settings, hooks: Hooks) -> Hearing:
    """Return what providers' calls are checked against, and where they are kept."""
    aws_sns = client("sns", region=settings.region)
    topics = credentials(settings.ses_hook_topics)
    return Hearing(
        hooks=hooks,
        topics=SnsTopics(aws_sns),
        ses=sns.Verifier(
            SnsCertificates(emulator=emulator_of(aws_sns)), topics=frozenset(one.secret for one in topics)
        ),
        sendgrid=sendgrid.Verifier(credentials(settings.sendgrid_hook_keys)),
        postmark=postmark.Verifier(credentials(settings.postmark_hook_users.get_secret_value())),
        ses_tenants={one.secret: one.tenant for one in topics},
    )


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="mailroom api", description="Serve the inbox pages and the HTTP API.")
    parser.add_argument("--port", type=int, default=8025)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; loopback unless told otherwise")
    return parser.parse_args(arguments)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


if __name__ == "__main__":
    sys.exit(main())
