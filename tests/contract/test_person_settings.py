"""The language and time zone that a person chooses, on PostgreSQL: stored, shown on every page, and hostile forms refused."""

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine, text

from mailroom.adapters.postgres.tenants.people import SqlPeople
from mailroom.adapters.postgres.tenants.trail import SqlTrail
from mailroom.domain.languages import LANGUAGES, zones
from mailroom.domain.people import Role
from mailroom.domain.trail import What
from mailroom.outbound.sign_in_texts import subject_and_text
from mailroom.ports.people import NewPerson, People, Person
from mailroom.ports.trail import NewEntry, Trail
from mailroom.testing.api import BROWSER
from mailroom.testing.people import MemoryPeople
from mailroom.testing.trail import MemoryTrail
from tests.contract.test_people import NOWHERE
from tests.support.planted_tenants import OURS, Installation

FORM = {"Sec-Fetch-Site": "same-origin", **BROWSER}
GERMAN = {"language": "de", "zone": "Asia/Kolkata"}


@pytest.fixture
def on(engine: Engine) -> Installation:
    return Installation(engine)


def choose(on: Installation, sent: dict[str, str], **form: str) -> Any:
    return on.client.post("/settings", data=form, headers=sent | FORM)


def now_is(on: Installation, person: Person) -> Person:
    found = on.people.people.find(person.tenant, person.id)
    assert found
    return found


def test_a_choice_counts_on_every_page_at_once(on: Installation) -> None:
    """Lists, an item, a preview, an error, the sign-in page: whatever the browser asks for; without a choice as it asks."""
    anna = on.person("member", OURS, "anna@quokka.test")
    sent = on.signed_in(anna) | BROWSER | {"Accept-Language": "fr"}
    item = on.tenants[OURS].ids["item_id"]
    paths = ["/", "/inboxes", f"/items/{item}", f"/items/{item}/print", f"/items/{item}/attachments/1/preview"]
    paths += [f"/items/{item}/source", "/settings", "/people", "/items/none", "/sign-in"]
    assert {on.client.get(path, headers=sent).headers["content-language"] for path in paths} == {"fr"}
    here = on.client.get(f"/items/{item}", headers=sent).text

    answer = choose(on, sent, **GERMAN)

    assert (answer.status_code, answer.headers["location"]) == (303, "/settings?saved=1")
    assert {path: on.client.get(path, headers=sent).headers["content-language"] for path in paths} == dict.fromkeys(
        paths, "de"
    )
    there = on.client.get(f"/items/{item}", headers=sent).text
    assert "Asia/Kolkata, UTC+05:30" in there
    assert "Asia/Kolkata" not in here
    page = on.client.get("/settings?saved=1", headers=sent).text
    assert '<option value="Asia/Kolkata" selected>' in page
    assert '<option value="de" lang="de" selected>' in page
    assert choose(on, sent).status_code == 303
    assert (now_is(on, anna).language, now_is(on, anna).zone) == (None, None)
    assert on.client.get("/", headers=sent).headers["content-language"] == "fr"


def test_a_choice_is_of_one_person_alone(on: Installation) -> None:
    """Nor does the form choose for another: the person is the one who is signed in, and the trail says who it was."""
    anna, bob = on.person("member", OURS), on.person("administrator", OURS)

    choose(on, on.signed_in(anna), **GERMAN, person_id=bob.id, id=bob.id, tenant="numbat", address=bob.address)

    assert (now_is(on, anna).language, now_is(on, anna).zone) == ("de", "Asia/Kolkata")
    assert now_is(on, bob) == bob
    assert "Deutsch · Asia/Kolkata" in on.client.get("/people", headers=on.signed_in(bob) | BROWSER).text
    with on.engine.connect() as connection:
        rows = connection.execute(text("select who, of, tenant from trail where what = 'settings_chosen'")).all()
    assert [tuple(row) for row in rows] == [(anna.address, anna.id, OURS)]


HOSTILE = (
    {"zone": "Europe/Berlln"},
    {"zone": "../../etc/passwd"},
    {"zone": "Europe/../Europe/Berlin"},
    {"zone": "/usr/share/zoneinfo/UTC"},
    {"zone": "Europe/Berlin\x00"},
    {"zone": "x" * 10_000},
    {"zone": "europe/berlin"},
    {"zone": "Europe"},
    {"zone": "localtime"},
    {"zone": "Etc/GMT+5"},
    {"zone": "<script>alert(1)</script>"},
    {"zone": "\u202eEurope/Berlin"},
    {"language": "xx"},
    {"language": "DE"},
    {"language": "de\x00"},
    {"language": "../locales/de"},
    {"language": "d" * 10_000},
    {"language": "None"},
    {"language": "xx", "zone": "UTC"},
)


