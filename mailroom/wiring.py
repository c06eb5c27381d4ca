"""Builds the adapters behind the ports, and the database engine of a process. No other module builds either; `adapters.postgres.stores`
lists those of SQL.

Blocks, commands, the HTTP service and the worker call it with settings, a URL, or boto3 clients with their credentials.
`tests/unit/test_architecture.py` checks that nothing else builds an adapter or an engine.

A process has one engine for each database URL, for as long as anything uses it, within the process's connection budget. A
worker has a second one for its listeners, so that work waiting for the database never delays their heartbeats: a late
heartbeat would give its mail to another worker. PostgreSQL allows 100 connections by default and reserves three for its
superuser; Prefect's own database needs some more:

    worker, its flow runs  20 kept open, none more            `WORKER`; its threads wait for one, at most 30 s
    worker, its listeners   6 kept open,  4 more              `LISTENERS`
    its isolated child      2 kept open,  3 more              `CHILD`, one at a time for each worker
    HTTP service           10 kept open, 10 more              `SERVICE`
    a command               2 kept open,  2 more              `COMMAND`
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import cache, cached_property, partial
from typing import Any

from sqlalchemy import Engine

from mailroom.adapters.aws.archive_buckets import refuse_unfit_archive
from mailroom.adapters.aws.archive_s3 import S3Archive
from mailroom.adapters.aws.clients import client, client_as, emulator_of
from mailroom.adapters.aws.counter_s3 import S3Counter
from mailroom.adapters.aws.dead_letters import DeadLetters
from mailroom.adapters.aws.kms import KmsKeys
from mailroom.adapters.aws.manifests_s3 import S3Manifests
from mailroom.adapters.aws.regions import refuse_named_outside, refuse_outside
from mailroom.adapters.aws.replies_ses import SesReplies
from mailroom.adapters.aws.s3 import S3MailStore, check_readable
from mailroom.adapters.aws.sns import SnsCertificates, SnsTopics
from mailroom.adapters.aws.sqs import SqsQueue
from mailroom.adapters.aws.uploads_s3 import S3Uploads
from mailroom.adapters.clamav import ClamdScanner
from mailroom.adapters.dns import SystemDns
from mailroom.adapters.http import HttpWebhooks
from mailroom.adapters.openid import openid_provider as openid_provider
from mailroom.adapters.parser.process import ParserProcess
from mailroom.adapters.postgres.engines import CHILD as CHILD
from mailroom.adapters.postgres.engines import COMMAND as COMMAND
from mailroom.adapters.postgres.engines import LISTENERS as LISTENERS
from mailroom.adapters.postgres.engines import SERVICE as SERVICE
from mailroom.adapters.postgres.engines import WORKER as WORKER
from mailroom.adapters.postgres.engines import Budget as Budget
from mailroom.adapters.postgres.engines import engine_of as engine_of
from mailroom.adapters.postgres.engines import keep_to as keep_to
from mailroom.adapters.postgres.operations.restores import SqlRestores
from mailroom.adapters.postgres.outbound.rate_permits import SqlRate
from mailroom.adapters.postgres.schema_upgrade import refuse_start
from mailroom.adapters.postgres.stores import Store as Store
from mailroom.adapters.prefect.http import PrefectRuns, http_client, password, refuse_if_open
from mailroom.adapters.prefect.provider_blocks import ProviderBlocks
from mailroom.adapters.prefect.rate import PrefectLimit
from mailroom.adapters.prefect.schedules import PrefectScheduler
from mailroom.adapters.previewer import PreviewProcess
from mailroom.adapters.providers.failover import FailOver
from mailroom.adapters.providers.sender_lookup import SenderLookup
from mailroom.adapters.providers.smtp import Smtp, Tls
from mailroom.adapters.sealing import sealing as sealing
from mailroom.archive.access import CheckedArchive, JournalledArchive, Reader
from mailroom.domain.archive.retention import RetentionClass, refuse_other_days
from mailroom.domain.delivery.webhook_targets import WebhookTargets
from mailroom.domain.errors import TransientError
from mailroom.domain.inbound.envelope_encryption import ses_context
from mailroom.operations.starts import configuration_digest, journal_start
from mailroom.operations.status_rows import version
from mailroom.outbound.dispatching import SENDER_THREADS, Outbound
from mailroom.outbound.publishing_terms import publishing_ceiling, publishing_terms
from mailroom.outbound.retry_schedule import RecipientSchedule
from mailroom.outbound.return_paths import WithReturnPaths
from mailroom.outbound.served_senders import ServedSenders
from mailroom.outbound.sign_in_mail import WithSignInLinks
from mailroom.ports.inbound import Inbound
from mailroom.ports.provider import MailProvider, ProviderQuota
from mailroom.settings import Settings, load_settings


@cache
def parser() -> ParserProcess:
    """Return the parser of this process, a single one, so that its child processes stay warm when a block is opened again."""
    return ParserProcess()


@cache
def opener() -> ParserProcess:
    """Return what opens attachments in this process, for downloads of what is inside: bounded and isolated as the parser."""
    return ParserProcess(function="mailroom.domain.parsing:parse_member")


class Installation:
    """The adapters of the installation that `settings` describe; each is built when it is first used."""

    def __init__(self, settings: Settings | None = None, *, budget: Budget | None = None) -> None:
        self._settings, self._budget = settings, budget

    @cached_property
    def settings(self) -> Settings:
        """The settings of the installation."""
        return self._settings or load_settings()

    @cached_property
    def engine(self) -> Engine:
        """Mailroom's database."""
        return engine_of(self.settings.database_url.get_secret_value(), self._budget)

    @cached_property
    def store(self) -> Store:
        """The SQL adapters of the database."""
        return Store(self.engine)

    @cached_property
    def archive(self) -> JournalledArchive:
        """The archive (SAE); what no request reads, an operator's command reads."""
        return archive(self.archive_s3, self.store, Reader("operator", "command"), **self._locked)

    @cached_property
    def stored_archive(self) -> S3Archive:
        """The archive whose reads are not journalled, and its copies of deposits, to repair, extend and hold them."""
        return stored_archive(self.archive_s3, self.store, **self._locked)

    @cached_property
    def manifests(self) -> S3Manifests:
        """The manifests in the archive."""
        return manifests(self.archive_s3, self.store, **self._locked)

    @cached_property
    def restores(self) -> SqlRestores:
        """The detector of database restores."""
        return self.store.restores(counter(self.archive_s3, bucket=self.settings.archive_bucket))

    def journal_start(self, part: str) -> None:
        """Journal that a part of the installation starts, as soon as the database answers."""
        digest = configuration_digest(self.settings)
        journal_start(self.store.journal, part, version=version(), configuration=digest)

    @cached_property
    def uploads(self) -> S3Uploads | None:
        """The bucket from which callers attach files, if configured."""
        bucket = self.settings.files_bucket
        if not bucket:
            return None
        s3 = client("s3", region=self.settings.region_of_buckets, owner=self.settings.owner_of_buckets)
        return S3Uploads(s3, bucket=bucket)

    @cached_property
    def runs(self) -> PrefectRuns:
        """The orchestrator."""
        return PrefectRuns(api_url=self.settings.prefect_api_url, ui_url=self.settings.prefect_url)

    @cached_property
    def scheduler(self) -> PrefectScheduler:
        """The orchestrator's scheduler."""
        return scheduler(self.settings.prefect_api_url)

    @cached_property
    def webhooks(self) -> HttpWebhooks:
        """The HTTP client of tenants' webhooks."""
        return HttpWebhooks(self.settings.webhook_targets)

    def queue(self, url: str) -> SqsQueue:
        """Return one of the installation's queues."""
        return SqsQueue(self._sqs(url), url=url)

    def dead_letters(self, url: str) -> DeadLetters:
        """Return the dead-letter queue of one of its queues."""
        return dead_letters(self._sqs(url), url=url)

    def topics(self, region: str) -> tuple[SnsTopics, SnsCertificates]:
        """Return the SNS client of a region, and the source of its certificates."""
        sns = client("sns", region=region)
        return SnsTopics(sns), SnsCertificates(emulator=emulator_of(sns))

    def refuse_open_orchestrator(self) -> None:
        """Raise `ConfigurationError` if other machines may use the Prefect server without a password."""
        refuse_if_open(self.settings.prefect_api_url, password=password())

    def refuse_unfit_schema(self) -> None:
        """Raise `ConfigurationError` if this code may not start on the database's schema."""
        refuse_start(self.settings.database_url.get_secret_value())

    def refuse_outside(self, *, asking: bool = True) -> None:
        """Raise `ConfigurationError` if data is in a region that is not allowed, by names and, if `asking`, by asking AWS."""
        refuse_outside(self.settings, whole=False) if asking else refuse_named_outside(self.settings)

    def refuse_unfit_archive(self) -> None:
        """Raise `ConfigurationError` if a bucket of the archive cannot hold locked versions, or a setting contradicts its rule."""
        refuse_unfit_archive(self.settings)
        # Without a database there is no deposit either; the process starts and waits for it.
        with suppress(TransientError):
            document = self.store.retention_rules.of(RetentionClass.DOCUMENT)
            refuse_other_days(self.settings.archive_retention_days, document)

    @cached_property
    def sender_lookup(self) -> SenderLookup:
        """The provider of outbound mail and its identities."""
        blocks = ProviderBlocks(api_url=self.settings.prefect_api_url)
        return SenderLookup(blocks, account_id=self.settings.account_id, region=self.settings.region)

    def previewer(self) -> PreviewProcess:
        """Return what draws previews of files."""
        return PreviewProcess()

    def dns(self) -> SystemDns:
        """Return the resolvers of this machine."""
        return SystemDns()

    @cached_property
    def served_senders(self) -> ServedSenders:
        """The check of senders against the provider's identities."""
        return ServedSenders(self.sender_lookup.served)

    @cached_property
    def archive_s3(self) -> Any:
        """The client of the archive's bucket."""
        return client("s3", region=self.settings.region_of_archive, owner=self.settings.owner_of_archive)

    @cached_property
    def second(self) -> tuple[Any, str] | None:
        """The bucket of second copies and its client, if configured."""
        one = self.settings
        if not one.archive_copy_bucket:
            return None
        s3 = client_as(one.archive_copy_profile, "s3", region=one.region_of_copies, owner=one.owner_of_copies)
        return s3, one.archive_copy_bucket

    @property
    def _locked(self) -> dict[str, Any]:
        one = self.settings
        return {"bucket": one.archive_bucket, "lock_mode": one.archive_lock_mode, "second": self.second}

    def _sqs(self, url: str) -> Any:
        return client("sqs", region=self.settings.region_of_queue(url))


