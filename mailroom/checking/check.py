"""The whole check, in its order: messages, mails, archive, bytes, queue."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import psycopg
from psycopg import IsolationLevel

from mailroom.checking.aips import Manifests, Memory, check_bytes, clock_of, described
from mailroom.checking.batches import HandedOver, check_handed_over, check_stories
from mailroom.checking.deposits import check_archive, read_all, read_deposit
from mailroom.checking.mails import Patience, check_mails
from mailroom.checking.manifest import Sent, check_manifest
from mailroom.checking.messages import check_messages
from mailroom.checking.queues import check_queue
from mailroom.checking.reading import receipts, received_emails, stored_versions
from mailroom.checking.report import OUTBOUND, Report, difference

#: SES's clock and S3's differ by less; a line that is older than what it is compared with is still found.
_SLACK = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Places:
    """Where to look."""

    database_url: str
    inbound_bucket: str
    archive_bucket: str
    inbound_queue_url: str


def check(
    places: Places,
    *,
    s3: Any,
    sqs: Any,
    report: Report,
    patience: Patience,
    deep: bool,
    sent: Iterable[Sent] = (),
    handed_over: HandedOver | None = None,
) -> None:
    """Look at everything and note in `report` what is wrong."""
    memory = Memory(s3, places.archive_bucket, clock_of(s3, places.archive_bucket))
    with _snapshot(places) as connection:
        _conserve(connection, places, s3=s3, report=report, patience=patience, memory=memory)
        kept, manifests = receipts(connection, places.archive_bucket), Manifests(connection, memory, report)
        listed, rows = stored_versions(s3, places.archive_bucket), described(connection)
        sample = check_archive(listed, kept, report, patience, manifests=manifests, described=rows)
        check_bytes(s3, places.archive_bucket, manifests.finish(), report)
        wanted = receipts(connection, places.archive_bucket) if deep else sample
        read_all(wanted, lambda receipt: read_deposit(s3, places.archive_bucket, receipt, report), report)
        check_manifest(connection, sent, report)
        check_stories(connection, report)
        if handed_over is not None:
            check_handed_over(connection, handed_over, report)
    check_queue(sqs, places.inbound_queue_url, report)


def conserve(places: Places, *, s3: Any, archive_s3: Any, report: Report, patience: Patience) -> None:
    """Prove that all that came is somewhere: the part of `check` that is made again and again."""
    memory = Memory(archive_s3, places.archive_bucket, clock_of(archive_s3, places.archive_bucket))
    with _snapshot(places) as connection:
        _conserve(connection, places, s3=s3, report=report, patience=patience, memory=memory)


@contextmanager
def _snapshot(places: Places) -> Iterator[psycopg.Connection[Any]]:
    """Give SQL as it is now, before S3 is listed: what comes meanwhile is young, and counts as under way."""
    with psycopg.connect(places.database_url) as connection:
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        yield connection


def _conserve(
    connection: psycopg.Connection[Any],
    places: Places,
    *,
    s3: Any,
    report: Report,
    patience: Patience,
    memory: Memory,
) -> None:
    since = patience.since - _SLACK if patience.since else None
    check_messages(connection, report, patience)
    emails = received_emails(connection, places.inbound_bucket, since)
    objects = stored_versions(s3, places.inbound_bucket)
    check_mails(objects, emails, report, patience, lambda key: memory.has(places.inbound_bucket, key))
    if report.is_clean:
        _check_balances(report)


def _check_balances(report: Report) -> None:
    """Tell what does not add up where nothing that was looked for is wrong."""
    for account, balance in report.balances.items():
        if rest := difference(balance):
            kind = "message balance" if account.side == OUTBOUND else "balance"
            report.violate(kind, f"{account.tenant} {account.prefix}".strip(), f"{rest} are nowhere")
