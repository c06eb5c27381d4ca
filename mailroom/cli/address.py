"""Addresses that receive: add one, choose what is done with its mail, list them.

An address is `name@domain`, which also takes `name+anything@domain`; `invoice-*@domain`, where a star is any letters;
`@domain` for everything at a domain; or `prefix/` for whatever no address takes of the mails that a receipt rule
stores under this key prefix, which the settings name (MAILROOM_INBOUND_PREFIX, MAILROOM_INBOUND_PREFIXES). The narrowest
takes the mail.
"""

import json
from typing import Annotated

import typer

from mailroom.cli._app import AsJson, say
from mailroom.cli._installation import Opened, tenant_named
from mailroom.domain.errors import ConfigurationError
from mailroom.domain.inbound.routing import INBOX, Address, normalise_pattern
from mailroom.inbound.processors import known_processors

app = typer.Typer(help=__doc__, rich_markup_mode=None, add_completion=False, no_args_is_help=True)

_PROCESSOR = "What is done with its mail besides filing it: inbox (nothing), digest, webhook, or one that is installed."
Tenant = Annotated[str, typer.Option(help="The customer it belongs to; made when it is new.")]


@app.command()
def add(
    address: Annotated[str, typer.Argument(help="name@domain, a pattern with *, @domain, or prefix/.")],
    user: Annotated[str | None, typer.Option(help="Whose inbox it fills; the local part by default.")] = None,
    tenant: Tenant = "default",
    processor: Annotated[str, typer.Option(help=_PROCESSOR)] = INBOX,
    as_json: AsJson = False,
) -> None:
    """Have ADDRESS receive. Adding it again changes nothing."""
    pattern, directory = _pattern(address), Opened().directory
    owner = user or (pattern.rpartition("@")[0] if "@" in pattern else pattern.strip("/")) or "everyone"
    added = directory.add(Address(pattern, tenant_named(tenant), owner, _processor(processor)))
    if not added:
        owner = next(at.user for at in directory.lookup([pattern])[pattern] if at.tenant == tenant)
    if as_json:
        say(json.dumps({"address": pattern, "user": owner, "tenant": tenant, "added": added}))
    elif added:
        say(f"{pattern} receives for user {owner} of tenant {tenant}")
    else:
        say(f"{pattern} receives for user {owner} of tenant {tenant} already; nothing changed")


@app.command()
def process(
    address: Annotated[str, typer.Argument(help="As `mailroom address list` shows it.")],
    processor: Annotated[str, typer.Argument(help=_PROCESSOR)],
    tenant: Tenant = "default",
    as_json: AsJson = False,
) -> None:
    """Have a processor work on what ADDRESS receives from now on."""
    pattern = _pattern(address)
    if not Opened().directory.set_processor(pattern, tenant, _processor(processor)):
        raise ConfigurationError(f"{pattern} is no address of tenant {tenant}; add it with `mailroom address add`")
    if as_json:
        say(json.dumps({"address": pattern, "tenant": tenant, "processor": processor}))
    else:
        say(f"{processor} works on what {pattern} of tenant {tenant} receives")


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List every address that receives."""
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
        say("no address receives yet; add one with `mailroom address add ada@mailroom.test`")


def _pattern(address: str) -> str:
    try:
        return normalise_pattern(address)
    except ValueError:
        raise ConfigurationError(
            f"{address!r} is no address; write name@domain, name-*@domain, @domain or prefix/"
        ) from None


def _processor(name: str) -> str:
    known = known_processors()
    if name not in known:
        raise ConfigurationError(f"there is no processor {name!r}; there are {', '.join(sorted(known))}")
    return name