def archive(s3: Any, store: Store, reader: Reader, **places: Any) -> JournalledArchive:
    """Return the archive of these places; see `stored_archive`. Reads without a request are journalled as `reader`'s."""
    return JournalledArchive(stored_archive(s3, store, **places), store.journal, reader)


def stored_archive(
    s3: Any, store: Store, *, bucket: str, lock_mode: str, second: tuple[Any, str] | None = None
) -> S3Archive:
    """Return the archive in this bucket; `second` is the bucket of second copies and its client, if there is one."""
    rules = store.retention_rules
    return S3Archive(s3, store.engine, bucket=bucket, lock_mode=lock_mode, rules=rules, second=second)


def manifests(
    s3: Any, store: Store, *, bucket: str, lock_mode: str, second: tuple[Any, str] | None = None
) -> S3Manifests:
    """Return the store of manifests in this bucket."""
    return S3Manifests(s3, bucket=bucket, lock_mode=lock_mode, rules=store.retention_rules, second=second)


def counter(s3: Any, *, bucket: str) -> S3Counter:
    """Return the installation's counter, an object in the archive bucket that is not locked."""
    return S3Counter(s3, bucket=bucket)


def smtp_relay(host: str, port: int) -> Smtp:
    """Return the provider for an SMTP server without TLS on this machine."""
    return Smtp(host=host, port=port, tls=Tls.OFF)


