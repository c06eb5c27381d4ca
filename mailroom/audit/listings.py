"""Reads stores and tables in the order of their keys, a page at a time.

S3 lists keys in the order of their UTF-8 bytes; PostgreSQL's `collate "C"` and Python's order of encoded keys are the same.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import count, groupby
from typing import Any, TypeVar

import psycopg
from psycopg.rows import namedtuple_row

_PAGE = 500

#: SES writes it once, to test its permission; it is not a mail.
_SETUP_OBJECT = "AMAZON_SES_SETUP_NOTIFICATION"

#: Numbers cursors: an abandoned query keeps its cursor open.
_cursors = count()
#: The prefix of Mailroom's own objects in the archive's bucket; no tenant's name begins with it.
_OWN = "_mailroom/"

One = TypeVar("One")
Other = TypeVar("Other")


@dataclass(frozen=True, slots=True)
class Stored:
    """One version of an object. `version` is "null" where the bucket has no versions; a delete marker has no bytes."""

    key: str
    version: str
    size: int
    modified: datetime
    is_marker: bool = False


def stored_versions(s3: Any, bucket: str) -> Iterator[Stored]:
    """Yield every version of every object of a bucket, by key."""
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        for one in page.get("Versions", []):
            if not one["Key"].endswith(_SETUP_OBJECT) and not one["Key"].startswith(_OWN):
                yield Stored(one["Key"], one["VersionId"], one["Size"], one["LastModified"])


def archived_versions(
    s3: Any, bucket: str, *, after: str = "", key: str | None = None, prefix: str = ""
) -> Iterator[Stored]:
    """Yield every version and delete marker of a bucket by key: those with keys after `after`, or those of one `key`."""
    which: dict[str, str] = {"Prefix": key or prefix} if key is not None or prefix else {}
    which |= {"KeyMarker": after} if after and key is None else {}
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket, **which):
        versions = [_stored(one) for one in page.get("Versions", [])]
        markers = [_stored(one, is_marker=True) for one in page.get("DeleteMarkers", [])]
        for one in heapq.merge(versions, markers, key=lambda stored: stored.key.encode()):
            if key is not None and one.key != key:
                return
            if one.key.encode() > after.encode():
                yield one


def parts(objects: Iterable[Stored], size: int) -> Iterator[tuple[list[Stored], str]]:
    """Yield parts of about `size` versions, each with its last key, which is complete; "" is the end.

    No part ends at a key with a NUL, which S3 accepts and PostgreSQL does not.
    """
    part: list[Stored] = []
    for key, versions in groupby(objects, lambda one: one.key):
        part += versions
        if len(part) >= size and "\0" not in key:
            yield part, key
            part = []
    yield part, ""


def _stored(one: Any, *, is_marker: bool = False) -> Stored:
    return Stored(one["Key"], one["VersionId"], one.get("Size", 0), one["LastModified"], is_marker)


def received_emails(connection: psycopg.Connection[Any], bucket: str, since: datetime | None) -> Iterator[Any]:
    """Yield the ledger's lines of a bucket by key, each with its activities, items and receipts."""
    return stream(connection, _EMAILS, {"bucket": bucket, "since": since})


def receipts(connection: psycopg.Connection[Any], bucket: str) -> Iterator[Any]:
    """Yield the receipts of the copies in a bucket by key; `named` is true where an e-mail names the deposit."""
    return stream(connection, _RECEIPTS, {"bucket": bucket})


def receipts_between(connection: psycopg.Connection[Any], bucket: str, after: str, until: str) -> Iterator[Any]:
    """Yield the receipts of keys after `after` up to `until` ("" is the end), without checking that a mail names them."""
    return stream(connection, _RECEIPTS_BETWEEN, {"bucket": bucket, "after": after, "until": until or None})


def receipts_of(connection: psycopg.Connection[Any], bucket: str, keys: list[str]) -> Iterator[Any]:
    """Yield the receipts of these keys."""
    return stream(connection, _RECEIPTS_OF, {"bucket": bucket, "keys": keys})


def acknowledged(connection: psycopg.Connection[Any], bucket: str) -> set[tuple[str, str]]:
    """Return the versions, as key and version id, that an operator has acknowledged."""
    wanted = "select key, version from archive_finding where bucket = %s and acknowledged_at is not null"
    return set(connection.execute(wanted, [bucket]).fetchall())


