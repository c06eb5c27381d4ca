"""The ports `People`, `Sessions`, `SignInLinks` and `Trail`, in memory and on PostgreSQL."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mailroom.adapters.postgres.tenants import people as sql
from mailroom.adapters.postgres.tenants.people import SqlPeople, SqlSessions, SqlSignInLinks
from mailroom.adapters.postgres.tenants.trail import SqlTrail
from mailroom.domain.errors import Conflict
from mailroom.domain.people import Role, secret_digest
from mailroom.domain.trail import What
from mailroom.ports.people import NewPerson, People, Person, Sessions, SignInLinks
from mailroom.ports.trail import NewEntry, Trail
from mailroom.testing import people as memory
from mailroom.testing.people import MemoryPeople, MemorySessions, MemorySignInLinks
from mailroom.testing.trail import MemoryTrail
from tests.support.signed_in import person_with

LONG, OVER = timedelta(hours=1), timedelta(seconds=-1)
NOWHERE = ("", "x", "' or 1=1 --", "\x00", "00000000-0000-0000-0000-000000000000")


@dataclass
class Doors:
    """The ports of people, of one kind."""

    people: People
    sessions: Sessions
    links: SignInLinks
    trail: Trail

    def add(self, address: str = "ada@acme.test", role: Role = Role.MEMBER, **changes: Any) -> Person:
        values: dict[str, Any] = {"tenant": None if role is Role.OPERATOR else "acme", "inboxes": (), "added_by": "cli"}
        return self.people.add(NewPerson(address=address, role=role, **values | changes))

    def begin(self, person: Person, idle: timedelta = LONG, lasts: timedelta = LONG) -> str:
        secret = self.sessions.begin(person.id, idle=idle, lasts=lasts)
        assert secret
        return secret_digest(secret)


@pytest.fixture(params=["memory", "sql"])
def doors(request: pytest.FixtureRequest) -> Doors:
    if request.param == "memory":
        trail = MemoryTrail()
        people = MemoryPeople(trail=trail)
        links = MemorySignInLinks(people)
        return Doors(people, MemorySessions(people, links), links, trail)
    engine = request.getfixturevalue("engine")
    return Doors(SqlPeople(engine), SqlSessions(engine), SqlSignInLinks(engine), SqlTrail(engine))


def change_limits(monkeypatch: pytest.MonkeyPatch, **limits: Any) -> None:
    for name, value in limits.items():
        for module in (sql, memory):
            monkeypatch.setattr(module, name, value)


def test_a_person_is_found_by_address_and_id(doors: Doors) -> None:
    """With what the role allows, as for a key."""
    ada = doors.add(inboxes=("@sales.acme.test", "ada@acme.test"))

    assert person_with(doors.people, "ada@acme.test") == doors.people.find("acme", ada.id) == ada
    assert (ada.role, ada.tenant, ada.added_by, ada.last_seen_at) == (Role.MEMBER, "acme", "cli", None)
    holder = ada.holder()
    assert (holder.name, holder.tenant, holder.role, holder.person_id) == ("ada@acme.test", "acme", Role.MEMBER, ada.id)
    assert holder.scopes == ("inbox:@sales.acme.test", "inbox:ada@acme.test")
    assert person_with(doors.people, "bob@acme.test") is None


def test_an_address_is_one_person_of_each_tenant_and_of_the_installation(doors: Doors) -> None:
    """Nobody takes an address that another tenant needs, or learns that it is a person there."""
    roles = ((Role.OPERATOR, None), (Role.MEMBER, "acme"), (Role.ADMINISTRATOR, "other"))
    added = tuple(doors.add(role=role, tenant=tenant) for role, tenant in roles)

    for role, tenant in ((Role.OPERATOR, None), (Role.ARCHIVIST, "acme"), (Role.MEMBER, "other")):
        with pytest.raises(Conflict):
            doors.add(role=role, tenant=tenant)
    assert doors.people.with_address("ada@acme.test") == added
    assert [one.of_what for one in added] == [
        "operator of the installation",
        "member of acme",
        "administrator of other",
    ]


def test_a_link_and_a_session_are_of_one_of_the_people_of_an_address(doors: Doors) -> None:
    """What one tenant does to its person changes nothing at the other."""
    ours, theirs = doors.add(), doors.add(role=Role.ADMINISTRATOR, tenant="other")
    asked = doors.links.ask(theirs.id, "/")
    assert asked
    secret = doors.links.issue(asked, "ada@acme.test")
    sessions = {one.id: doors.begin(one) for one in (ours, theirs)}
    left = doors.links.make(ours.id, "/")

    doors.sessions.end_all(ours.id)
    doors.people.remove("acme", ours.id)

    assert left
    assert doors.links.take(secret_digest(left)) is None
    assert doors.sessions.holder(sessions[ours.id]) is None
    holder = doors.sessions.holder(sessions[theirs.id])
    assert holder
    assert (holder.tenant, holder.person_id) == ("other", theirs.id)
    assert secret
    taken = doors.links.take(secret_digest(secret))
    assert taken
    assert taken.person.id == theirs.id


def test_a_change_and_its_entry_are_stored_together(doors: Doors) -> None:
    """With whose person it was; a change of nobody is not written."""
    entry = NewEntry(What.ROLE_CHANGED, "root@acme.test")
    ada = doors.people.add(
        NewPerson("ada@acme.test", Role.MEMBER, "acme", (), "cli"), replace(entry, what=What.PERSON_ADDED)
    )
    with pytest.raises(Conflict):
        doors.people.add(NewPerson("ada@acme.test", Role.MEMBER, "acme", (), "cli"), entry)
    for tenant in ("other", "acme"):
        doors.people.give(tenant, ada.id, ("a@acme.test",), replace(entry, what=What.INBOXES_GIVEN))
        doors.people.take(tenant, ada.id, ("a@acme.test",), replace(entry, what=What.INBOXES_TAKEN))
        doors.people.change_role(tenant, ada.id, Role.ARCHIVIST, entry)
        doors.people.remove(tenant, ada.id, replace(entry, what=What.PERSON_REMOVED))

    written = doors.trail.entries("acme", after=None, limit=9).lines
    assert [one.what for one in reversed(written)] == [
        "person_added", "inboxes_given", "inboxes_taken", "role_changed", "person_removed",
    ]  # fmt: skip
    assert {(one.of, one.who) for one in written} == {(ada.id, "root@acme.test")}
    assert doors.trail.entries(None, after=None, limit=9).lines == written


def test_no_tenant_sees_or_changes_anothers_people(doors: Doors) -> None:
    """Nor operators; and malformed ids are as unknown ones."""
    ada, root = doors.add(), doors.add("root@mail.test", Role.OPERATOR)
    eve = doors.add("eve@other.test", tenant="other")

    assert [one.id for one in doors.people.all("acme", after=None, limit=9).lines] == [ada.id]
    assert {one.id for one in doors.people.all(None, after=None, limit=9).lines} == {ada.id, root.id, eve.id}
    for no_id in (eve.id, root.id, *NOWHERE):
        assert doors.people.find("acme", no_id) is None
        assert doors.people.remove("acme", no_id) is None
        assert doors.people.give("acme", no_id, ("a@acme.test",)) is None
        assert doors.people.take("acme", no_id, ("a@acme.test",)) is None
        assert doors.people.change_role("acme", no_id, Role.ADMINISTRATOR) is None
    assert doors.people.find(None, eve.id) == eve


def test_pages_of_people_join(doors: Doors) -> None:
    """The newest first, each once."""
    made = [doors.add(f"{name}@acme.test").id for name in "abcde"]

    seen, after = [], None
    while True:
        page = doors.people.all("acme", after=after, limit=2)
        seen += [one.id for one in page.lines]
        if (after := page.next) is None:
            break

    assert sorted(seen) == sorted(made)


def test_inboxes_are_given_and_taken(doors: Doors, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each once, up to a limit; taking what is not there changes nothing."""
    ada = doors.add(inboxes=("b@acme.test",))
    change_limits(monkeypatch, MOST_SCOPES=2)

    given = doors.people.give("acme", ada.id, ("a@acme.test", "b@acme.test"))
    with pytest.raises(Conflict):
        doors.people.give(None, ada.id, ("c@acme.test",))
    taken = doors.people.take("acme", ada.id, ("b@acme.test", "z@acme.test"))

    assert given is not None
    assert given.inboxes == ("a@acme.test", "b@acme.test")
    assert taken is not None
    assert taken.inboxes == ("a@acme.test",)


