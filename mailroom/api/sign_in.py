"""Signing in by a one-time link: who gets one, and what is written of it. The pages: `mailroom.api.pages.sign_in`."""

import logging
from uuid import uuid4

from fastapi import HTTPException

from mailroom.api.services import OutboundServices, PeopleServices, Services
from mailroom.api.sessions import NOT_HERE
from mailroom.domain.errors import MailroomError
from mailroom.domain.people import person_address
from mailroom.domain.trail import What
from mailroom.outbound.sign_in_mail import send_link
from mailroom.ports.inbox_reader import arrives_here
from mailroom.ports.people import Person
from mailroom.ports.trail import NewEntry

log = logging.getLogger(__name__)

NO_SENDER = (
    "This installation sends no links by mail: MAILROOM_SIGN_IN_FROM and MAILROOM_SENDER are empty. "
    "Ask the operator for a link: mailroom user link ADDRESS."
)


def people_of(services: Services) -> PeopleServices:
    """Return the ports of people.

    Raises:
        HTTPException: 404, signing in is not set up here; the message says what the operator must set.
    """
    if services.people is None or not services.settings.pages_at:
        raise HTTPException(404, NOT_HERE)
    return services.people


def link_sender(services: Services) -> str:
    """Return the sender of mails with links.

    Raises:
        HTTPException: 404, there is none; whichever address was typed.
    """
    settings = services.settings
    sender = settings.sign_in_from or settings.sender
    if services.sending is None or not sender:
        raise HTTPException(404, NO_SENDER)
    return sender


def mail_link(services: Services, written: str, path: str) -> None:
    """Send a link for each person that this address is and who got few so far. It runs after the response, which says nothing of it.

    An address that this installation receives gets none: the link would lie in an inbox that other people and keys read, and
    make them this person. A failure is logged without the address; the person asks again.
    """
    people, sending = services.people, services.sending
    if people is None or sending is None:
        return
    try:
        found = people.people.with_address(person_address(written))
    except ValueError:
        return
    except MailroomError as error:
        log.error("a sign-in link cannot be sent: %s", error)
        return
    for person in found:
        try:
            _mail_to(services, people, sending, person, path)
        except MailroomError as error:
            log.error("a sign-in link cannot be sent: %s", error)


def _mail_to(services: Services, people: PeopleServices, sending: OutboundServices, person: Person, path: str) -> None:
    if arrives_here(services.reader, person.address):
        log.error("person %s gets no sign-in link by mail: this installation receives the address", person.id)
        return
    link_id = people.links.ask(person.id, path)
    if link_id is None:
        return
    send_link(
        link_id,
        person,
        pages_at=services.settings.pages_at,
        sender=link_sender(services),
        now=services.now(),
        new_id=lambda: str(uuid4()),
        outbox=sending.outbox,
        archive=services.archive,
    )
    sending.submitted.set()
    note(services, What.LINK_ASKED, person)


def note(services: Services, what: What, person: Person) -> None:
    """Write into the trail what a person did by signing in or out."""
    if services.trail is not None:
        services.trail.write(NewEntry(what, person.address, person.tenant, person.id, person_id=person.id))
