"""API keys: who may use the HTTP API and the pages, for what, and until when.

\b
    mailroom key add shop --tenant acme --scope send
    mailroom key add desk --tenant acme --scope inbox:invoices@acme.test --ends 90d
    mailroom key add root --installation
    mailroom key list --tenant acme
    mailroom key rotate shop --overlap 2d    the old one works for another two days
    mailroom key revoke ID

\b
A key is shown once and never stored. Its scopes say what it may do:
    send             submit batches, see and resend the tenant's messages, suppress addresses, read webhooks
    inbox:ADDRESS    read this inbox; inbox:@acme.test is every inbox of the domain
    archive          read archived documents by the item's id, and attach them to batches
    administer       everything of the tenant, keys too

KEY is a key's id, its first characters, or its name if no other active key has the name.
"""

import json
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from mailroom.cli import _times
from mailroom.cli._app import AsJson, say
from mailroom.cli._installation import Opened, tenant_named
from mailroom.domain.api_keys import (
    ADMINISTER,
    BY_COMMAND,
    EVERYTHING,
    PREFIX,
    first_characters,
    key_digest,
    key_name,
    new_key,
    read_scopes,
)
from mailroom.domain.errors import ConfigurationError, Conflict
from mailroom.domain.trail import What
from mailroom.ports.api_keys import LONGEST_OVERLAP, ApiKeys, KeyLine, KeyState, NewKey, not_rotated
from mailroom.ports.trail import NewEntry

app = typer.Typer(help=__doc__, rich_markup_mode=None, add_completion=False, no_args_is_help=True)

