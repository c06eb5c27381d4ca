"""Receiving addresses: add one, import a file of them, choose how their mail is processed, list and remove them.

An address is `name@domain`, which also matches `name+anything@domain`; `invoice-*@domain`, where the star matches any
characters; `@domain` for everything at a domain; any of these at `*.domain` for all its subdomains, as `*@*.acme.test`; or
`prefix/` for mail that matches no other address and that a receipt rule stores under this key prefix
(MAILROOM_INBOUND_PREFIX, MAILROOM_INBOUND_PREFIXES). The most specific match wins: an address of the exact domain before one
of its subdomains, and of these the longest.
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from mailroom.cli._address_file import addresses_in
from mailroom.cli._app import AsJson, say
from mailroom.cli._installation import Opened, tenant_named
from mailroom.domain.errors import ConfigurationError
from mailroom.domain.inbound.routing import INBOX, Address
from mailroom.inbound.address_book import (
    MOST_REMOVED,
    WHAT_AN_ADDRESS_IS,
    read_pattern,
    read_user,
    usual_user,
    what_happens,
    what_is_next,
)
from mailroom.inbound.processors import known_processors

app = typer.Typer(help=__doc__, rich_markup_mode=None, add_completion=False, no_args_is_help=True)

_PROCESSOR = (
    "How its mail is processed after filing: inbox (no processing), digest, webhook, or an installed processor."
)
Tenant = Annotated[str, typer.Option(help="The tenant that the address belongs to; created if new.")]


@app.command()
def add(
    address: Annotated[str, typer.Argument(help="name@domain, a pattern with *, @domain, *@*.domain or prefix/.")],
    user: Annotated[str | None, typer.Option(help="The user whose inbox it fills; by default the local part.")] = None,
    tenant: Tenant = "default",
    processor: Annotated[str, typer.Option(help=_PROCESSOR)] = INBOX,
    as_json: AsJson = False,
) -> None:
    """Add a receiving ADDRESS. Adding it again changes nothing."""
    pattern, owner = _pattern(address), _user(user)
    owner, directory = owner or usual_user(pattern), Opened().directory
    added = directory.add(Address(pattern, tenant_named(tenant), owner, _processor(processor)))
    if not added:
        owner = next(at.user for at in directory.lookup([pattern])[pattern] if at.tenant == tenant)
    if as_json:
        say(json.dumps({"address": pattern, "user": owner, "tenant": tenant, "added": added}))
    elif added:
        say(f"{pattern} receives for user {owner} of tenant {tenant}")
    else:
        say(f"{pattern} already receives for user {owner} of tenant {tenant}; nothing changed")


@app.command()
def process(
    address: Annotated[str, typer.Argument(help="The address, as `mailroom address list` shows it.")],
    processor: Annotated[str, typer.Argument(help=_PROCESSOR)],
    tenant: Tenant = "default",
    as_json: AsJson = False,
) -> None:
    """Set the processor for the mail that ADDRESS receives from now on."""
    pattern = _pattern(address)
    if not Opened().directory.set_processor(pattern, tenant, _processor(processor)):
        raise ConfigurationError(f"{pattern} is not an address of tenant {tenant}; add it with `mailroom address add`")
    if as_json:
        say(json.dumps({"address": pattern, "tenant": tenant, "processor": processor}))
    else:
        say(f"{processor} now processes the mail of {pattern} of tenant {tenant}")


@app.command("import")
def import_(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="CSV file, as a spreadsheet saves it.")],
    tenant: Annotated[str, typer.Option(help="The tenant of rows that name none; created if new.")] = "default",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only check the file and count.")] = False,
    as_json: AsJson = False,
) -> None:
    """Add every address of FILE, or none if a row has a fault; each fault is named with its row.

    The file has a header with `address`, and optionally `user`, `tenant` and `processor`. An address that its tenant has already
    stays as it is.

    \b
      mailroom address import addresses.csv --dry-run
      mailroom address import addresses.csv --tenant acme
    """
    read = addresses_in(source, tenant_named(tenant), lambda line: print(line, file=sys.stderr))
    directory = Opened().directory
    there = {
        (one.pattern, one.tenant): one
        for owner in sorted({one.tenant for one in read})
        for one in directory.find(owner, [one.pattern for one in read if one.tenant == owner]).values()
    }
    new = {(one.pattern, one.tenant) for one in read} - there.keys() if dry_run else directory.add_all(read)
    other = sum(
        (found.user, found.processor) != (one.user, one.processor)
        for one in read
        if (found := there.get((one.pattern, one.tenant))) is not None
    )
    if as_json:
        say(json.dumps({"read": len(read), "added": len(new), "other": other, "dry_run": dry_run}))
        return
    say(f"read {len(read)} addresses; {len(new)} {'would be added' if dry_run else 'are new'}")
    if other:
        say(f"{other} are there already with another user or processor, and stay as they are (`mailroom address list`)")


@app.command()
def remove(
    addresses: Annotated[
        list[str], typer.Argument(metavar="ADDRESS...", help="As `mailroom address list` shows them.")
    ],
    tenant: Annotated[str, typer.Option(help="The tenant that the addresses belong to.")] = "default",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would happen to their mail.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove receiving addresses, all or none, and say what happens to their mail.

    Items that were filed stay. E-mails on their way are routed when they are processed, by the addresses that are there then.

    \b
      mailroom address remove old@acme.test --tenant acme --dry-run
    """
    patterns, directory = list(dict.fromkeys(map(_pattern, addresses))), Opened().directory
    if len(patterns) > MOST_REMOVED:
        raise ConfigurationError(f"at most {MOST_REMOVED} addresses are removed at once")
    there = directory.find(tenant, patterns)
    if missing := [one for one in patterns if one not in there]:
        raise ConfigurationError(f"{missing[0]} is not an address of tenant {tenant}; nothing was removed")
    mail = directory.mail_of(tenant, patterns)
    outcome = {
        one: [*what_happens(mail[one]), what_is_next(one, patterns, directory, tenant=tenant)] for one in patterns
    }
    removed = patterns if dry_run else directory.remove(tenant, patterns)
    if as_json:
        values = [{"address": one, "what_happens": outcome[one], **asdict(mail[one])} for one in patterns]
        say(json.dumps({"tenant": tenant, "removed": len(removed), "dry_run": dry_run, "addresses": values}))
        return
    for one in patterns:
        say(f"{one} of tenant {tenant} {'would be' if dry_run else 'is'} removed")
        for sentence in outcome[one]:
            say(f"  {sentence}")


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the receiving addresses."""
    known = Opened().directory.all()
    if as_json:
        lines = [
            {"address": at.pattern, "user": at.user, "tenant": at.tenant, "processor": at.processor} for at in known
        ]
        say(json.dumps(lines, indent=1))
        return
    for at in known:
        say(f"{at.pattern:<40} {at.user:<20} {at.tenant:<16} {at.processor}")
    if not known:
        say("no receiving addresses yet; add one with `mailroom address add ada@mailroom.test`")


def _pattern(address: str) -> str:
    try:
        return read_pattern(address)
    except ValueError:
        raise ConfigurationError(f"{address!r} is {WHAT_AN_ADDRESS_IS}") from None


def _user(name: str | None) -> str | None:
    try:
        return read_user(name)
    except ValueError as error:
        raise ConfigurationError(f"--user: {error}") from None


def _processor(name: str) -> str:
    known = known_processors()
    if name not in known:
        raise ConfigurationError(f"no processor is named {name!r}; available: {', '.join(sorted(known))}")
    return name
