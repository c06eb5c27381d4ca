"""Browsers of people who are signed in, for tests of the pages."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from fastapi import FastAPI

from mailroom.api.sessions import cookie_name
from mailroom.domain.people import Role
from mailroom.ports.people import NewPerson, Person
from mailroom.settings import Settings
from mailroom.testing.api import BROWSER, TestClient

#: What a browser says of a form on a page of ours.
OURS = {"Sec-Fetch-Site": "same-origin"}
OPERATOR = "ops@mail.test"


def add_person(people: Any, address: str, role: Role = Role.MEMBER, inboxes: Sequence[str] = ()) -> Person:
    """Add a person; an operator is of the installation, others are of the tenant that their domain names."""
    tenant = None if role is Role.OPERATOR else address.rpartition("@")[2].partition(".")[0]
    there = next((one for one in people.with_address(address) if one.tenant == tenant), None)
    added: Person = there or people.add(NewPerson(address, role, tenant, tuple(inboxes), "cli"))
    return added


def person_with(people: Any, address: str) -> Person | None:
    """Return the one person with this address; None without one."""
    found: list[Person] = [*people.with_address(address)]
    assert len(found) < 2
    return found[0] if found else None


def cookie_of(sessions: Any, settings: Settings, person: Person) -> dict[str, str]:
    """Return the cookie of a new session."""
    secret = sessions.begin(person.id, idle=timedelta(hours=1), lasts=timedelta(hours=1))
    assert secret
    return {cookie_name(settings): secret}


def signed_in(
    app: FastAPI, address: str = OPERATOR, role: Role = Role.OPERATOR, inboxes: Sequence[str] = ()
) -> TestClient:
    """Return the browser of a person who is signed in, on the application's own pages; by default an operator's."""
    services = app.state.services
    person = add_person(services.people.people, address, role, inboxes)
    return TestClient(
        app,
        base_url=services.settings.pages_at,
        headers=BROWSER,
        cookies=cookie_of(services.people.sessions, services.settings, person),
    )
