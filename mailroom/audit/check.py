"""The whole check, in order: messages, mails, archive, bytes, queue."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import psycopg
from psycopg import IsolationLevel

from mailroom.audit.archive_manifests import Manifests, Memory, check_bytes, clock_of, described
from mailroom.audit.batches import Submissions, check_stories, check_submissions
from mailroom.audit.copies import check_copies
from mailroom.audit.deposits import check_archive, read_all, read_deposit
from mailroom.audit.listings import (
    acknowledged,
    archived_versions,
    parts,
    receipts,
    receipts_between,
    receipts_of,
    received_emails,
    stored_versions,
)
from mailroom.audit.locks import Locks, NotPermittedError
from mailroom.audit.mails import Patience, check_mails
from mailroom.audit.messages import check_messages
from mailroom.audit.queues import check_queue
from mailroom.audit.report import OUTBOUND, Report, difference
from mailroom.audit.restores import check_restores
from mailroom.audit.rows import check_rows, saturate_times
from mailroom.audit.sent_mails import SentMail, check_manifest

#: More than the clocks of SES and S3 differ, so that a line older than its object is still found.
_SLACK = timedelta(days=1)

#: Versions of the archive per query of receipts.
_PART = 10_000


@dataclass(frozen=True, slots=True)
class Places:
    """The database, buckets and queue to check."""

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
    archive_s3: Any = None,
    sent: Iterable[SentMail] = (),
    submissions: Submissions | None = None,
) -> None:
    """Check everything and record violations in `report`; `archive_s3` is for an archive in another region."""
    archive = archive_s3 or s3
    memory = Memory(archive, places.archive_bucket, clock_of(archive, places.archive_bucket))
    with _snapshot(places) as connection:
        _conserve(connection, places, s3=s3, report=report, patience=patience, memory=memory)
        kept = receipts(connection, places.archive_bucket)
        locks, sample = Locks(archive, places.archive_bucket, report), list[Any]()
        known, manifests = acknowledged(connection, places.archive_bucket), Manifests(connection, memory, report)
        with _permitted(archive, locks):
            there, rows = archived_versions(archive, places.archive_bucket), described(connection)
            how: dict[str, Any] = {"locks": locks, "acknowledged": known}
            sample = check_archive(there, kept, report, patience, manifests=manifests, described=rows, **how)
            check_bytes(locks, manifests.finish(), report)
        wanted = receipts(connection, places.archive_bucket) if deep else sample
        read_all(wanted, lambda receipt: read_deposit(archive, places.archive_bucket, receipt, report), report)
        check_manifest(connection, sent, report)
        check_stories(connection, report)
        check_rows(connection, report)
        check_copies(connection, report)
        url, bucket = places.database_url, places.archive_bucket
        check_restores(connection, database_url=url, s3=archive, bucket=bucket, report=report)
        if submissions is not None:
            check_submissions(connection, submissions, report)
    check_queue(sqs, places.inbound_queue_url, report)


def conserve(places: Places, *, s3: Any, archive_s3: Any, report: Report, patience: Patience) -> None:
    """Prove that everything received is somewhere: the part of `check` that reconciliations repeat."""
    memory = Memory(archive_s3, places.archive_bucket, clock_of(archive_s3, places.archive_bucket))
    with _snapshot(places) as connection:
        _conserve(connection, places, s3=s3, report=report, patience=patience, memory=memory)


def compare_archive(
    places: Places, *, s3: Any, report: Report, patience: Patience, after: str, most: int, keys: Iterable[str] = ()
) -> str:
    """Compare a part of the archive bucket's listing with the receipts, and return the key to continue after; "" is the start.

    It compares what a listing contains, versions and sizes; `check` reads bytes and locks. It costs a call of S3 for each
    thousand versions, so each comparison continues where the last one stopped.

    Args:
        after: The key after which to begin.
        most: About how many versions to compare; 0 is all to the end.
        keys: Further keys to compare, wherever they are.
    """
    bucket, again, seen = places.archive_bucket, sorted(set(keys), key=str.encode), 0
    locks = Locks(s3, bucket, report)
    with _snapshot(places) as connection, _permitted(s3, locks):
        look = partial(
            check_archive, report=report, patience=patience, locks=locks, acknowledged=acknowledged(connection, bucket)
        )
        there = (one for key in again for one in archived_versions(s3, bucket, key=key))
        look(there, receipts_of(connection, bucket, again))
        others = (one for one in archived_versions(s3, bucket, after=after) if one.key not in again)
        for part, until in parts(others, min(_PART, most) or _PART):
            kept = receipts_between(connection, bucket, after, until)
            look(part, (one for one in kept if one.key not in again))
            after, seen = until, seen + len(part)
            report.counts["archive versions"] += len(part)
            if not until or (most and seen >= most):
                break
    return after


@contextmanager
def _permitted(s3: Any, locks: Locks) -> Iterator[None]:
    """Continue if listing the bucket is denied: that is one violation."""
    try:
        yield
    except s3.exceptions.ClientError as error:
        denied = locks.denied(error, "s3:ListBucketVersions")
        if not isinstance(denied, NotPermittedError):
            raise


@contextmanager
def _snapshot(places: Places) -> Iterator[psycopg.Connection[Any]]:
    """Open a snapshot of the database, before S3 is listed: what arrives later is young, and counts as in flight."""
    with psycopg.connect(places.database_url) as connection:
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        saturate_times(connection)
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
    """Report balances that do not add up; called only if no other violation was found."""
    for account, balance in report.balances.items():
        if rest := difference(balance):
            kind = "message balance" if account.side == OUTBOUND else "balance"
            report.violate(
                kind,
                f"{account.tenant} {account.prefix}".strip(),
                f"{rest} are not accounted for; report this as a bug",
            )
