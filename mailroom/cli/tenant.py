"""Tenants: the policy for suspicious mail, the webhook for received mail, the addresses to send from, unsubscribing."""

import json
import secrets
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from mailroom.cli._app import AsJson, say
from mailroom.cli._installation import Opened, tenant_named
from mailroom.domain.delivery.streams import Scope, UnsubscribePolicy, policy_faults
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


@app.command()
def streams(
    tenant: Tenant,
    covers: Annotated[
        Scope | None, typer.Option(help="What an unsubscribe covers: stream (its message's) or not_transactional.")
    ] = None,
    transactional: Annotated[
        list[str] | None, typer.Option(metavar="STREAM", help="Stream that no unsubscribe withholds; repeat it.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="The sender's name on the unsubscribe page.")] = None,
    text: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Text of the unsubscribe page: plain, in UTF-8.")
    ] = None,
    group: Annotated[
        list[str] | None,
        typer.Option(metavar="NUMBER=STREAM", help="Stream of a provider's unsubscribe group; repeat it."),
    ] = None,
    reset: Annotated[bool, typer.Option("--reset", help="Back to the default before the options apply.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show or set what an unsubscribe from a tenant's mail covers, and what its unsubscribe page says.

    A stream is what a recipient leaves: a batch names one, or is in the stream of its lane, `transactional` or `bulk`.

    \b
    mailroom tenant streams acme --transactional receipts --transactional codes
    mailroom tenant streams acme --covers not_transactional --name "Acme Shop"
    """
    unsubscribing = Opened().unsubscribing
    before = UnsubscribePolicy() if reset else unsubscribing.policy(tenant_named(tenant))
    written: dict[str, Any] = {"covers": covers, "name": name, "text": _read_text(text) if text else None}
    written["transactional"] = tuple(dict.fromkeys(transactional)) if transactional else None
    written["groups"] = dict(one.partition("=")[::2] for one in group) if group else None
    changes = {field: value for field, value in written.items() if value is not None}
    policy = replace(before, **changes)
    if faults := policy_faults(policy):
        raise ConfigurationError("; ".join(f"{field}: {what}" for field, what in faults))
    if changes or reset:
        unsubscribing.set_policy(tenant_named(tenant), policy)
    values = {
        "covers": policy.covers.value,
        "transactional": list(policy.transactional),
        "name": policy.name,
        "text": policy.text,
        "groups": dict(policy.groups),
    }
    if as_json:
        say(json.dumps({"tenant": tenant, **values}))
    else:
        values["transactional"] = ["transactional", *policy.transactional]
        for field, value in values.items():
            said = value if isinstance(value, str) else ", ".join(f"{one}" for one in _said(value))
            say(f"{field:<14} {said or 'not set'}")


def _said(value: Any) -> list[str]:
    return [f"{group}={stream}" for group, stream in value.items()] if isinstance(value, dict) else value


def _read_text(file: Path) -> str:
    try:
        return file.read_text("utf-8-sig").replace("\r\n", "\n").strip()
    except (OSError, UnicodeDecodeError):
        raise ConfigurationError(f"{file}: it cannot be read as text in UTF-8") from None
