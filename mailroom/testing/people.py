"""The ports `People`, `Sessions` and `SignInLinks` in memory."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from mailroom.domain.api_keys import MOST_SCOPES
from mailroom.domain.errors import Conflict
from mailroom.domain.people import Role, new_secret, secret_digest
from mailroom.ports.api_keys import Holder
from mailroom.ports.inbox_reader import Page, Position
from mailroom.ports.people import LINK_LASTS, LINKS_WITHIN, MOST_LINKS, MOST_PEOPLE, NewPerson, Person, SignIn
from mailroom.ports.trail import NewEntry, Trail
from mailroom.testing.trail import MemoryTrail

_NOTED = timedelta(minutes=1)


@dataclass(slots=True)
class MemoryPeople:
    """The port `People` over a dict by id, which the other doubles share."""

    by_id: dict[str, Person] = field(default_factory=dict)
    trail: Trail = field(default_factory=MemoryTrail)

    def add(self, new: NewPerson, entry: NewEntry | None = None) -> Person:
        """Add a person."""
        if any(one.tenant == new.tenant for one in self.with_address(new.address)):
            raise Conflict(f"this address is a person of {new.tenant or 'the installation'} already")
        if sum(one.tenant == new.tenant for one in self.by_id.values()) >= MOST_PEOPLE:
            raise Conflict("there are too many people")
        values = (new.address, new.role, new.tenant, new.inboxes, datetime.now(UTC), new.added_by)
        return self._changed(Person(str(uuid4()), *values), entry)

    def all(self, tenant: str | None, *, after: Position | None, limit: int) -> Page[Person]:
        """Return people, the newest first."""
        people = [one for one in self.by_id.values() if tenant in (None, one.tenant)]
        people.sort(key=lambda one: (one.created_at, one.id), reverse=True)
        left = [one for one in people if after is None or (one.created_at, one.id) < (after.received_at, after.id)]
        last = left[limit - 1] if len(left) > limit else None
        return Page(tuple(left[:limit]), Position(last.created_at, last.id) if last else None)

    def find(self, tenant: str | None, person_id: str) -> Person | None:
        """Return one person."""
        person = self.by_id.get(person_id)
        return person if person is not None and tenant in (None, person.tenant) else None

    def with_address(self, address: str) -> tuple[Person, ...]:
        """Return the people with this address."""
        found = [one for one in self.by_id.values() if one.address == address]
        return tuple(sorted(found, key=lambda one: one.tenant or ""))

    def give(
        self, tenant: str | None, person_id: str, inboxes: tuple[str, ...], entry: NewEntry | None = None
    ) -> Person | None:
        """Let a person read these inboxes too."""
        person = self.find(tenant, person_id)
        if person is None:
            return None
        all_ = tuple(sorted({*person.inboxes, *inboxes}))
        if len(all_) > MOST_SCOPES:
            raise Conflict("there are too many inboxes")
        return self._changed(replace(person, inboxes=all_), entry)

    def take(
        self, tenant: str | None, person_id: str, inboxes: tuple[str, ...], entry: NewEntry | None = None
    ) -> Person | None:
        """Let a person no longer read these inboxes."""
        person = self.find(tenant, person_id)
        left = tuple(one for one in person.inboxes if one not in inboxes) if person else ()
        return self._changed(replace(person, inboxes=left), entry) if person else None

    def change_role(
        self, tenant: str | None, person_id: str, role: Role, entry: NewEntry | None = None
    ) -> Person | None:
        """Give a person another role."""
        person = self.find(tenant, person_id)
        if person is not None and person.role.is_of_a_tenant is not role.is_of_a_tenant:
            raise Conflict("an operator belongs to no tenant")
        return self._changed(replace(person, role=role), entry) if person else None

    def choose(
        self, person_id: str, *, language: str | None, zone: str | None, entry: NewEntry | None = None
    ) -> Person | None:
        """Store a person's own language and time zone."""
        person = self.find(None, person_id)
        return self._changed(replace(person, language=language, zone=zone), entry) if person else None

    def remove(self, tenant: str | None, person_id: str, entry: NewEntry | None = None) -> Person | None:
        """Remove a person."""
        person = self.find(tenant, person_id)
        return self.by_id.pop(self._changed(person, entry).id) if person else None

    def _changed(self, person: Person, entry: NewEntry | None) -> Person:
        if entry is not None:
            self.trail.write(replace(entry, tenant=person.tenant, of=person.id))
        self.by_id[person.id] = person
        return person


