"""Tenants: the policy for suspicious mail, the webhook for received mail, the addresses to send from."""

import json
import secrets
from dataclasses import asdict, replace
from typing import Annotated

import typer

from mailroom.cli._app import AsJson, say
from mailroom.cli._installation import Opened, tenant_named
from mailroom.domain.errors import ConfigurationError
from mailroom.domain.inbound.filing_policy import Action, FilingPolicy
from mailroom.domain.outbound.content_rules import sender_pattern
from mailroom.ports.tenants import Webhook

app = typer.Typer(help=__doc__, rich_markup_mode=None, add_completion=False, no_args_is_help=True)

Tenant = Annotated[str, typer.Argument(help="The tenant's name.")]
_ACTION = "file or quarantine."


@app.command()
def policy(
    tenant: Tenant,
    spam: Annotated[Action | None, typer.Option(help=f"SES classifies it as spam: {_ACTION}")] = None,
    dmarc_reject: Annotated[
        Action | None, typer.Option(help=f"DMARC failed and the domain asks to reject: {_ACTION}")
    ] = None,
    dmarc_quarantine: Annotated[
        Action | None, typer.Option(help=f"DMARC failed and the domain asks to quarantine: {_ACTION}")
    ] = None,
    unsure: Annotated[
        Action | None, typer.Option(help=f"Spam, virus or DMARC check without a result: {_ACTION}")
    ] = None,
    unscanned: Annotated[Action | None, typer.Option(help=f"The virus scanner could not scan it: {_ACTION}")] = None,
    as_json: AsJson = False,
) -> None:
    """Show the policy for suspicious mail; options change it first. Mail with a virus is always quarantined."""
    tenants = Opened().tenants
    actions = {"spam": spam, "dmarc_reject": dmarc_reject, "dmarc_quarantine": dmarc_quarantine}
    actions |= {"unsure": unsure, "unscanned": unscanned}
    changes = {name: action for name, action in actions.items() if action is not None}
    chosen: FilingPolicy = replace(tenants.policy(tenant_named(tenant)), **changes)
    if changes:
        tenants.set_policy(tenant, chosen)
    if as_json:
        say(json.dumps({"tenant": tenant, **asdict(chosen)}))
    else:
        for name, action in asdict(chosen).items():
            say(f"{name.replace('_', '-'):<18} {action}")


@app.command()
def webhook(
    tenant: Tenant,
    url: Annotated[str | None, typer.Argument(help="https URL that receives a POST for each e-mail.")] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Remove the webhook.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show or set a tenant's webhook for received mail. A new secret is shown only once."""
    opened = Opened()
    tenants = opened.tenants
    tenant_named(tenant)
    secret = None
    if url is not None:
        if fault := opened.settings.webhook_targets.url_fault(url):
            raise ConfigurationError(fault.sentence)
        secret = secrets.token_urlsafe(32)
        tenants.set_webhook(tenant, Webhook(url, secret))
    elif remove:
        tenants.set_webhook(tenant, None)
    told_at = tenants.webhook(tenant)
    values = {"tenant": tenant, "url": told_at.url if told_at else None} | ({"secret": secret} if secret else {})
    if as_json:
        say(json.dumps(values))
    else:
        say(f"{tenant} has the webhook {told_at.url}" if told_at else f"{tenant} has no webhook")
        if secret:
            say(f"secret, shown only once: {secret}")


@app.command()
def sender(
    tenant: Tenant,
    pattern: Annotated[str | None, typer.Argument(help="Address or @domain to send from.")] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Remove the address or @domain.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the addresses that a tenant may send from; an argument adds one first. Without any, all that no other tenant has."""
    senders = Opened().senders
    tenant_named(tenant)
    if pattern is not None:
        try:
            wanted = sender_pattern(pattern)
        except ValueError as error:
            raise ConfigurationError(f"a sender must be an address or @domain: {error}") from None
        if not remove:
            senders.allow(tenant, wanted)
        elif not senders.forbid(tenant, wanted):
            raise ConfigurationError(f"{tenant} has no sender {wanted}")
    patterns = senders.patterns(tenant)
    if as_json:
        say(json.dumps({"tenant": tenant, "patterns": patterns}))
    else:
        say(f"{tenant} may send from {', '.join(patterns) or 'any address that no other tenant has'}")
