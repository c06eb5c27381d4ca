"""Adding, changing and removing people for the page: what a holder may do to which person, each change stored with its entry in the trail."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from fastapi import HTTPException

from mailroom.api.key_making import Unusable
from mailroom.api.services import Services
from mailroom.api.sign_in import people_of
from mailroom.domain.errors import Conflict
from mailroom.domain.people import person_address, read_inboxes, read_role, role_in
from mailroom.domain.texts import Text
from mailroom.domain.trail import What
from mailroom.ports.api_keys import Holder
from mailroom.ports.people import NewPerson, Person
from mailroom.ports.trail import NewEntry

T = TypeVar("T")


def add_person(
    services: Services, holder: Holder, *, address: str, role: str, tenant: str | None, inboxes: Iterable[str]
) -> Person:
    """Add a person of the holder's tenant; the installation's operators add any, and others of their kind.

    Raises:
        HTTPException: 422, a field is not valid; 403, the holder may not; 409, the address is a person, or there are too many.
    """
    refuse_short_lived(holder)
    wanted = _read("role", read_role, role)
    owner = holder.tenant or tenant
    if holder.tenant is not None and not wanted.is_of_a_tenant:
        raise HTTPException(403, "Only an operator adds an operator.")
    new = NewPerson(
        _read("address", person_address, address),
        wanted,
        _read("tenant", lambda name: role_in(wanted, name), owner),
        _read("inboxes", read_inboxes, inboxes),
        holder.name,
    )
    return _kept(lambda: people_of(services).people.add(new, _entry(services, holder, What.PERSON_ADDED)))


def person_of(services: Services, holder: Holder, person_id: str) -> Person:
    """Return a person that this holder may change.

    Raises:
        HTTPException: 404, there is none; 403, the holder is a key that ends.
    """
    person = people_of(services).people.find(holder.tenant, person_id)
    if person is None:
        raise HTTPException(404, "Person not found.")
    refuse_short_lived(holder)
    return person


def change_inboxes(
    services: Services, holder: Holder, person: Person, *, give: Iterable[str], take: Iterable[str]
) -> None:
    """Give inboxes to a person and take others.

    Raises:
        HTTPException: 422, one is no address; 409, there would be too many.
    """
    people = people_of(services).people
    taken, given = _read("inboxes", read_inboxes, take), _read("inboxes", read_inboxes, give)
    if taken:
        people.take(holder.tenant, person.id, taken, _entry(services, holder, What.INBOXES_TAKEN))
    if given:
        entry = _entry(services, holder, What.INBOXES_GIVEN)
        _kept(lambda: people.give(holder.tenant, person.id, given, entry))


def change_role(services: Services, holder: Holder, person: Person, role: str) -> None:
    """Give a person another role of the tenant.

    Raises:
        HTTPException: 422, there is no such role; 409, it is another kind of person, or the holder.
    """
    wanted = _read("role", read_role, role)
    _refuse_oneself(holder, person)
    entry = _entry(services, holder, What.ROLE_CHANGED)
    _kept(lambda: people_of(services).people.change_role(holder.tenant, person.id, wanted, entry))


def remove_person(services: Services, holder: Holder, person: Person) -> None:
    """Remove a person, who is signed out everywhere.

    Raises:
        HTTPException: 409, it is the holder.
    """
    _refuse_oneself(holder, person)
    people_of(services).people.remove(holder.tenant, person.id, _entry(services, holder, What.PERSON_REMOVED))


def _entry(services: Services, holder: Holder, what: What) -> NewEntry | None:
    """Return what the trail will say of a change; None if the installation keeps none."""
    if services.trail is None:
        return None
    return holder.entry(what)


def refuse_short_lived(holder: Holder) -> None:
    """Return if the holder does not end: people have no end, and a key makes nothing that lasts longer than itself.

    Raises:
        HTTPException: 403.
    """
    if holder.ends_at is not None:
        raise HTTPException(403, "This key ends, and people do not: sign in, or use a key without an end.")


def _refuse_oneself(holder: Holder, person: Person) -> None:
    if holder.person_id == person.id:
        raise HTTPException(409, "This is you: another administrator, or an operator, must do it.")


def _read(where: str, read: Callable[[Any], T], written: Any) -> T:
    try:
        return read(written)
    except ValueError as error:
        raise Unusable(where, error.args[0]) from None


def _kept(change: Callable[[], T]) -> T:
    try:
        return change()
    except Conflict as error:
        raise HTTPException(409, Text("Nothing was changed: %(why)s.", why=error.message)) from None
