"""People, their sessions, and the one-time links by which they sign in.

A person is an address in one tenant, or in the installation. The same address may be a person of others too, which nobody of
one tenant learns: a link is of one of them, so it says whose session begins. Secrets are never stored; their SHA-256 is. What names a tenant does so as in `mailroom.ports.api_keys`: None is all. Every call may raise
`TransientError`.

`entry` is what the trail says of a change, about the person. It is stored with the change or neither is.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from mailroom.domain.languages import zone_named
from mailroom.domain.people import Role, scopes_of
from mailroom.ports.api_keys import Holder
from mailroom.ports.inbox_reader import Page, Position
from mailroom.ports.trail import NewEntry

#: The most people of a tenant, or of the installation.
MOST_PEOPLE = 5_000
#: How long a sign-in link works, and how many of one person are made within `LINKS_WITHIN`.
LINK_LASTS, MOST_LINKS, LINKS_WITHIN = timedelta(minutes=15), 5, timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class NewPerson:
    """A person to add. `tenant` None is an operator. `added_by` is a person's address, a key's name, or `cli`."""

    address: str
    role: Role
    tenant: str | None
    inboxes: tuple[str, ...]
    added_by: str


@dataclass(frozen=True, slots=True)
class Person:
    """Someone who may sign in. `inboxes` are kept for every role, and count for members. `last_seen_at`: see `Sessions.touch`.

    `language` and `zone` are the person's own choice for pages and mails; None is none.
    """

    id: str
    address: str
    role: Role
    tenant: str | None
    inboxes: tuple[str, ...]
    created_at: datetime
    added_by: str
    last_seen_at: datetime | None = None
    language: str | None = None
    zone: str | None = None

    @property
    def of_what(self) -> str:
        """Return role and tenant for people: `member of acme`."""
        return f"{self.role} of {self.tenant or 'the installation'}"

    def holder(self) -> Holder:
        """Return what this person may do, as for the owner of a key."""
        scopes = scopes_of(self.role, self.inboxes)
        return Holder(
            self.address,
            self.tenant,
            scopes,
            role=self.role,
            person_id=self.id,
            language=self.language,
            zone=zone_named(self.zone),
        )


class People(Protocol):
    """Who may sign in."""

    def add(self, new: NewPerson, entry: NewEntry | None = None) -> Person:
        """Add a person, and the tenant when that is new.

        Raises:
            Conflict: the address is a person of the tenant already, or there are `MOST_PEOPLE`.
        """

    def all(self, tenant: str | None, *, after: Position | None, limit: int) -> Page[Person]:
        """Return people, the newest first."""

    def find(self, tenant: str | None, person_id: str) -> Person | None:
        """Return one person; None for an unknown or malformed id, or another tenant's."""

    def with_address(self, address: str) -> tuple[Person, ...]:
        """Return the people with this normalised address: an operator first, then by the names of tenants."""

    def give(
        self, tenant: str | None, person_id: str, inboxes: tuple[str, ...], entry: NewEntry | None = None
    ) -> Person | None:
        """Let a person read these inboxes too; None as for `find`.

        Raises:
            Conflict: the person would have too many.
        """

    def take(
        self, tenant: str | None, person_id: str, inboxes: tuple[str, ...], entry: NewEntry | None = None
    ) -> Person | None:
        """Let a person no longer read these inboxes; None as for `find`."""

    def change_role(
        self, tenant: str | None, person_id: str, role: Role, entry: NewEntry | None = None
    ) -> Person | None:
        """Give a person of a tenant another role of it; None as for `find`.

        Raises:
            Conflict: an operator stays one, and nobody of a tenant becomes one.
        """

    def choose(
        self, person_id: str, *, language: str | None, zone: str | None, entry: NewEntry | None = None
    ) -> Person | None:
        """Store a person's own language and time zone, None for no choice; return the person, None as for `find`."""

    def remove(self, tenant: str | None, person_id: str, entry: NewEntry | None = None) -> Person | None:
        """Remove a person with all sessions and links; return who it was, None as for `find`."""


class Sessions(Protocol):
    """Who is signed in. What a holder may do is read with each request, so every change counts from the next one on."""

    def begin(self, person_id: str, *, idle: timedelta, lasts: timedelta) -> str | None:
        """Begin a session that ends after `idle` without a request, and after `lasts`; return its secret.

        None: there is no such person any more.
        """

    def holder(self, sha256: str) -> Holder | None:
        """Return the person of the session with this SHA-256; None for an unknown or ended session, or a removed person."""

    def touch(self, sha256: str) -> None:
        """Record that a session is used now, at most once a minute: it and its person were seen, and the idle time begins again."""

    def end(self, sha256: str) -> None:
        """End a session; nothing is done for one that has ended."""

    def end_all(self, person_id: str) -> int:
        """End all sessions of a person and make the sign-in links useless; return how many sessions ended."""


@dataclass(frozen=True, slots=True)
class SignIn:
    """Who signs in with a link, and the local path of the page to open then."""

    person: Person
    path: str


class SignInLinks(Protocol):
    """One-time links: each for one person, used once, within `LINK_LASTS` of getting its secret.

    A link that goes by mail gets its secret only when the mail is sent: the secret is in no stored content.
    """

    def ask(self, person_id: str, path: str) -> str | None:
        """Prepare a link that goes by mail; return its id, which signs in nobody.

        None: there is no such person, or `MOST_LINKS` were asked for within `LINKS_WITHIN`.
        """

    def issue(self, link_id: str, address: str) -> str | None:
        """Give a prepared link its secret for a mail to `address`, and return it; an earlier secret no longer works.

        None: the link is unknown, used, another person's, or was asked for longer than `LINKS_WITHIN` ago.
        """

    def make(self, person_id: str, path: str) -> str | None:
        """Make a link for the command, at once and without a limit; return its secret, None without such a person."""

    def find(self, sha256: str) -> SignIn | None:
        """Return who would sign in with the link, which stays usable; None as for `take`."""

    def take(self, sha256: str) -> SignIn | None:
        """Use a link up, and return who signs in; None for one that is unknown, used, or too old. Of two calls one gets it."""
