"""`mailroom archive verify`: objects, journals, seals and mails, for a document, a mail, a tenant, or everything.

It only reads, and may run beside production: the database is read in one snapshot, before the buckets are listed, and what
is younger than the patience may be under way. Memory is bounded: everything is read in the order of its keys.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import psycopg
from psycopg import IsolationLevel

from mailroom.audit.archive_documents import FIRST, Documents, Expected, Place
from mailroom.audit.archive_journals import check_journals
from mailroom.audit.archive_mails import Mails, Source, names_of
from mailroom.audit.archive_manifests import clock_of
from mailroom.audit.archive_reading import read_all
from mailroom.audit.archive_report import ArchiveReport, Outcome
from mailroom.audit.archive_rows import Scope, facts_of, first_deposits, key_of
from mailroom.audit.archive_seals import SealTrust, is_seal
from mailroom.audit.deposits import OTHERS
from mailroom.audit.listings import Stored, acknowledged, archived_versions
from mailroom.audit.rows import saturate_times

#: Names of manifests that are looked up at once.
_TOGETHER = 10_000


class UnknownSubjectError(Exception):
    """Neither database nor archive have what was to be verified."""


@dataclass(frozen=True, slots=True)
class Installation:
    """The database and the buckets to verify; the first place has manifests and seals."""

    database_url: str
    places: Sequence[Place]
    trust: SealTrust = field(default_factory=SealTrust)


def verify(
    installation: Installation,
    scope: Scope,
    report: ArchiveReport,
    *,
    now: datetime,
    patience: timedelta = timedelta(hours=1),
    reading: bool = True,
) -> None:
    """Verify a scope into the report; without `reading`, what listings and rows show, and no bytes or locks.

    Raises:
        UnknownSubjectError: there is no such document or mail.
    """
    first = next(one for one in installation.places if one.name == FIRST)
    young = clock_of(first.s3, first.bucket) - patience
    with psycopg.connect(installation.database_url) as connection:
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        saturate_times(connection)
        whole = _with_documents(connection, scope)
        known, since = acknowledged(connection, first.bucket), _journalled_since(connection, first)
        documents = Documents(
            connection,
            installation.places,
            report,
            is_old=lambda modified: modified < young,
            known=lambda key, version: (key, version) in known,
            since=since,
        )
        listings = {one.name: _listing(one, whole) for one in installation.places}
        wanted = documents.check(replace(whole, emails=None), listings)
        read_all(wanted, report) if reading else _drain(wanted)
        if scope.documents is None:
            source = Source(first.s3, first.bucket)
            listed = None if scope.is_part else {(one.key, one.version) for one in documents.manifests}
            mails = Mails(connection, source, report, since=since, reading=reading, listed=listed)
            mails.check(replace(scope, documents=None))
        if not scope.is_part:
            _check_manifests(connection, documents.manifests, report, young)
        if not report.counts and scope.is_part:
            raise UnknownSubjectError
        for tenant in _tenants(whole) if scope.is_part else [scope.tenant]:
            check_journals(
                connection,
                Scope(tenant),
                report,
                now=now,
                archive=first,
                trust=installation.trust,
                reading=reading,
            )


def _journalled_since(connection: psycopg.Connection[Any], first: Place) -> datetime | None:
    """Return the time, by S3's own clock, of the first object whose deposit was journalled.

    What S3 had before is of an earlier release, which kept no journal; None if nothing was ever journalled.
    """
    entries = first_deposits(connection)
    if not entries:
        return None
    version = facts_of(entries[0].payload).get("version")
    stored = archived_versions(first.s3, first.bucket, key=key_of(entries[0].subject))
    return min((one.modified for one in stored if one.version == version), default=entries[0].at)


def _with_documents(connection: psycopg.Connection[Any], scope: Scope) -> Scope:
    """Return the scope with the documents of its mails: of the rows, and of the entries that may be all that is left."""
    if scope.emails is None:
        return scope
    of = {"emails": list(scope.emails)}
    found = {one for (one,) in connection.execute(_OF_ROWS, of).fetchall() if one is not None}
    for tenant, payload in connection.execute(_OF_ENTRIES, of).fetchall():
        parts = facts_of(payload).get("parts")
        found |= {f"{tenant}/{one}" for one in parts} if isinstance(parts, list) else set()
    return replace(scope, documents=tuple(sorted(found)))


def _listing(place: Place, scope: Scope) -> Iterator[Stored]:
    """Yield the versions of a place that are of the scope, by key, without our own objects."""
    if scope.documents is not None:
        keys = sorted({key_of(one) for one in scope.documents}, key=str.encode)
        there: Iterator[Stored] = (one for key in keys for one in archived_versions(place.s3, place.bucket, key=key))
    else:
        prefix = f"{scope.tenant}/" if scope.tenant else ""
        there = archived_versions(place.s3, place.bucket, prefix=prefix)
    return (one for one in there if not is_seal(one.key) and not any(known.fullmatch(one.key) for known in OTHERS))


def _check_manifests(
    connection: psycopg.Connection[Any], manifests: list[Stored], report: ArchiveReport, young: datetime
) -> None:
    """Report manifests in the archive whose mail the database does not have."""
    by_name: dict[str, Stored] = {}
    for one in manifests:
        if not one.is_marker:
            by_name.setdefault(one.key.rpartition("/")[2].removesuffix(".json"), one)
    names = sorted(by_name)
    for start in range(0, len(names), _TOGETHER):
        part = names[start : start + _TOGETHER]
        there = names_of(connection, part)
        report.passed("manifest_known", len(there))
        for name in set(part) - there:
            stored = by_name[name]
            if stored.modified >= young:
                what = "the database does not have its e-mail yet; verify again in an hour"
                report.add("manifest_known", Outcome.NOT_THERE_YET, stored.key, what)
            else:
                what = "the database does not have its e-mail: that was removed, or the database is an older backup"
                report.failed("manifest_known", stored.key, f"{what}; run sweep-inbound (Quick run) to bring it back")


def _tenants(scope: Scope) -> list[str]:
    return sorted({one.partition("/")[0] for one in scope.documents or ()})


def _drain(wanted: Iterator[Expected]) -> None:
    for _ in wanted:
        pass


_OF_ROWS = """
select unnest(archive_ids) from inbound_email where id::text = any(%(emails)s)
union select raw_archive_id from inbox_item where email_id::text = any(%(emails)s)
union select a.archive_id from attachment a join inbox_item i on i.id = a.item_id where i.email_id::text = any(%(emails)s)
"""

_OF_ENTRIES = """
select tenant, payload from journal where stream = 'life' and kind = 'archived' and subject = any(%(emails)s)
"""