def scheduler(api_url: str) -> PrefectScheduler:
    """Return the scheduler of this Prefect server."""
    return PrefectScheduler(api_url)


def dead_letters(sqs: Any, *, url: str) -> DeadLetters:
    """Return the dead-letter queue of a queue."""
    return DeadLetters(sqs, url=url)


@dataclass(frozen=True, slots=True, kw_only=True)
class InboundClients:
    """boto3 clients of inbound mail, each with its credentials and region; `sesv2` must not retry by itself."""

    s3: Any
    kms: Any
    sqs: Any
    sesv2: Any


def inbound(
    clients: InboundClients,
    engine: Engine,
    *,
    archive: CheckedArchive,
    kms_key_arn: str,
    account_id: str,
    queue_url: str,
    scanner: str,
    webhook_targets: WebhookTargets,
    probe: tuple[str, str],
    check_database: Callable[[], None],
    sender_hourly_limit: int = 0,
    **rest: Any,
) -> Inbound:
    """Return the ports of inbound mail; `probe` is the bucket and key of the read probe, `rest` the fields that are no ports."""
    keys = KmsKeys(clients.kms, key_arn=kms_key_arn)
    # Key policies may require a context like SES's.
    like_ses = ses_context(message_id="probe", rule="probe", account_id=account_id, key_id=kms_key_arn)
    store = Store(engine)
    return Inbound(
        mails=S3MailStore(clients.s3),
        keys=keys,
        archive=archive,
        ledger=store.ledger,
        directory=store.directory,
        inbox=store.inbox,
        parser=parser(),
        queue=SqsQueue(clients.sqs, url=queue_url),
        scanner=ClamdScanner(scanner) if scanner else None,
        answers=SesReplies(clients.sesv2),
        webhooks=HttpWebhooks(webhook_targets),
        tenants=store.tenants,
        processings=store.processings,
        sender_limit=store.sender_limit(sender_hourly_limit) if sender_hourly_limit else None,
        return_paths=store.return_paths,
        events=store.events,
        account_id=account_id,
        kms_key_arn=kms_key_arn,
        checks={
            "database": check_database,
            "mails": partial(check_readable, clients.s3, *probe),
            "keys": partial(keys.check, like_ses),
            "archive": archive.check,
        },
        **rest,
    )