def test_a_hostile_choice_is_refused_and_stores_nothing(on: Installation) -> None:
    """Nothing of it is on the page either."""
    anna = on.person("member", OURS)
    sent = on.signed_in(anna)
    assert choose(on, sent, **GERMAN).status_code == 303

    answers = {str(form): choose(on, sent, **form) for form in HOSTILE}

    assert {form: one.status_code for form, one in answers.items()} == dict.fromkeys(answers, 422)
    assert [form for form, one in answers.items() if "der Liste." not in one.text] == []
    assert "alert(1)" not in "".join(one.text for one in answers.values())
    assert "xxx" not in "".join(one.text for one in answers.values())
    assert (now_is(on, anna).language, now_is(on, anna).zone) == ("de", "Asia/Kolkata")


def test_a_form_of_another_site_a_removed_person_and_a_key_choose_nothing(on: Installation) -> None:
    """Of a form with two values the first counts."""
    anna = on.person("member", OURS)
    session = on.signed_in(anna)
    foreign = on.client.post("/settings", data=GERMAN, headers=session | BROWSER | {"Sec-Fetch-Site": "cross-site"})
    key = {"Authorization": f"Bearer {on.key(OURS, 'administer')}"} | FORM
    by_key = [on.client.get("/settings", headers=key), on.client.post("/settings", data=GERMAN, headers=key)]
    twice = on.client.post("/settings", content="zone=UTC&zone=Europe/Paris", headers=session | FORM)

    assert (foreign.status_code, [one.status_code for one in by_key], twice.status_code) == (403, [404, 404], 303)
    assert (now_is(on, anna).language, now_is(on, anna).zone) == (None, "UTC")
    on.people.people.remove(None, anna.id)
    assert on.client.post("/settings", data=GERMAN, headers=session | FORM).headers["location"].startswith("/sign-in")


def test_a_stored_choice_that_this_release_does_not_know_is_none(on: Installation) -> None:
    """One of a later release, or of a machine with other zones: the pages are shown, the choice stays."""
    anna = on.person("member", OURS, "anna@quokka.test")
    sent = on.signed_in(anna) | BROWSER | {"Accept-Language": "fr"}
    for language, zone in (("tlh", "Mars/Olympus"), ("", ""), ("../de", "../../etc/passwd"), ("DE", "Etc/GMT+5")):
        with on.engine.begin() as connection:
            changed = text("update person set language = :language, zone = :zone where id = :id")
            connection.execute(changed, {"language": language, "zone": zone, "id": anna.id})
        for path in ("/", "/settings", f"/items/{on.tenants[OURS].ids['item_id']}"):
            answer = on.client.get(path, headers=sent)
            assert (answer.status_code, answer.headers["content-language"]) == (200, "fr")
        assert "Mailroom" in subject_and_text(now_is(on, anna), url="u", minutes=15)[0]
        assert (now_is(on, anna).language, now_is(on, anna).zone) == (language, zone)


def test_every_zone_of_the_list_can_be_chosen(on: Installation) -> None:
    """In each language the list has them all, and one of this machine's zones shows its pages."""
    sent = on.signed_in(on.person("member", OURS, "anna@quokka.test")) | BROWSER
    for language in LANGUAGES:
        choose(on, sent, language=language)
        page = on.client.get("/settings", headers=sent).text
        assert [zone for zone in zones() if f'<option value="{zone}"' not in page] == []
    assert {"Europe/Berlin", "America/Argentina/Buenos_Aires", "Pacific/Chatham", "Asia/Kathmandu"} <= {*zones()}
    for zone in zones()[::40]:
        assert choose(on, sent, zone=zone).status_code == 303
        assert on.client.get("/", headers=sent).status_code == 200


@pytest.mark.parametrize("kind", ["memory", "sql"])
def test_a_choice_is_stored_with_its_person(kind: str, request: pytest.FixtureRequest) -> None:
    """And replaced as a whole; None is no choice. It does not change what the person may do."""
    trail: Trail = MemoryTrail()
    people: People = MemoryPeople(trail=trail)
    if kind == "sql":
        engine = request.getfixturevalue("engine")
        people, trail = SqlPeople(engine), SqlTrail(engine)
    ada, bob = (
        people.add(NewPerson(one, Role.MEMBER, "acme", (one,), "cli")) for one in ("a@acme.test", "b@acme.test")
    )

    chosen = people.choose(ada.id, language="fr", zone="Europe/Paris", entry=NewEntry(What.SETTINGS_CHOSEN, "a"))

    assert chosen == replace(ada, language="fr", zone="Europe/Paris") == people.find("acme", ada.id)
    holder = chosen.holder()
    assert (holder.language, holder.zone and holder.zone.key) == ("fr", "Europe/Paris")
    assert holder.scopes == ada.holder().scopes
    assert people.find("acme", bob.id) == bob
    assert [one.of for one in trail.entries("acme", person_id=None, after=None, limit=5).lines] == [ada.id]
    again = people.choose(ada.id, language=None, zone=None)
    assert again == ada
    assert [people.choose(one, language="fr", zone=None) for one in NOWHERE] == [None] * len(NOWHERE)
