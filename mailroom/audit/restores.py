"""A restored database: its waiting messages may have been sent after the dump, and are held until an operator decides."""

import json
from typing import Any

import psycopg

from mailroom.audit.report import Report


def check_restores(
    connection: psycopg.Connection[Any], *, database_url: str, s3: Any, bucket: str, report: Report
) -> None:
    """Report batches that are held after a restore, and a restored database that no worker has recognised yet."""
    for batch_id, messages in connection.execute(_HELD):
        report.counts["messages held after a restore"] += messages
        what = f"{messages} held messages may have been sent before the restore: run mailroom batch resume {batch_id}, or cancel"
        report.violate("held after a restore", batch_id, what)
    outside = {name: _outside(s3, bucket, name, report) for name, *_ in connection.execute(_INSTALLATION)}
    # Not in this check's snapshot: while mail is sent the counter advances, in the database before it does outside.
    with psycopg.connect(database_url) as latest:
        for name, counter, identity, table in latest.execute(_INSTALLATION).fetchall():
            if identity not in (table, f"{_server(latest)}/{table}") or counter < outside.get(name, 0):
                what = "waiting messages may already have been sent: start a worker, which holds them, then repeat the check"
                report.violate("restored database", name, what)


def _server(connection: psycopg.Connection[Any]) -> str:
    """Return the server's identity; empty where it cannot be read."""
    try:
        with connection.transaction():
            row = connection.execute(_SERVER).fetchone()
    except psycopg.Error:
        return ""
    return str(row[0]) if row else ""


def _outside(s3: Any, bucket: str, name: str, report: Report) -> int:
    """Return the counter stored beside the archive; 0 if there is none."""
    try:
        answer = s3.get_object(Bucket=bucket, Key=f"_mailroom/{name}/counter.json")
        return int(json.loads(answer["Body"].read())["counter"])
    except s3.exceptions.ClientError as error:
        code = error.response["Error"]["Code"]
        if code not in ("NoSuchKey", "404"):
            report.violate("no counter", name, f"a restore could not be detected: the archive's bucket responds {code}")
    except (ValueError, KeyError, TypeError):
        report.violate(
            "no counter", name, "a restore could not be detected: the counter in the archive's bucket is not readable"
        )
    return 0


_HELD = """
select batch_id::text, count(*) from message where status = 'held' and reason = 'restored' group by batch_id order by 1
"""

_INSTALLATION = """
select name::text, counter, identity,
       concat_ws('/', (select oid from pg_database where datname = current_database()), 'message'::regclass::oid)
  from installation where name is not null and not pg_is_in_recovery()
"""

_SERVER = """
select concat_ws('/', (select system_identifier from pg_control_system()), substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))
"""
