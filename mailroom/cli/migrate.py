"""Migrate the database schema to the newest revision; with --check only report whether it is.

Run it before the new workers and HTTP services start; those of the last release keep running. It applies all pending
migrations in one transaction, waits for any other `mailroom migrate`, and never downgrades: a schema that a newer version
has migrated stays as it is.

\b
  mailroom migrate --check     exit code 1 and the missing migrations, if it is not at the newest revision; changes nothing
  mailroom migrate --dry-run   the migrations that would run, and their SQL; changes nothing
  mailroom migrate             apply them, and print from which revision to which
"""

import json
from typing import Annotated, Any

import typer

from mailroom.adapters.postgres.schema_upgrade import SchemaStatus, refuse_newer, schema_status, sql_of, upgrade
from mailroom.cli._app import AsJson, say
from mailroom.domain.errors import ConfigurationError
from mailroom.settings import load_database_url, load_owner_url

app = typer.Typer(help=__doc__, rich_markup_mode=None, add_completion=False)


@app.command(help=__doc__)
def migrate(
    check: Annotated[
        bool, typer.Option("--check", help="Exit with 1 unless the schema is at the newest revision; change nothing.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the pending migrations and their SQL; change nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Migrate the database schema to the newest revision."""
    if check and dry_run:
        raise ConfigurationError("give either --check or --dry-run, not both")
    url = load_owner_url()
    if check:
        _check(schema_status(url), as_json=as_json)
    elif dry_run:
        _show(schema_status(url), as_json=as_json)
    else:
        _migrate(url, load_database_url(), as_json=as_json)


def _migrate(url: str, application_url: str, *, as_json: bool) -> None:
    done = upgrade(url, application_url)
    if as_json:
        say(
            json.dumps(
                {"from": done.begun_at, "to": done.ended_at, "applied": list(done.applied), "role": done.roles.login}
            )
        )
        return
    if done.applied:
        say(f"schema migrated from {_name(done.begun_at)} to {done.ended_at}: {_migrations(len(done.applied))}")
    else:
        say(f"the schema is at {done.ended_at}, the newest; nothing changed")
    if done.roles.login:
        say(f"the application's login is {done.roles.login}, which cannot change journals")
    else:
        say(f"the application can change its own journals: {done.roles.why}; see docs/archive.md")


def _check(schema: SchemaStatus, *, as_json: bool) -> None:
    """Print the schema's status; exit 1 if something must be done before this version may start."""
    if as_json:
        say(json.dumps(_facts(schema)))
    elif schema.pending:
        where = f"the schema is at {schema.revision}" if schema.revision else "the database has no Mailroom schema"
        say(f"{where}; missing: {_migrations(len(schema.pending))}, to {schema.newest}; run `mailroom migrate`")
        _list(schema)
    elif schema.fault is not None:
        say(str(schema.fault))
        for column in schema.lacks:
            say(f"  {column} is missing")
    elif schema.is_newer:
        say(f"the schema is at {schema.revision}, newer than this version's {schema.newest}, which is still compatible")
    else:
        say(f"the schema is at {schema.revision}, the newest")
    if schema.pending or schema.fault is not None:
        raise typer.Exit(1)


def _show(schema: SchemaStatus, *, as_json: bool) -> None:
    refuse_newer(schema)
    sql = sql_of(schema)
    if as_json:
        say(json.dumps(_facts(schema) | {"sql": sql}))
    elif not schema.pending:
        say(f"the schema is at {schema.revision}, the newest; nothing would run")
    else:
        say(f"-- from {_name(schema.revision)} to {schema.newest}: {_migrations(len(schema.pending))} would run")
        _list(schema, before="-- ")
        say(sql)


def _list(schema: SchemaStatus, *, before: str = "  ") -> None:
    for one in schema.pending:
        say(f"{before}{one.revision}  {one.what}")


def _facts(schema: SchemaStatus) -> dict[str, Any]:
    return {
        "revision": schema.revision,
        "newest": schema.newest,
        "pending": [{"revision": one.revision, "what": one.what} for one in schema.pending],
        "lacks": list(schema.lacks) if schema.revision else [],
        "fits": schema.fault is None,
        "fault": str(schema.fault) if schema.fault is not None else None,
    }


def _name(revision: str | None) -> str:
    return revision or "nothing"


def _migrations(count: int) -> str:
    return "1 migration" if count == 1 else f"{count} migrations"
