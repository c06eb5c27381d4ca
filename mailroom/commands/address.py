"""Addresses that receive: add one, list them.

An address is `name@domain`, which also takes `name+anything@domain`, or `@domain` for everything at a domain.
"""

import json
import re
from typing import Annotated

import typer

from mailroom.cli import AsJson, say
from mailroom.commands._opening import Opened
from mailroom.domain.errors import ConfigurationError
from mailroom.domain.routing import Address, normalise, normalise_domain
from mailroom.inbound.routing import NOBODY

app = typer.Typer(help=__doc__, rich_markup_mode=None, add_completion=False, no_args_is_help=True)

_TENANT = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


@app.command()
def add(
    address: Annotated[str, typer.Argument(help="name@domain, or @domain for everything at a domain.")],
    user: Annotated[str | None, typer.Option(help="Whose inbox it fills; the local part by default.")] = None,
    tenant: Annotated[str, typer.Option(help="The customer it belongs to; made when it is new.")] = "default",
    as_json: AsJson = False,
) -> None:
    """Have ADDRESS receive. Adding it again changes nothing."""
    if not _TENANT.fullmatch(tenant) or tenant == NOBODY:
        raise ConfigurationError(f"{tenant!r} is no tenant's name; write small letters, digits and dashes")
    pattern = _pattern(address)
    owner = user or pattern.partition("@")[0] or "everyone"
    directory = Opened().directory
    added = directory.add(Address(pattern, tenant, owner))
    if not added:
        owner = next(at.user for at in directory.lookup([pattern])[pattern] if at.tenant == tenant)
    if as_json:
        say(json.dumps({"address": pattern, "user": owner, "tenant": tenant, "added": added}))
    elif added:
        say(f"{pattern} receives for user {owner} of tenant {tenant}")
    else:
        say(f"{pattern} receives for user {owner} of tenant {tenant} already; nothing changed")


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List every address that receives."""
    known = Opened().directory.all()
    if as_json:
        say(json.dumps([{"address": at.pattern, "user": at.user, "tenant": at.tenant} for at in known], indent=1))
        return
    for at in known:
        say(f"{at.pattern:<40} {at.user:<20} {at.tenant}")
    if not known:
        say("no address receives yet; add one with `mailroom address add ada@mailroom.test`")


def _pattern(address: str) -> str:
    try:
        if address.startswith("@"):
            return f"@{normalise_domain(address[1:])}"
        local, _, domain = normalise(address).rpartition("@")
    except ValueError:
        raise ConfigurationError(f"{address!r} is no address; write name@domain or @domain") from None
    return f"{local}@{domain}"
