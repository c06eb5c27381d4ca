"""Deletion of old outbound rows, in SQL: idempotency keys, files of finished batches, return paths, pauses, rows of refusals."""

from datetime import datetime, timedelta

from sqlalchemy import Engine, text

from mailroom.adapters.postgres.delivery.return_paths import SqlReturnPaths
from mailroom.adapters.postgres.engine import transaction
from mailroom.adapters.postgres.outbound.models import IS_UNANSWERED, IS_WAITING
from mailroom.adapters.postgres.skipped_rows import forget_skipped
from mailroom.domain.delivery.return_paths import KEPT_FOR

#: A queue may deliver a plain producer's message again for up to 14 days, and its key must still be known then.
KEYS_KEPT = timedelta(days=15)
#: A file is kept a day longer than needed, for a next batch with the same file.
FILES_KEPT = timedelta(days=1)
#: Skipped rows are kept long enough to be read after a long week-end.
SKIPPED_KEPT = timedelta(days=7)
#: A pause that was not probed for this long is deleted: nothing was sent through its account or for its sender since.
PAUSES_KEPT = timedelta(days=1)
#: Rows in one statement; the next sweep deletes the rest.
_MOST = 5_000

_FORGET_KEYS = text("""
    delete from idempotency_key where (tenant, key) in (
        select tenant, key from idempotency_key where made_at < :before order by made_at limit :most)
""")
# A submission renews `created_at` of a file that is stored already; it and this statement wait for each other.
_FORGET_FILES = text(f"""
    with open as (
        select distinct batch_id from message
        where {IS_WAITING}
        union
        select distinct batch_id from message where {IS_UNANSWERED}
        union
        select distinct batch_id from message where status = 'held'
    ), unread as (
        -- A content of another shape may need any file of its tenant.
        select batch.tenant from open join batch on batch.id = open.batch_id join content on content.batch_id = batch.id
        where jsonb_typeof(content.enclosures) <> 'array'
    ), needed as (
        select batch.tenant, enclosure->>'sha256' as sha256
        from open join batch on batch.id = open.batch_id join content on content.batch_id = batch.id
            cross join jsonb_array_elements(
                case jsonb_typeof(content.enclosures) when 'array' then content.enclosures else '[]' end) as enclosure
        where enclosure->>'archive_id' is null
    )
    delete from file where created_at < :before and (tenant, sha256) in (
        select tenant, sha256 from file where created_at < :before and tenant not in (select tenant from unread)
        except select tenant, sha256 from needed
        limit :most)
""")  # noqa: S608 - constants

_FORGET_PAUSES = text("""
    delete from provider_pause where until < :before and (probing_until is null or probing_until < :now)
""")
_FORGET_REFUSALS = text(f"""
    delete from same_refusal where batch_id in (
        select batch_id from same_refusal
        where not exists (
            select from message where message.batch_id = same_refusal.batch_id
                and ({IS_WAITING} or {IS_UNANSWERED} or status = 'held'))
        limit :most)
""")  # noqa: S608 - constants


def forget_outbound(engine: Engine, now: datetime) -> tuple[int, int]:
    """Delete old idempotency keys and files that no open message needs, and return how many of each."""
    with transaction(engine) as connection:
        keys = connection.execute(_FORGET_KEYS, {"before": now - KEYS_KEPT, "most": _MOST}).rowcount
    with transaction(engine) as connection:
        files = connection.execute(_FORGET_FILES, {"before": now - FILES_KEPT, "most": _MOST}).rowcount
    with transaction(engine) as connection:
        connection.execute(_FORGET_PAUSES, {"before": now - PAUSES_KEPT, "now": now})
        connection.execute(_FORGET_REFUSALS, {"most": _MOST})
    forget_skipped(engine, before=now - SKIPPED_KEPT)
    SqlReturnPaths(engine).forget(before=now - KEPT_FOR)
    return keys, files
