"""People: who may sign in to the pages, as what, and which inboxes they read.

\b
    mailroom user add ops@example.com --role operator
    mailroom user add ada@acme.test --tenant acme --role administrator
    mailroom user add bob@acme.test --tenant acme --inbox invoices@acme.test
    mailroom user list --tenant acme
    mailroom user inbox bob@acme.test --give @sales.acme.test --take invoices@acme.test
    mailroom user remove bob@acme.test
    mailroom user link ops@example.com       prints a link that signs in, once
    mailroom user trail --tenant acme        who saw and did what

\b
A role says what a person may do:
    member          reads the inboxes given by --inbox
    archivist       reads the archived documents of the tenant
    administrator   everything of the tenant: people, keys, addresses, mail
    operator        everything of the installation; without --tenant

People sign in with a link by mail, once each; there are no passwords. Every change counts from the next page on.
"""

import json
from datetime import datetime
from typing import Annotated, Any

import typer

from mailroom.cli._app import AsJson, say
from mailroom.cli._installation import Opened, tenant_named
from mailroom.domain.api_keys import BY_COMMAND
from mailroom.domain.errors import ConfigurationError, Conflict
from mailroom.domain.people import Role, person_address, read_inboxes, read_role, role_in
from mailroom.domain.trail import What, sentence
from mailroom.ports.inbox_reader import arrives_here
from mailroom.ports.people import LINK_LASTS, NewPerson, Person
from mailroom.ports.trail import Entry, NewEntry

app = typer.Typer(help=__doc__, rich_markup_mode=None, add_completion=False, no_args_is_help=True)

_PAGE = 500
Address = Annotated[str, typer.Argument(help="The address by which the person signs in.")]
OfTenant = Annotated[str | None, typer.Option(help="Only of this tenant.")]
InTenant = Annotated[str | None, typer.Option("--tenant", help="The person of this tenant, where there are several.")]
AsOperator = Annotated[bool, typer.Option("--installation", help="The operator, where there are others too.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be; change nothing.")]