@dataclass(slots=True)
class _Session:
    person_id: str
    idle: timedelta
    seen_at: datetime
    idle_ends_at: datetime
    ends_at: datetime
    has_ended: bool = False

    @property
    def works(self) -> bool:
        return not self.has_ended and datetime.now(UTC) < min(self.idle_ends_at, self.ends_at)


@dataclass(slots=True)
class _Link:
    person_id: str
    path: str
    asked_at: datetime
    sha256: str | None = None
    ends_at: datetime | None = None
    used: bool = False


@dataclass(slots=True)
class MemorySignInLinks:
    """The port `SignInLinks`."""

    people: MemoryPeople
    links: dict[str, _Link] = field(default_factory=dict)

    def ask(self, person_id: str, path: str) -> str | None:
        """Prepare a link."""
        since = datetime.now(UTC) - LINKS_WITHIN
        lately = [one for one in self.links.values() if one.person_id == person_id and one.asked_at > since]
        return self._prepared(person_id, path) if person_id in self.people.by_id and len(lately) < MOST_LINKS else None

    def issue(self, link_id: str, address: str) -> str | None:
        """Give a link its secret."""
        link, now = self.links.get(link_id), datetime.now(UTC)
        if link is None or link.used or link.asked_at <= now - LINKS_WITHIN:
            return None
        if link.person_id not in [one.id for one in self.people.with_address(address)]:
            return None
        secret = new_secret()
        link.sha256, link.ends_at = secret_digest(secret), now + LINK_LASTS
        return secret

    def make(self, person_id: str, path: str) -> str | None:
        """Make a link with its secret."""
        person = self.people.by_id.get(person_id)
        return self.issue(self._prepared(person_id, path), person.address) if person else None

    def find(self, sha256: str) -> SignIn | None:
        """Return who would sign in."""
        now = datetime.now(UTC)
        usable = [one for one in self.links.values() if not one.used and one.ends_at and one.ends_at > now]
        link = next((one for one in usable if one.sha256 == sha256), None)
        person = self.people.by_id.get(link.person_id) if link else None
        return SignIn(person, link.path) if link and person else None

    def take(self, sha256: str) -> SignIn | None:
        """Use a link up."""
        found = self.find(sha256)
        for link in self.links.values():
            link.used = link.used or link.sha256 == sha256
        return found

    def _prepared(self, person_id: str, path: str) -> str:
        link_id = str(uuid4())
        self.links[link_id] = _Link(person_id, path, datetime.now(UTC))
        return link_id


@dataclass(slots=True)
class MemorySessions:
    """The port `Sessions`."""

    people: MemoryPeople
    links: MemorySignInLinks
    sessions: dict[str, _Session] = field(default_factory=dict)

    def begin(self, person_id: str, *, idle: timedelta, lasts: timedelta) -> str | None:
        """Begin a session."""
        if person_id not in self.people.by_id:
            return None
        secret, now = new_secret(), datetime.now(UTC)
        self.sessions[secret_digest(secret)] = _Session(person_id, idle, now, now + idle, now + lasts)
        self._seen(person_id)
        return secret

    def holder(self, sha256: str) -> Holder | None:
        """Return the person of a session."""
        session = self.sessions.get(sha256)
        person = self.people.by_id.get(session.person_id) if session and session.works else None
        return person.holder() if person else None

    def touch(self, sha256: str) -> None:
        """Record that a session is used now."""
        session, now = self.sessions.get(sha256), datetime.now(UTC)
        if session is not None and session.works and session.seen_at < now - _NOTED:
            session.seen_at, session.idle_ends_at = now, now + session.idle
            self._seen(session.person_id)

    def end(self, sha256: str) -> None:
        """End a session."""
        if session := self.sessions.get(sha256):
            session.has_ended = True

    def end_all(self, person_id: str) -> int:
        """End all sessions of a person."""
        going = [one for one in self.sessions.values() if one.person_id == person_id and one.works]
        for session in going:
            session.has_ended = True
        for link in self.links.links.values():
            link.used = link.used or link.person_id == person_id
        return len(going)

    def _seen(self, person_id: str) -> None:
        if person := self.people.by_id.get(person_id):
            self.people.by_id[person_id] = replace(person, last_seen_at=datetime.now(UTC))