def outbound(
    engine: Engine,
    providers: Sequence[MailProvider],
    *,
    per_second: float,
    recipient_retry_hours: int,
    prefect_api_url: str,
    outside: S3Counter,
    check_database: Callable[[], None],
    bounce_domain: str = "",
    **rest: Any,
) -> Outbound:
    """Return the ports of outbound mail; the second of `providers`, if any, takes over when the first cannot send.

    With `bounce_domain` mails have return paths there, if a provider uses them.
    """
    store, first = Store(engine), providers[0]
    by_mail = any(provider.capabilities.return_path for provider in providers)

    def rate(provider: MailProvider, quota: Callable[[], ProviderQuota]) -> SqlRate:
        http, report = http_client(prefect_api_url), publishing_ceiling(provider, store.terms)
        limit = PrefectLimit(http, provider.identity, quota=quota, otherwise=per_second, publish=report)
        return SqlRate(engine, provider.identity, pace=limit.pace)

    # Only the first provider's terms are published: the HTTP service estimates the end of a batch by them.
    of_first = rate(first, publishing_terms(first, store.terms, otherwise=per_second))
    for second in providers[1:]:
        first = FailOver(first, second, rate=rate(second, second.quota))
    return Outbound(
        dispatch=store.guarded_dispatch(store.restores(outside)),
        breakers=store.breakers,
        pauses=store.pauses,
        provider=first,
        rate=of_first,
        sender_threads=ThreadPoolExecutor(SENDER_THREADS, thread_name_prefix="provider"),
        names=frozenset(provider.name for provider in providers),
        return_paths=WithReturnPaths(bounce_domain, store.return_paths) if bounce_domain and by_mail else None,
        sign_in=WithSignInLinks(store.links),
        checks={"database": check_database},
        schedule=RecipientSchedule(give_up_after=timedelta(hours=recipient_retry_hours)),
        **rest,
    )