_PAGE = 500
_ALL = "Also keys that ended or were revoked."
Key = Annotated[str, typer.Argument(metavar="KEY", help="Its id, its first characters, or its name.")]
OfTenant = Annotated[str | None, typer.Option(help="Only keys of this tenant.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the key that would be changed; change nothing.")]


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="Who uses it, as lists and histories show it.")],
    tenant: Annotated[str | None, typer.Option(help="The tenant that it is for; created if new.")] = None,
    scope: Annotated[
        list[str] | None, typer.Option(help="What it may do: send, inbox:ADDRESS, archive, administer; repeatable.")
    ] = None,
    ends: Annotated[
        str | None, typer.Option(metavar="TIME", help="When it ends: 90d, 12h or 2027-01-01; by default never.")
    ] = None,
    installation: Annotated[
        bool, typer.Option("--installation", help="A key of the installation: everything, for every tenant.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Add a key and print it. It is shown only once: only its SHA-256 is stored.

    \b
      mailroom key add shop --tenant acme --scope send
      mailroom key add desk --tenant acme --scope inbox:invoices@acme.test --ends 90d
    """
    if (tenant is None) is not installation:
        raise ConfigurationError("use one of --tenant and --installation")
    scopes = _checked("--scope", read_scopes, scope or (EVERYTHING if installation else ()))
    if installation and scopes != EVERYTHING:
        raise ConfigurationError(
            f"a key of the installation has {ADMINISTER} alone; use --tenant for a key with other scopes"
        )
    ends_at = _times.ends(ends)
    if ends_at is not None and ends_at <= datetime.now(UTC):
        raise ConfigurationError("--ends: the time is over; use a later one")
    named, owner, secret = _checked("NAME", key_name, name), None if tenant is None else tenant_named(tenant), new_key()
    new = NewKey(named, owner, scopes, ends_at, key_digest(secret), first_characters(secret), BY_COMMAND)
    store = Opened().store
    try:
        line = store.api_keys.add(new, NewEntry(What.KEY_ADDED, BY_COMMAND))
    except Conflict as error:
        raise ConfigurationError(f"no key was added: {error.message}") from None
    _say_new(line, secret, as_json=as_json)


@app.command("list")
def list_(
    tenant: OfTenant = None,
    all_: Annotated[bool, typer.Option("--all", help=_ALL)] = False,
    as_json: AsJson = False,
) -> None:
    """List keys: state, scopes, end, and when each was last used. Use is recorded at most once a minute."""
    lines = [one for one in _lines(Opened().store.api_keys, tenant) if all_ or one.state is KeyState.ACTIVE]
    if as_json:
        say(json.dumps([_values(one) for one in lines], indent=1))
        return
    for one in lines:
        say(_sentence(one))
    if not lines:
        say("no keys; add one with `mailroom key add NAME --tenant TENANT --scope send`")


@app.command()
def revoke(key: Key, tenant: OfTenant = None, dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Revoke KEY: it is refused from the next request on, and never works again.

    \b
      mailroom key revoke ID --dry-run   shows which key this is
      mailroom key revoke ID
    """
    store = Opened().store
    keys = store.api_keys
    line = _found(keys, tenant, key)
    if dry_run and line.state is KeyState.REVOKED and not as_json:
        say(f"revoked already; nothing would change: {_sentence(line)}")
        return
    changed = line if dry_run else keys.revoke(None, line.id, by=BY_COMMAND) or line
    if not dry_run:
        store.trail.write(NewEntry(What.KEY_REVOKED, BY_COMMAND, line.tenant, line.id))
    if as_json:
        say(json.dumps(_values(changed)))
    else:
        say(f"{'would be revoked' if dry_run else 'revoked'}: {_sentence(changed)}")


@app.command()
def rotate(
    key: Key,
    tenant: OfTenant = None,
    overlap: Annotated[
        str, typer.Option(help="How long KEY works beside the new one: 24h, 2d; 0 ends it at once.")
    ] = "24h",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Add a key with the same name and scopes, and end KEY after the overlap. The new key is shown only once.

    \b
      mailroom key rotate shop --overlap 2d   the old one works for another two days
      mailroom key rotate ID --overlap 0      it leaked: it ends at once
    """
    span = _times.duration("0s" if overlap == "0" else overlap)
    if span is None or span > LONGEST_OVERLAP:
        raise ConfigurationError(f"--overlap: use 0, 90m, 24h or 2d, and at most {LONGEST_OVERLAP.days}d")
    store = Opened().store
    keys = store.api_keys
    line = _found(keys, tenant, key, rotated_too=False)
    if dry_run:
        if fault := not_rotated(line):
            raise ConfigurationError(f"nothing would be changed: {fault}")
        say(json.dumps(_values(line)) if as_json else f"would be rotated: {_sentence(line)}")
        return
    secret = new_key()
    digests = {"sha256": key_digest(secret), "starts": first_characters(secret)}
    try:
        rotated = keys.rotate(None, line.id, **digests, overlap=span, by=BY_COMMAND)
    except Conflict as error:
        raise ConfigurationError(f"nothing was changed: {error.message}") from None
    if rotated is None:
        raise ConfigurationError(f"{key}: no such key; see `mailroom key list`")
    store.trail.write(NewEntry(What.KEY_ROTATED, BY_COMMAND, line.tenant, line.id))
    _say_new(rotated[0], secret, old=rotated[1], as_json=as_json)


def _say_new(line: KeyLine, secret: str, *, old: KeyLine | None = None, as_json: bool) -> None:
    if as_json:
        say(json.dumps(_values(line) | {"key": secret} | ({"old": _values(old)} if old else {})))
        return
    say(_sentence(line))
    if old is not None:
        say(f"the old one: {_sentence(old)}")
    say(f"key, shown only once: {secret}")


def _lines(keys: ApiKeys, tenant: str | None) -> list[KeyLine]:
    lines: list[KeyLine] = []
    after = None
    while True:
        page = keys.all(tenant, after=after, limit=_PAGE)
        lines += page.lines
        after = page.next
        if after is None:
            return lines


def _found(keys: ApiKeys, tenant: str | None, written: str, *, rotated_too: bool = True) -> KeyLine:
    """Return the key that a person wrote: by its id, its first characters or the key itself, or its name.

    Without `rotated_too` a name is not that of a key that was rotated, also while it works beside the new one.

    Raises:
        ConfigurationError: there is none, or several.
    """
    lines = _lines(keys, tenant)
    found = [one for one in lines if written == one.id or (one.starts and written.startswith(one.starts))]
    if not found:
        found = [one for one in lines if one.name == written and one.state is KeyState.ACTIVE]
        found = [one for one in found if rotated_too or not one.replaced_by]
    if not found:
        shown = first_characters(written) if written.startswith(PREFIX) else written
        raise ConfigurationError(f"{shown!r}: no such key; see `mailroom key list`")
    if len(found) > 1:
        ids = ", ".join(one.id for one in found[:10])
        raise ConfigurationError(f"{len(found)} keys are meant; use the id of one: {ids}")
    return found[0]


def _sentence(line: KeyLine) -> str:
    whose = f"of {line.tenant}" if line.tenant else "of the installation"
    ends = f"{'ended' if line.state is KeyState.ENDED else 'ends'} {_when(line.ends_at)}" if line.ends_at else "no end"
    if line.revoked_at:
        ends = f"revoked {_when(line.revoked_at)} by {line.revoked_by}"
    used = f"last used {_when(line.last_used_at)}" if line.last_used_at else "no use recorded"
    return (
        f"{line.id}  {line.starts or '-':<8}  {line.state:<8} {line.name} {whose}: {', '.join(line.scopes)}; "
        f"made {_when(line.created_at)} by {line.made_by or 'SQL'}; {ends}; {used}"
    )


def _when(moment: datetime | None) -> str:
    return moment.isoformat(timespec="minutes") if moment else ""


def _values(line: KeyLine) -> dict[str, Any]:
    times = ("created_at", "ends_at", "last_used_at", "revoked_at")
    values: dict[str, Any] = {
        name: getattr(line, name)
        for name in ("id", "name", "tenant", "state", "starts", "made_by", "revoked_by", "replaced_by")
    }
    moments = {name: getattr(line, name) for name in times}
    return (
        values | {"scopes": list(line.scopes)} | {at: one.isoformat() if one else None for at, one in moments.items()}
    )


def _checked(where: str, read: Any, written: Any) -> Any:
    try:
        return read(written)
    except ValueError as error:
        raise ConfigurationError(f"{where}: {error}") from None
