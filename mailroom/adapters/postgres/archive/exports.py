"""The rows of an installation's export, in SQL: what manifests and journals cannot give back.

Each column is exported as PostgreSQL writes it, and read back by its type, so that nothing is lost on the way. Left out are
secrets in plain form, which an archive must not have for years: those of webhooks, with their URLs, which are useless without.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC
from typing import Any

from sqlalchemy import Connection, Engine, text

from mailroom.adapters.postgres.archive.journal import SqlJournal
from mailroom.adapters.postgres.engine import transaction
from mailroom.domain.archive.exports import Row
from mailroom.domain.archive.journal import Stream
from mailroom.domain.tenants import NOBODY
from mailroom.ports.exports import KeptExport

#: The exported tables, each after those that it refers to, with the columns that are left out: secrets, and when somebody or
#: something was last seen, which changes all the time.
EXPORTED: Mapping[str, frozenset[str]] = {
    "tenant": frozenset({"webhook_url", "webhook_secret"}),
    "address": frozenset(),
    "person": frozenset({"last_seen_at"}),
    "api_key": frozenset({"last_used_at"}),
    "sender": frozenset(),
    "quota": frozenset(),
    "suppression": frozenset(),
    "archive_finding": frozenset(),
    "retention_rule": frozenset(),
    "legal_hold": frozenset(),
}

_SCHEMA = text("select string_agg(version_num, '+' order by version_num) from alembic_version")
_COLUMNS = text("""
    select attname as name, format_type(atttypid, atttypmod) as type from pg_attribute
    where attrelid = to_regclass(:relation) and attnum > 0 and not attisdropped and attgenerated = '' order by attnum
""")
_KEY = text("""
    select attname from pg_index join pg_attribute on attrelid = indrelid and attnum = any(indkey)
    where indrelid = to_regclass(:relation) and indisprimary order by attname
""")
_LAST = text("""
    select at, payload from journal where tenant = :tenant and stream = 'operations' and kind = 'export'
    order by seq desc limit 1
""")

#: Rows read at once, and inserted at once.
_TOGETHER = 1000


class SqlExports:
    """The port `ExportedRows` on PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def schema(self) -> str:
        """Return the schema's revision."""
        with transaction(self._engine) as connection:
            return str(connection.execute(_SCHEMA).scalar_one())

    def rows(self) -> Iterator[Row]:
        """Yield all rows, of one snapshot, by table and key: the same rows are the same lines."""
        with transaction(self._engine) as connection:
            connection.execute(text("set transaction isolation level repeatable read read only"))
            for name in EXPORTED:
                if columns := _columns(connection, name):
                    yield from _rows(connection, name, list(columns))

    def last(self) -> Mapping[str, Any]:
        """Return the facts of the journal's last `export`, and its `day`."""
        with transaction(self._engine) as connection:
            row = connection.execute(_LAST, {"tenant": NOBODY}).first()
        return json.loads(row.payload) | {"day": f"{row.at.astimezone(UTC):%Y-%m-%d}"} if row else {}

    def record(self, kept: KeptExport, *, rows: str, count: int) -> None:
        """Enter an export in the journal."""
        facts = {"key": kept.key, "version": kept.version, "sha256": kept.sha256, "rows": rows, "count": count}
        SqlJournal(self._engine).append(NOBODY, Stream.OPERATIONS, "export", facts=facts)

    def put_back(self, rows: Iterable[Row]) -> Mapping[str, int]:
        """Insert rows that are not there, in one transaction; see the port."""
        counts: dict[str, int] = {}
        with transaction(self._engine, "commit of put back") as connection:
            types = {name: _columns(connection, name) for name in EXPORTED}
            for row in rows:
                if known := {name: row.values[name] for name in types.get(row.table, {}) if name in row.values}:
                    connection.execute(_insert(row.table, known, types[row.table]), dict(_numbered(known)))
                    counts[row.table] = counts.get(row.table, 0) + 1
        return counts


def _columns(connection: Connection, name: str) -> dict[str, str]:
    """Return the type of each exported column of a table; empty if there is no such table."""
    rows = connection.execute(_COLUMNS, {"relation": name})
    return {row.name: row.type for row in rows if row.name not in EXPORTED[name]}


def _rows(connection: Connection, name: str, columns: list[str]) -> Iterator[Row]:
    keys = ", ".join(_quoted(one) for one in connection.execute(_KEY, {"relation": name}).scalars())
    values = ", ".join(f"{_quoted(one)}::text" for one in columns)
    wanted = text(f"select {values} from {_quoted(name)} order by {keys}")  # noqa: S608 - names of our own tables
    with connection.execution_options(yield_per=_TOGETHER).execute(wanted) as result:
        for row in result:
            yield Row(name, {column: value for column, value in zip(columns, row, strict=True) if value is not None})


def _insert(name: str, known: Mapping[str, str], types: Mapping[str, str]) -> Any:
    columns = ", ".join(_quoted(one) for one in known)
    values = ", ".join(f"cast(cast(:v{number} as text) as {types[one]})" for number, one in enumerate(known))
    return text(
        f"insert into {_quoted(name)} ({columns}) values ({values}) on conflict do nothing"  # noqa: S608 - as above
    )


def _numbered(known: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    return ((f"v{number}", value) for number, value in enumerate(known.values()))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def is_empty(connection: Connection, tables: Iterable[str]) -> bool:
    """Return whether all of these tables are without rows."""
    return not any(
        connection.execute(text(f"select exists (select from {_quoted(name)})")).scalar_one()  # noqa: S608 - as above
        for name in tables
    )
