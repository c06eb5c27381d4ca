"""Webhooks for events of messages: add, list, enable, replay, and show delivery attempts."""

import json
import secrets
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any, NoReturn
from uuid import uuid4

import typer

from mailroom.cli._app import AsJson, say
from mailroom.cli._installation import Opened, tenant_named
from mailroom.cli._times import since as time_of
from mailroom.domain.delivery.post_faults import PostFault
from mailroom.domain.delivery.tenant_webhooks import KINDS, USUAL, Disabled
from mailroom.domain.delivery.webhook_targets import TargetFault, WebhookTargets
from mailroom.domain.errors import ConfigurationError
from mailroom.ports.endpoints import Endpoint

app = typer.Typer(help=__doc__, rich_markup_mode=None, add_completion=False, no_args_is_help=True)

Id = Annotated[str, typer.Argument(metavar="ID", help="The webhook's id.")]


@app.command("list")
def list_(
    tenant: Annotated[str | None, typer.Option(help="Only webhooks of this tenant.")] = None, as_json: AsJson = False
) -> None:
    """List the webhooks: pending events, and which are failing, disabled, or refused by the settings."""
    opened = Opened()
    endpoints, targets = opened.store.endpoints.all(tenant), opened.settings.webhook_targets
    if as_json:
        say(json.dumps([_shown(one, targets) for one in endpoints], default=str))
        return
    for one in endpoints:
        say(f"{one.id}  {one.tenant:<16} {_state(one, targets):<28} {one.waiting:>6} waiting  {one.url}")
    for fault in sorted({fault for one in endpoints if (fault := targets.url_fault(one.url))}):
        say(f"refused, {fault}: {fault.sentence}")
    if not endpoints:
        say("no webhooks")


@app.command()
def add(
    tenant: Annotated[str, typer.Argument(help="The tenant's name.")],
    url: Annotated[str, typer.Argument(help="https URL that receives the events.")],
    event: Annotated[list[str] | None, typer.Option(help="Only this event, such as delivered; repeatable.")] = None,
    as_json: AsJson = False,
) -> None:
    """Send the events of a tenant's messages to a URL from now on. The secret is shown only once."""
    opened = Opened()
    targets = opened.settings.webhook_targets
    if fault := targets.url_fault(url):
        raise ConfigurationError(fault.sentence)
    if not set(event or ()) <= KINDS:
        raise ConfigurationError(f"unknown event; use {', '.join(sorted(KINDS))}")
    endpoint = Endpoint(
        id=str(uuid4()),
        tenant=tenant_named(tenant),
        url=url,
        secret=secrets.token_urlsafe(32),
        kinds=tuple(sorted(event or USUAL)),
        created_at=datetime.now(UTC),
    )
    opened.store.endpoints.add(endpoint)
    if as_json:
        say(json.dumps(_shown(endpoint, targets) | {"secret": endpoint.secret}, default=str))
    else:
        say(f"{endpoint.id}  events of {endpoint.tenant} are sent to {url}")
        say(f"secret, shown only once: {endpoint.secret}")


@app.command()
def remove(webhook_id: Id, as_json: AsJson = False) -> None:
    """Remove a webhook and its pending events."""
    if not Opened().store.endpoints.remove(None, webhook_id):
        _unknown()
    say(json.dumps({"removed": webhook_id}) if as_json else f"{webhook_id} removed")


@app.command()
def enable(webhook_id: Id, as_json: AsJson = False) -> None:
    """Enable a webhook again; pending events are sent first."""
    kept = Opened().store.endpoints
    if not kept.enable(None, webhook_id, now=datetime.now(UTC)):
        _unknown()
    waiting = sum(one.waiting for one in kept.all(None) if one.id == webhook_id)
    say(json.dumps({"enabled": webhook_id, "waiting": waiting}) if as_json else f"{waiting} events pending")


@app.command()
def replay(
    webhook_id: Id,
    since: Annotated[str, typer.Option(help="Events since: 2026-11-21T08:00, or 2h, 3d.")],
    as_json: AsJson = False,
) -> None:
    """Send events again, delivered or not, with their original ids and sequence numbers."""
    start = time_of(since)
    if start is None:
        raise ConfigurationError("give a time with --since")
    count = Opened().store.endpoints.replay(None, webhook_id, since=start, until=datetime.now(UTC))
    if count is None:
        _unknown()
    say(json.dumps({"events": count}) if as_json else f"{count} events are sent again")


@app.command()
def log(
    webhook_id: Id,
    most: Annotated[int, typer.Option(help="Show at most this many.", min=1, max=10_000)] = 50,
    as_json: AsJson = False,
) -> None:
    """Show the latest delivery attempts, newest first."""
    attempts = Opened().store.endpoints.attempts(None, webhook_id, limit=most)
    if attempts is None:
        _unknown()
    if as_json:
        say(json.dumps([asdict(one) | PostFault.of_attempt(one.fault) for one in attempts], default=str))
        return
    for one in attempts:
        known = PostFault.read(one.fault)
        word = f"{known.value}: {known.sentence}" if known else one.fault or "delivered"
        outcome = f"{one.status or ''} {word}".strip()
        say(f"{one.at.isoformat(timespec='seconds')}  {one.news:>4} events  {one.first}-{one.last}  {outcome}")
    for fault in TargetFault:
        if any(one.fault == fault for one in attempts):
            say(f"{fault}: {fault.sentence}")
    if not attempts:
        say("no attempts yet")


def _shown(endpoint: Endpoint, targets: WebhookTargets) -> dict[str, Any]:
    shown = {name: value for name, value in asdict(endpoint).items() if name != "secret"}
    fault = targets.url_fault(endpoint.url)
    return shown | Disabled.advise(endpoint.reason) | {"fault": fault.sentence if fault else None}


def _state(endpoint: Endpoint, targets: WebhookTargets) -> str:
    if endpoint.disabled_at is not None:
        known = Disabled.read(endpoint.reason)
        return f"disabled: {endpoint.reason}" + (f" ({known.sentence}; {known.remedy})" if known else "")
    if fault := targets.url_fault(endpoint.url):
        return f"refused: {fault}"
    return "failing" if endpoint.failing_since is not None else "active"


def _unknown() -> NoReturn:
    raise ConfigurationError("no such webhook; see `mailroom webhooks list`")
