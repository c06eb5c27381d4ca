"""The archive's commands for retention rules and legal holds."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from getpass import getuser
from typing import Annotated, Any

import typer

from mailroom.archive.holding import place_hold, release_hold
from mailroom.cli._app import AsJson, say
from mailroom.cli._installation import Opened, tenant_named
from mailroom.domain.archive.holds import LegalHold
from mailroom.domain.archive.retention import FinalAction, RetentionRule, rule_fault, words_fault
from mailroom.domain.errors import ConfigurationError
from mailroom.domain.people import Role, person_address

rule_app = typer.Typer(
    help="Change a retention rule.", rich_markup_mode=None, add_completion=False, no_args_is_help=True
)

DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show what would be done.")]
As = Annotated[
    str | None,
    typer.Option("--as", help="The operator who does it, by address; by default the account of this session."),
]
Tenant = Annotated[str, typer.Option(help="The tenant whose deposit or e-mail it is.")]


def rules(
    all_: Annotated[bool, typer.Option("--all", help="Include earlier versions.")] = False, as_json: AsJson = False
) -> None:
    """List the retention rules: how long what is archived is locked, why, and what may happen then."""
    found = list(Opened().store.retention_rules.all())
    newest = {one.name: one for one in found}
    _show(found if all_ else list(newest.values()), as_json=as_json, none="no rules")


@rule_app.command("set")
def set_(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The rule, as `mailroom archive rules` shows it.")],
    days: Annotated[int, typer.Option(help="For how many days what is deposited from now on is locked.")],
    basis: Annotated[str, typer.Option(help="The legal basis, one line.")],
    action: Annotated[FinalAction | None, typer.Option(help="What may happen then; as before by default.")] = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Add a version of a rule. Locks that are set already stay; under COMPLIANCE a longer one cannot be undone."""
    if fault := rule_fault(name, days, basis):
        raise ConfigurationError(f"{name}: {fault}")
    known = Opened().store.retention_rules
    if not dry_run:
        added = known.add(name, days=days, basis=basis, by=getuser(), now=datetime.now(UTC), action=action)
        _show([added], as_json=as_json)
        return
    last = next((one for one in reversed(known.all()) if one.name == name), None)
    before = f"{last.days} days by {last.label}" if last else "no rule"
    say(
        json.dumps({"rule": name, "days": days, "before": last.days if last else None})
        if as_json
        else f"would be {days} days, now {before}"
    )


def hold(
    subject: Annotated[str, typer.Argument(metavar="ID", help="Archive id of a deposit, or id of a received e-mail.")],
    tenant: Tenant,
    reason: Annotated[str, typer.Option(help="Why, one line; stored with your name.")],
    as_: As = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Place a legal hold: nothing that it is about can be deleted, whatever its rule says, until another person releases it."""
    opened, tenant = Opened(), tenant_named(tenant)
    author = _person(opened, as_)
    if fault := words_fault(reason, "the reason"):
        raise ConfigurationError(fault)
    now, holds = datetime.now(UTC), opened.store.legal_holds
    planned = LegalHold(id="", tenant=tenant, subject=subject, author=author, reason=reason, placed_at=now)
    count = len(holds.deposits_of(planned))
    if not count:
        raise ConfigurationError(f"{subject}: {tenant} has no such deposit or e-mail in the archive")
    if dry_run:
        say(json.dumps({"deposits": count}) if as_json else f"would hold {_deposits(count)}")
        return
    placed = place_hold(
        subject,
        tenant=tenant,
        author=author,
        reason=reason,
        holds=holds,
        copies=opened.stored_archive.copies,
        now=now,
    )
    _show([placed], as_json=as_json)


def release(
    hold_id: Annotated[str, typer.Argument(metavar="ID", help="The hold, as `mailroom archive holds` shows it.")],
    reason: Annotated[str, typer.Option(help="Why, one line; stored with your name.")],
    as_: As = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Release a legal hold that another person placed; what other holds are about stays held."""
    opened = Opened()
    by = _person(opened, as_)
    holds = opened.store.legal_holds
    found = holds.find(hold_id)
    if found is None:
        raise ConfigurationError(f"{hold_id}: no such legal hold; see `mailroom archive holds`")
    if fault := found.release_fault(by, reason):
        raise ConfigurationError(f"{hold_id}: {fault}")
    if dry_run:
        count = len(holds.deposits_of(found))
        say(json.dumps({"deposits": count}) if as_json else f"would release the hold on {_deposits(count)}")
        return
    done = release_hold(
        hold_id, by=by, reason=reason, holds=holds, copies=opened.stored_archive.copies, now=datetime.now(UTC)
    )
    _show([done], as_json=as_json)


def holds(
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's.")] = None,
    all_: Annotated[bool, typer.Option("--all", help="Include released holds.")] = False,
    as_json: AsJson = False,
) -> None:
    """List legal holds: what they are about, who placed them and why."""
    found = Opened().store.legal_holds.all(tenant=tenant_named(tenant) if tenant else None, released=all_)
    _show(list(found), as_json=as_json, none="no legal holds")


def _person(opened: Opened, address: str | None) -> str:
    """Return who places or releases a hold: this session's account, or the operator with this address.

    Raises:
        ConfigurationError: nobody with this address is an operator.
    """
    if address is None:
        return getuser()
    try:
        known = person_address(address)
    except ValueError as error:
        raise ConfigurationError(f"{address!r}: {error}") from None
    for one in opened.store.people.with_address(known):
        if one.role is Role.OPERATOR:
            return one.address
    raise ConfigurationError(f"{address!r} is no operator here; see `mailroom user list`")


def _show(found: list[Any], *, as_json: bool, none: str = "") -> None:
    if as_json:
        say(json.dumps([asdict(one) for one in found], indent=1, default=datetime.isoformat))
        return
    for one in found:
        say(_rule(one) if isinstance(one, RetentionRule) else _hold(one))
    if not found:
        say(none)


def _rule(one: RetentionRule) -> str:
    return f"{one.label}  {one.days} days, then {one.action}  {one.basis}  (since {one.since:%Y-%m-%d}, {one.by})"


def _hold(one: LegalHold) -> str:
    ended = (
        f"; released {one.released_at:%Y-%m-%d %H:%M} by {one.released_by}: {one.release_reason}"
        if one.released_at
        else ""
    )
    return f"{one.id}  {one.tenant}  {one.subject}  since {one.placed_at:%Y-%m-%d %H:%M} UTC by {one.author}: {one.reason}{ended}"


def _deposits(count: int) -> str:
    return f"{count} deposit{'' if count == 1 else 's'}"