def test_a_role_changes_within_the_tenant_only(doors: Doors) -> None:
    """Nobody becomes an operator who was added as a person of a tenant."""
    ada, root = doors.add(), doors.add("root@mail.test", Role.OPERATOR)

    changed = doors.people.change_role("acme", ada.id, Role.ADMINISTRATOR)
    for person, role in ((ada, Role.OPERATOR), (root, Role.MEMBER)):
        with pytest.raises(Conflict):
            doors.people.change_role(None, person.id, role)

    assert changed is not None
    assert changed.holder().scopes == ("administer",)


def test_people_are_bounded(doors: Doors, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each tenant, and of the installation."""
    change_limits(monkeypatch, MOST_PEOPLE=1)
    doors.add()
    doors.add("root@mail.test", Role.OPERATOR)
    doors.add("eve@other.test", tenant="other")

    with pytest.raises(Conflict):
        doors.add("bob@acme.test")
    with pytest.raises(Conflict):
        doors.add("second@mail.test", Role.OPERATOR)


def test_a_session_is_the_person_as_of_now(doors: Doors) -> None:
    """A role or an inbox that changes, and a removal, count from the next request on."""
    ada = doors.add(inboxes=("a@acme.test",))
    session = doors.begin(ada)

    assert doors.sessions.holder(session) == ada.holder()
    doors.people.take("acme", ada.id, ("a@acme.test",))
    holder = doors.sessions.holder(session)
    assert holder is not None
    assert holder.scopes == ()
    doors.people.change_role("acme", ada.id, Role.ARCHIVIST)
    holder = doors.sessions.holder(session)
    assert holder is not None
    assert (holder.scopes, holder.role) == (("archive",), Role.ARCHIVIST)
    assert doors.people.remove("acme", ada.id) is not None
    assert doors.sessions.holder(session) is None
    assert doors.sessions.begin(ada.id, idle=LONG, lasts=LONG) is None


def test_a_person_who_is_added_again_is_not_signed_in(doors: Doors) -> None:
    """A new person with an old address has no old session and no old link."""
    ada = doors.add()
    session, secret = doors.begin(ada), doors.links.make(ada.id, "/")
    doors.people.remove(None, ada.id)
    doors.add()

    assert secret is not None
    assert doors.sessions.holder(session) is None
    assert doors.links.find(secret_digest(secret)) is None
    assert doors.links.take(secret_digest(secret)) is None


@pytest.mark.parametrize(("idle", "lasts"), [(OVER, LONG), (LONG, OVER)])
def test_a_session_ends_by_idleness_and_at_last(doors: Doors, idle: timedelta, lasts: timedelta) -> None:
    """Whichever comes first, and no use brings it back."""
    session = doors.begin(doors.add(), idle, lasts)

    doors.sessions.touch(session)

    assert doors.sessions.holder(session) is None


def test_signing_out_ends_one_session_and_everywhere_all(doors: Doors) -> None:
    """Of this person alone; links that were not used go too, so that a stolen mailbox gets nothing by an older mail."""
    ada, bob = doors.add(), doors.add("bob@acme.test")
    first, second, third, his = (doors.begin(one) for one in (ada, ada, ada, bob))
    asked, secret = doors.links.ask(ada.id, "/"), doors.links.make(ada.id, "/")
    assert asked
    assert secret

    doors.sessions.end(first)
    assert doors.sessions.holder(first) is None
    assert doors.sessions.holder(second) is not None
    assert doors.sessions.end_all(ada.id) == 2

    assert doors.sessions.holder(third) is None
    assert doors.sessions.holder(his) is not None
    assert doors.links.find(secret_digest(secret)) is None
    assert doors.links.issue(asked, "ada@acme.test") is None
    assert doors.sessions.end_all(ada.id) == doors.sessions.end_all("x") == 0
    doors.sessions.end("unknown")


def test_a_session_is_found_by_its_digest_alone(doors: Doors) -> None:
    """The secret itself, an empty word and a guess are nobody's."""
    ada = doors.add()
    secret = doors.sessions.begin(ada.id, idle=LONG, lasts=LONG)
    assert secret

    assert doors.sessions.holder(secret_digest(secret)) is not None
    for wrong in (secret, "", "x", secret_digest(secret).upper()):
        assert doors.sessions.holder(wrong) is None
        doors.sessions.touch(wrong)


def test_beginning_a_session_shows_when_the_person_was_seen(doors: Doors) -> None:
    """For the list of people."""
    ada = doors.add()

    doors.begin(ada)

    seen = doors.people.find(None, ada.id)
    assert seen is not None
    assert seen.last_seen_at is not None
    assert abs(datetime.now(UTC) - seen.last_seen_at) < timedelta(minutes=5)


def test_a_link_is_used_once(doors: Doors) -> None:
    """Looking at it first, as a scanner does, leaves it usable."""
    ada = doors.add()
    secret = doors.links.make(ada.id, "/items/1")
    assert secret
    digest = secret_digest(secret)

    looked, again = doors.links.find(digest), doors.links.find(digest)
    taken = doors.links.take(digest)

    assert looked == again == taken
    assert taken is not None
    assert (taken.person, taken.path) == (ada, "/items/1")
    assert doors.links.take(digest) is None
    assert doors.links.find(digest) is None
    assert doors.links.take(secret) is None
    assert doors.links.make("x", "/") is None


def test_of_many_who_use_a_link_at_once_one_signs_in(doors: Doors) -> None:
    """The database decides."""
    secret = doors.links.make(doors.add().id, "/")
    assert secret

    with ThreadPoolExecutor(8) as threads:
        taken = list(threads.map(lambda _: doors.links.take(secret_digest(secret)), range(8)))

    assert sum(one is not None for one in taken) == 1


def test_a_link_ends(doors: Doors, monkeypatch: pytest.MonkeyPatch) -> None:
    """After some minutes, for a mail is stored in many places."""
    ada = doors.add()
    change_limits(monkeypatch, LINK_LASTS=OVER)
    secret = doors.links.make(ada.id, "/")
    assert secret

    assert doors.links.find(secret_digest(secret)) is None
    assert doors.links.take(secret_digest(secret)) is None


def test_a_link_by_mail_gets_its_secret_when_the_mail_is_sent(doors: Doors) -> None:
    """Its id signs in nobody; a mail that is sent once more has a new secret, and the one before is over."""
    asked = doors.links.ask(doors.add().id, "/x")
    assert asked

    doors.add("bob@acme.test")
    assert doors.links.issue(asked, "bob@acme.test") is None
    first, second = doors.links.issue(asked, "ada@acme.test"), doors.links.issue(asked, "ada@acme.test")

    assert first
    assert second
    assert doors.links.take(secret_digest(asked)) is None
    assert doors.links.take(asked) is None
    assert doors.links.take(secret_digest(first)) is None
    assert doors.links.take(secret_digest(second)) is not None
    assert doors.links.issue(asked, "ada@acme.test") is None
    for no_id in NOWHERE:
        assert doors.links.issue(no_id, "ada@acme.test") is None
        assert doors.links.ask(no_id, "/") is None


def test_a_link_that_was_asked_for_long_ago_gets_no_secret(doors: Doors, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for it any more, and an operator may send an old mail again."""
    asked = doors.links.ask(doors.add().id, "/")
    assert asked
    change_limits(monkeypatch, LINKS_WITHIN=timedelta(0))

    assert doors.links.issue(asked, "ada@acme.test") is None


def test_a_person_gets_few_mails(doors: Doors, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many ask for them; others are not held up, and the command has no limit."""
    change_limits(monkeypatch, MOST_LINKS=2)
    ada, bob = doors.add(), doors.add("bob@acme.test")

    asked = [doors.links.ask(ada.id, "/") for _ in range(3)]

    assert [one is not None for one in asked] == [True, True, False]
    assert doors.links.ask(bob.id, "/") is not None
    assert doors.links.make(ada.id, "/") is not None


def test_the_trail_shows_a_tenant_what_was_done_to_its_things(doors: Doors) -> None:
    """Also by operators; and pages of it join."""
    ada = doors.add()
    doors.trail.write(NewEntry(What.SIGNED_IN, ada.address, "acme", person_id=ada.id))
    doors.trail.write(NewEntry(What.ITEM_OPENED, "root@mail.test", "acme", "item-1"))
    doors.trail.write(NewEntry(What.KEY_ADDED, "cli", None, "key-1"))

    first = doors.trail.entries("acme", after=None, limit=1)
    second = doors.trail.entries("acme", after=first.next, limit=1)

    assert [(one.what, one.who, one.of) for one in (*first.lines, *second.lines)] == [
        ("item_opened", "root@mail.test", "item-1"),
        ("signed_in", "ada@acme.test", None),
    ]
    assert second.next is None
    assert len(doors.trail.entries(None, after=None, limit=9).lines) == 3
    [his] = doors.trail.entries(None, person_id=ada.id, after=None, limit=9).lines
    assert his.what == "signed_in"
    assert doors.trail.entries(None, person_id="x", after=None, limit=9).lines == ()