@app.command()
def add(
    address: Address,
    role: Annotated[str, typer.Option(help="member, archivist, administrator or operator.")] = Role.MEMBER,
    tenant: Annotated[str | None, typer.Option(help="The tenant; created if new. An operator has none.")] = None,
    inbox: Annotated[
        list[str] | None, typer.Option(help="An inbox that a member reads, or @domain; repeatable.")
    ] = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Add a person. Nothing is sent: the person asks for a link at /sign-in, or gets one from `mailroom user link`.

    \b
      mailroom user add ops@example.com --role operator
      mailroom user add bob@acme.test --tenant acme --inbox invoices@acme.test
    """
    wanted = _checked("--role", read_role, role)
    owner = _checked("--tenant", lambda name: role_in(wanted, name), tenant)
    inboxes = _checked("--inbox", read_inboxes, inbox or ())
    new = NewPerson(_checked("ADDRESS", person_address, address), wanted, owner, inboxes, BY_COMMAND)
    store = Opened().store
    if dry_run:
        if there := [one for one in store.people.with_address(new.address) if one.tenant == new.tenant]:
            raise ConfigurationError(f"nobody would be added: this address is a person already: {_sentence(there[0])}")
        values = {"address": new.address, "role": new.role, "tenant": new.tenant, "inboxes": list(new.inboxes)}
        say(json.dumps(values) if as_json else f"would be added: {new.address}, {_as_what(new.role, new.tenant)}")
        return
    try:
        person = store.people.add(new, NewEntry(What.PERSON_ADDED, BY_COMMAND))
    except Conflict as error:
        raise ConfigurationError(f"nobody was added: {error.message}") from None
    _say(person, "added", as_json=as_json)
    if not as_json and arrives_here(store.reader, person.address):
        say(
            "no link is mailed to this address: it is received here, so that a reader of its inbox could sign in as this"
            " person; use `mailroom user link`, or another address"
        )


@app.command("list")
def list_(tenant: OfTenant = None, as_json: AsJson = False) -> None:
    """List people: role, tenant, inboxes, when each was last seen, and the language and time zone that each chose."""
    people, after = list[Person](), None
    store = Opened().store
    while True:
        page = store.people.all(None if tenant is None else tenant_named(tenant), after=after, limit=_PAGE)
        people += page.lines
        if (after := page.next) is None:
            break
    if as_json:
        say(json.dumps([_values(one) for one in people], indent=1))
        return
    for one in people:
        say(_sentence(one))
    if not people:
        say("nobody; add somebody with `mailroom user add ADDRESS --tenant TENANT`")


@app.command()
def remove(
    address: Address,
    tenant: InTenant = None,
    installation: AsOperator = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Remove a person, who is signed out at once everywhere. What this person did stays in the trail; keys stay too.

    \b
      mailroom user remove bob@acme.test --dry-run
      mailroom user remove bob@acme.test
    """
    store = Opened().store
    person = _found(store.people, address, tenant, installation)
    if not dry_run:
        store.people.remove(None, person.id, NewEntry(What.PERSON_REMOVED, BY_COMMAND))
    _say(person, "would be removed" if dry_run else "removed", as_json=as_json)


@app.command()
def inbox(
    address: Address,
    give: Annotated[
        list[str] | None, typer.Option(help="An inbox to read from now on, or @domain; repeatable.")
    ] = None,
    take: Annotated[list[str] | None, typer.Option(help="An inbox to read no longer; repeatable.")] = None,
    tenant: InTenant = None,
    installation: AsOperator = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Give inboxes to a member, and take others.

    \b
      mailroom user inbox bob@acme.test --give @sales.acme.test --take invoices@acme.test
    """
    if not give and not take:
        raise ConfigurationError("use --give INBOX, --take INBOX, or both")
    given, taken = _checked("--give", read_inboxes, give or ()), _checked("--take", read_inboxes, take or ())
    store = Opened().store
    person = _found(store.people, address, tenant, installation)
    if dry_run:
        after = sorted({*person.inboxes, *given} - {*taken})
        say(
            json.dumps(_values(person) | {"inboxes": after})
            if as_json
            else f"would read: {', '.join(after) or 'nothing'}"
        )
        return
    changed: Person | None = person
    try:
        if given:
            changed = store.people.give(None, person.id, given, NewEntry(What.INBOXES_GIVEN, BY_COMMAND))
        if taken:
            changed = store.people.take(None, person.id, taken, NewEntry(What.INBOXES_TAKEN, BY_COMMAND))
    except Conflict as error:
        raise ConfigurationError(f"nothing was changed: {error.message}") from None
    _say(changed or person, "changed", as_json=as_json)


@app.command()
def role(
    address: Address,
    role: Annotated[str, typer.Argument(help="member, archivist or administrator.")],
    tenant: InTenant = None,
    installation: AsOperator = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Give a person of a tenant another role. An operator is removed and added again.

    \b
      mailroom user role ada@acme.test archivist
    """
    wanted, store = _checked("ROLE", read_role, role), Opened().store
    person = _found(store.people, address, tenant, installation)
    if wanted.is_of_a_tenant is not person.role.is_of_a_tenant:
        raise ConfigurationError("an operator belongs to no tenant: remove this person, and add one with the new role")
    entry = NewEntry(What.ROLE_CHANGED, BY_COMMAND)
    changed = person if dry_run else store.people.change_role(None, person.id, wanted, entry) or person
    _say(changed, f"would become {wanted}" if dry_run else "changed", as_json=as_json)


@app.command()
def link(
    address: Address,
    path: Annotated[str, typer.Option(help="The page to open then.")] = "/",
    tenant: InTenant = None,
    installation: AsOperator = False,
    as_json: AsJson = False,
) -> None:
    """Print a link that signs in as this person: once, within 15 minutes. It makes its holder this person.

    \b
      mailroom user link ops@example.com      the first operator, before mail is sent from here
    """
    opened = Opened()
    pages_at, store = opened.settings.pages_at, opened.store
    if not pages_at:
        raise ConfigurationError(
            "MAILROOM_PAGES_URL: set it to the https URL of the pages; nobody can sign in without it"
        )
    person = _found(store.people, address, tenant, installation)
    secret = store.links.make(person.id, path)
    if secret is None:
        raise ConfigurationError(f"{address}: no such person; see `mailroom user list`")
    store.trail.write(NewEntry(What.LINK_MADE, BY_COMMAND, person.tenant, person.id))
    url = f"{pages_at}/sign-in/{secret}"
    if as_json:
        say(json.dumps({"url": url, "address": person.address, "lasts_s": int(LINK_LASTS.total_seconds())}))
        return
    say(f"signs in as {_sentence(person)}")
    say(f"once, within {int(LINK_LASTS.total_seconds() // 60)} minutes: {url}")


@app.command()
def trail(
    tenant: OfTenant = None,
    address: Annotated[str | None, typer.Option("--by", help="Only what the person with this address did.")] = None,
    most: Annotated[int, typer.Option(min=1, max=_PAGE, help="How many entries.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Print who saw and did what, the newest first. `GET /v1/trail` has all pages.

    \b
      mailroom user trail --tenant acme --by ada@acme.test
    """
    store = Opened().store
    person_id = _found(store.people, address, tenant).id if address else None
    owner = None if tenant is None else tenant_named(tenant)
    page = store.trail.entries(owner, person_id=person_id, after=None, limit=most)
    if as_json:
        say(json.dumps([_entry_values(one) for one in page.lines], indent=1))
        return
    for one in page.lines:
        whose = f" of {one.tenant}" if one.tenant else ""
        say(
            f"{one.at.isoformat(timespec='seconds')}  {'key ' if one.key_id else ''}{one.who} {sentence(one.what)}{whose}{f': {one.of}' if one.of else ''}"
        )
    if not page.lines:
        say("nothing yet")


def _found(people: Any, written: str, tenant: str | None, installation: bool = False) -> Person:
    """Return the person with this address, of the tenant or the installation where that is said.

    Raises:
        ConfigurationError: there is none, or there are several.
    """
    if tenant is not None and installation:
        raise ConfigurationError("use one of --tenant and --installation")
    found: list[Person] = [
        one
        for one in people.with_address(_checked("ADDRESS", person_address, written))
        if (tenant is None or one.tenant == tenant) and not (installation and one.tenant)
    ]
    if not found:
        raise ConfigurationError(f"{written}: no such person; see `mailroom user list`")
    if len(found) > 1:
        raise ConfigurationError(
            f"{written} is {', '.join(one.of_what for one in found)}: say which with --tenant or --installation"
        )
    return found[0]


def _say(person: Person, what: str, *, as_json: bool) -> None:
    say(json.dumps(_values(person)) if as_json else f"{what}: {_sentence(person)}")


def _sentence(person: Person) -> str:
    reads = f", reads {', '.join(person.inboxes) or 'no inbox yet'}" if person.role is Role.MEMBER else ""
    seen = f"last seen {_when(person.last_seen_at)}" if person.last_seen_at else "never signed in"
    added = f"added {_when(person.created_at)} by {person.added_by}"
    chosen = ", ".join(one for one in (person.language, person.zone) if one)
    return f"{person.address}  {_as_what(person.role, person.tenant)}{reads}; {added}; {seen}{f'; pages: {chosen}' if chosen else ''}"


def _as_what(role: Role, tenant: str | None) -> str:
    return f"{role} of {tenant}" if tenant else f"{role} of the installation"


def _when(moment: datetime | None) -> str:
    return moment.isoformat(timespec="minutes") if moment else ""


def _values(person: Person) -> dict[str, Any]:
    names = ("id", "address", "role", "tenant", "added_by", "language", "zone")
    moments = {name: getattr(person, name) for name in ("created_at", "last_seen_at")}
    values: dict[str, Any] = {name: getattr(person, name) for name in names} | {"inboxes": list(person.inboxes)}
    return values | {name: one.isoformat() if one else None for name, one in moments.items()}


def _entry_values(entry: Entry) -> dict[str, Any]:
    names = ("id", "what", "who", "tenant", "of", "person_id", "key_id")
    return {"at": entry.at.isoformat()} | {name: getattr(entry, name) for name in names}


def _checked(where: str, read: Any, written: Any) -> Any:
    try:
        return read(written)
    except ValueError as error:
        raise ConfigurationError(f"{where}: {error}") from None
