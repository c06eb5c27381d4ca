"""Addresses that get no mail: import and export them, as CSV or JSON.

CSV has a header line with `address`, and optionally `tenant`, `reason`, `since`, `expires_at`, `stream`; JSON is a list of
objects with the same names. An address without a tenant is suppressed for all tenants. With a stream it gets no mail of that
stream; without, an `unsubscribe` covers all but transactional mail and any other reason all mail. Times are ISO 8601.
"""

import csv
import io
import json
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from mailroom.cli._app import AsJson, say
from mailroom.cli._installation import Opened, tenant_named
from mailroom.domain.delivery.streams import TRANSACTIONAL, WHAT_A_STREAM_IS, Scope, stream_name
from mailroom.domain.delivery.suppression import Cause
from mailroom.domain.errors import ConfigurationError
from mailroom.domain.inbound.routing import normalise
from mailroom.domain.times import OUT_OF_BOUNDS, read_time
from mailroom.ports.suppressions import Suppression

app = typer.Typer(help=__doc__, rich_markup_mode=None, add_completion=False, no_args_is_help=True)

_FIELDS = ("address", "tenant", "reason", "since", "expires_at", "message_id", "stream", "scope")
_PAGE, _MOST_BYTES = 1000, 100 << 20
#: A spreadsheet evaluates a cell that begins with one of these.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@app.command("import")
def import_(
    source: Annotated[str, typer.Argument(metavar="FILE|-", help="CSV or JSON file; - for standard input.")],
    tenant: Annotated[str | None, typer.Option(help="Tenant of lines that name none; by default all tenants.")] = None,
    as_json: AsJson = False,
) -> None:
    """Suppress every address in FILE, or none if the file has an error. An existing suppression keeps the later end."""
    if tenant is not None:
        tenant_named(tenant)
    now = datetime.now(UTC)
    fields = [_suppression(at, values, tenant, now) for at, values in enumerate(_read(source), 1)]
    kept, added = Opened().store.suppressions, 0
    for at in range(0, len(fields), _PAGE):
        added += kept.add(fields[at : at + _PAGE])
    if as_json:
        say(json.dumps({"read": len(fields), "added": added}))
    else:
        say(f"read {len(fields)} addresses; {added} are new")


@app.command()
def export(
    tenant: Annotated[str | None, typer.Option(help="Only suppressions of this tenant and of all tenants.")] = None,
    expired: Annotated[bool, typer.Option("--expired", help="Include expired suppressions.")] = False,
    scope: Annotated[Scope | None, typer.Option(help="Only suppressions that cover this.")] = None,
    stream: Annotated[str | None, typer.Option(help="Only suppressions of this stream.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write suppressions to standard output: CSV, or with --json a list."""
    now = datetime.now(UTC)
    kept = [one for one in _all(tenant, scope, stream) if expired or one.expires_at is None or one.expires_at > now]
    rows = [_values(one) for one in kept]
    if as_json:
        say(json.dumps(rows, indent=1))
        return
    output = io.StringIO()
    writer = csv.DictWriter(output, _FIELDS)
    writer.writeheader()
    writer.writerows({name: _harmless(value) for name, value in row.items()} for row in rows)
    say(output.getvalue().rstrip("\r\n"))


def _all(tenant: str | None, scope: Scope | None, stream: str | None) -> Iterator[Suppression]:
    kept, after = Opened().store.suppressions, None
    while page := kept.all(
        tenant, address=None, after=after, limit=_PAGE, with_global=True, scope=scope, stream=stream
    ):
        yield from page
        after = page[-1].place


def _read(source: str) -> list[Mapping[str, Any]]:
    if source != "-" and not Path(source).is_file():
        raise ConfigurationError(f"{source}: no such file")
    raw = sys.stdin.buffer.read(_MOST_BYTES + 1) if source == "-" else Path(source).read_bytes()
    if len(raw) > _MOST_BYTES:
        raise ConfigurationError(f"{source}: more than {_MOST_BYTES} bytes; split it")
    try:
        text = raw.decode("utf-8-sig")
        values = json.loads(text) if text.lstrip().startswith("[") else list(csv.DictReader(io.StringIO(text)))
    except (ValueError, csv.Error):
        raise ConfigurationError(f"{source}: must be CSV or a JSON list, in UTF-8") from None
    if not all(isinstance(one, dict) and one.get("address") for one in values):
        raise ConfigurationError(f"{source}: each entry needs an `address`")
    return values


def _suppression(at: int, row: Mapping[str, Any], tenant: str | None, now: datetime) -> Suppression:
    owner = row.get("tenant") or tenant
    try:
        one = Suppression(
            # An export escapes cells for spreadsheets with an apostrophe.
            address=normalise(str(row["address"]).removeprefix("'")),
            tenant=_owner(at, owner) if owner else None,
            reason=str(row.get("reason") or Cause.MANUAL)[:100],
            since=_time(row.get("since")) or now,
            expires_at=_time(row.get("expires_at")),
            stream=stream_name(str(row["stream"])) if row.get("stream") else None,
        )
    except ValueError as error:
        what = f" ({error})" if str(error) in (OUT_OF_BOUNDS, WHAT_A_STREAM_IS) else ""
        raise ConfigurationError(
            f"entry {at} is invalid: check its address, stream and times{what}; nothing was imported"
        ) from None
    if one.stream is not None and (one.tenant is None or one.stream == TRANSACTIONAL):
        raise ConfigurationError(
            f"entry {at}: a stream belongs to a tenant, and `{TRANSACTIONAL}` is withheld by an entry without a stream only; "
            "nothing was imported"
        )
    if row.get("scope") not in (None, "", one.scope):
        raise ConfigurationError(
            f"entry {at}: its scope follows from its reason and stream, and is `{one.scope}`; nothing was imported"
        )
    return one


def _owner(at: int, name: object) -> str:
    try:
        return tenant_named(str(name))
    except ConfigurationError as error:
        raise ConfigurationError(f"entry {at}: {error}; nothing was imported") from None


def _time(value: object) -> datetime | None:
    return read_time(str(value)) if value else None


def _values(one: Suppression) -> dict[str, str | None]:
    return {
        "address": one.address,
        "tenant": one.tenant,
        "reason": one.reason,
        "since": one.since.isoformat(),
        "expires_at": one.expires_at.isoformat() if one.expires_at else None,
        "message_id": one.message_id,
        "stream": one.stream,
        "scope": one.scope.value,
    }


def _harmless(value: str | None) -> str:
    text = value or ""
    return f"'{text}" if text.startswith(_FORMULA) else text