def side_by_side(
    ones: Iterable[One], others: Iterable[Other], key: Callable[[Any], str]
) -> Iterator[tuple[str, list[One], list[Other]]]:
    """Yield each key of either side with the values of both sides; both must be sorted by key."""

    def grouped(side: Iterable[Any]) -> Iterator[tuple[str, list[Any]]]:
        return ((name, list(group)) for name, group in groupby(side, key))

    left, right = grouped(ones), grouped(others)
    one, other = next(left, None), next(right, None)
    while one is not None or other is not None:
        if other is None or (one is not None and one[0].encode() < other[0].encode()):
            assert one is not None
            yield one[0], one[1], []
            one = next(left, None)
        elif one is None or one[0].encode() > other[0].encode():
            yield other[0], [], other[1]
            other = next(right, None)
        else:
            yield one[0], one[1], other[1]
            one, other = next(left, None), next(right, None)


def stream(connection: psycopg.Connection[Any], query: str, values: dict[str, Any]) -> Iterator[Any]:
    """Yield the rows of a query, fetched a page at a time; several queries may be read at once."""
    with connection.cursor(name=f"checking_{next(_cursors)}", row_factory=namedtuple_row) as cursor:
        cursor.itersize = _PAGE
        cursor.execute(query, values)
        yield from cursor


_EMAILS = """
select e.id::text, e.key, e.version, e.message_id, e.state, e.reason, e.received_at, e.archive_ids, e.tenants,
       e.run_id::text,
       (select max(a.at) from inbound_activity a where a.email_id = e.id) as last_at,
       (select coalesce(jsonb_agg(jsonb_build_object('kind', a.kind, 'routes', a.facts -> 'routes', 'held', a.facts -> 'held')
                                  order by a.id), '[]')
          from inbound_activity a
         where a.email_id = e.id and a.kind in ('routed', 'filed', 'reopened')) as story,
       (select coalesce(jsonb_agg(jsonb_build_object(
                   'id', i.id, 'tenant', i.tenant, 'recipient', i.recipient, 'raw', i.raw_archive_id,
                   'parts', (select coalesce(jsonb_agg(jsonb_build_object(
                                     'number', p.number, 'sha256', p.sha256, 'kept', p.archive_id) order by p.number), '[]')
                               from attachment p where p.item_id = i.id))), '[]')
          from inbox_item i where i.email_id = e.id) as items,
       (select count(*) from inbound_activity a join activity event on event.kind = a.facts ->> 'event' and event.message_id = case
                   when a.facts ->> 'report_of' ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
                   then (a.facts ->> 'report_of')::uuid end
         where a.email_id = e.id and a.kind = 'filed') as reported,
       array(select d.archive_id from deposit d where d.archive_id = any(e.archive_ids)) as kept
  from inbound_email e
 where e.bucket = %(bucket)s and (%(since)s::timestamptz is null or e.received_at >= %(since)s)
 order by e.key collate "C", e.version
"""

_RECEIPTS = """
with named as materialized (select distinct unnest(archive_ids) as archive_id from inbound_email)
select d.archive_id, c.place, c.key, c.version, d.sha256, d.size, c.retain_until, d.deposited_at,
       named.archive_id is not null as named
  from deposit_copy c join deposit d using (archive_id) left join named using (archive_id)
 where c.bucket = %(bucket)s
 order by c.key collate "C"
"""

_RECEIPTS_BETWEEN = """
select d.archive_id, c.place, c.key, c.version, d.sha256, d.size, c.retain_until, d.deposited_at, true as named
  from deposit_copy c join deposit d using (archive_id)
 where c.bucket = %(bucket)s and c.key collate "C" > %(after)s
       and (%(until)s::text is null or c.key collate "C" <= %(until)s)
 order by c.key collate "C"
"""

_RECEIPTS_OF = """
select d.archive_id, c.place, c.key, c.version, d.sha256, d.size, c.retain_until, d.deposited_at, true as named
  from deposit_copy c join deposit d using (archive_id)
 where c.bucket = %(bucket)s and c.key = any(%(keys)s)
 order by c.key collate "C"
"""
