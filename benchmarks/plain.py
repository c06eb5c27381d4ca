"""The same steps for the same mails without Prefect: the difference is the cost of orchestration."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial

from mailroom.adapters.aws import clients as aws
from mailroom.adapters.aws.archive_s3 import S3Archive
from mailroom.adapters.aws.kms import KmsKeys
from mailroom.adapters.aws.manifests_s3 import S3Manifests
from mailroom.adapters.aws.s3 import S3MailStore
from mailroom.adapters.aws.sqs import SqsQueue
from mailroom.adapters.parser.process import ParserProcess
from mailroom.adapters.postgres.archive.rules import SqlRetentionRules
from mailroom.adapters.postgres.engine import make_engine
from mailroom.adapters.postgres.inbound.ledger import SqlLedger
from mailroom.adapters.postgres.inbox.filing import SqlInbox
from mailroom.adapters.postgres.tenants.directory import SqlDirectory
from mailroom.archive.depositing import deposit_all
from mailroom.archive.mail_manifests import describe
from mailroom.domain.inbound.envelope_encryption import Binding, unseal
from mailroom.domain.inbound.received_email import Arrival, State
from mailroom.inbound.filing import items_for
from mailroom.inbound.routing import decide_routing
from mailroom.ports.inbound import Inbound
from mailroom.settings import Settings

_LIMIT = 8


def open_ports(settings: Settings) -> Inbound:
    """Return the ports, opened as by the blocks."""
    engine = make_engine(settings.database_url.get_secret_value(), pool_size=20)
    archive_s3 = aws.client("s3", owner=settings.owner_of_archive)
    return Inbound(
        mails=S3MailStore(aws.client("s3", owner=settings.owner_of_buckets)),
        keys=KmsKeys(aws.client("kms"), key_arn=settings.kms_key_arn),
        archive=S3Archive(
            archive_s3,
            engine,
            bucket=settings.archive_bucket,
            lock_mode="GOVERNANCE",
            rules=SqlRetentionRules(engine),
        ),
        manifests=S3Manifests(
            archive_s3, bucket=settings.archive_bucket, lock_mode="GOVERNANCE", rules=SqlRetentionRules(engine)
        ),
        ledger=SqlLedger(engine),
        directory=SqlDirectory(engine),
        inbox=SqlInbox(engine),
        parser=ParserProcess(),
        queue=SqsQueue(aws.client("sqs"), url=settings.inbound_queue_url),
        bucket=settings.inbound_bucket,
        prefixes=settings.mail_prefixes,
        account_id=settings.account_id,
        rules=None,
    )


def measure(arrivals: Sequence[Arrival], inbound: Inbound) -> float:
    """Return e-mails per second with as many threads as the worker has slots."""
    start = time.perf_counter()
    with ThreadPoolExecutor(_LIMIT) as pool:
        for _ in pool.map(lambda arrival: _file_email(arrival, inbound), arrivals):
            pass
    return len(arrivals) / (time.perf_counter() - start)


def _file_email(arrival: Arrival, inbound: Inbound) -> None:
    inbound.ledger.register(arrival, now=_now())
    entry = inbound.ledger.begin(arrival.ref, now=_now())
    sealed = inbound.mails.fetch(arrival.ref)
    binding = Binding(inbound.account_id, arrival.ref.message_id, inbound.rules)
    raw = unseal(sealed.body, sealed.metadata, keys=inbound.keys, binding=binding)
    routing = decide_routing(entry, raw, directory=inbound.directory, ledger=inbound.ledger, now=_now())
    deposit = partial(deposit_all, archive=inbound.archive, ledger=inbound.ledger)
    described = describe(entry, routing, raw)
    kept = deposit(entry, routing.tenants, [raw], now=_now(), described=described, manifests=inbound.manifests)
    mail = inbound.parser.parse(raw)
    kept |= deposit(entry, routing.tenants, [part.content for part in mail.attachments], now=_now())
    inbound.inbox.file(entry.id, items_for(mail, raw, routing, kept), now=_now())
    inbound.ledger.close(entry.id, State.FILED, now=_now())


def _now() -> datetime:
    return datetime.now(UTC)
