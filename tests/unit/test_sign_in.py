"""Signing in and out, on services in memory: links, sessions, who goes to which page, and what other sites may not do."""

import re
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from mailroom.api.app import create_app
from mailroom.domain.people import Role, secret_digest
from mailroom.testing.api import BROWSER, Memory, TestClient, an_item, two_tenants
from mailroom.testing.people import MemoryTrail
from tests.support.signed_in import OURS, add_person, cookie_of, person_with, signed_in
from tests.unit.test_api_pages import basic

HTTPS = "https://mail.example"
COOKIE = "__Host-mailroom"


@pytest.fixture
def memory() -> Memory:
    return two_tenants()


def app_of(memory: Memory, **settings: Any) -> Any:
    services = memory.services()
    changed = {"pages_url": HTTPS, "sender": "mail@mail.example"} | settings
    return create_app(replace(services, settings=services.settings.model_copy(update=changed)))


def browser(app: Any, **more: Any) -> TestClient:
    return TestClient(app, **{"base_url": HTTPS, "headers": BROWSER, "follow_redirects": False} | more)


def link_of(memory: Memory, address: str = "ada@acme.test", path: str = "/", **person: Any) -> str:
    made = memory.links.make(add_person(memory.people, address, **person).id, path)
    assert made
    return f"/sign-in/{made}"


def test_a_link_shows_a_button_and_the_button_signs_in_once(memory: Memory) -> None:
    """A scanner that opens it, however often, uses nothing up; and the person is sent to the page that was asked for."""
    app = app_of(memory)
    filed = memory.file(an_item())
    link = link_of(memory, path=f"/items/{filed.id}", inboxes=("ann@acme.test",))
    ada = browser(app)

    for _ in range(3):
        shown = ada.get(link)
        assert (shown.status_code, "ada@acme.test" in shown.text, "set-cookie" in shown.headers) == (200, True, False)
    done = ada.post(link, headers=OURS)

    assert (done.status_code, done.headers["location"]) == (303, f"/items/{filed.id}")
    words = done.headers["set-cookie"].lower()
    assert words.startswith(f"{COOKIE.lower()}=")
    for word in ("httponly", "secure", "path=/", "samesite=lax", "max-age=604800"):
        assert word in words
    assert "domain" not in words
    assert ada.get(done.headers["location"]).status_code == 200
    again = browser(app).post(link, headers=OURS)
    assert (again.status_code, "set-cookie" in again.headers) == (404, False)
    assert "used before" in again.text
    assert [one.what for one in memory.trail.written] == ["signed_in", "item_opened"]


@pytest.mark.parametrize("secret", ["x", "its-recipient-alone-gets-the-link", "a" * 5_000, "%00", "..%2f", "' or 1=1"])
def test_a_wrong_link_says_what_to_do(memory: Memory, secret: str) -> None:
    """It was cut in half, or is an old one."""
    pages = browser(app_of(memory))

    for answer in (pages.get(f"/sign-in/{secret}"), pages.post(f"/sign-in/{secret}", headers=OURS)):
        assert answer.status_code == 404
        assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("site", [None, "cross-site", "same-site", "none"])
def test_no_other_site_signs_anybody_in_or_out(memory: Memory, site: str | None) -> None:
    """Login CSRF would put a victim into the attacker's session; browsers name the site that has the form."""
    app = app_of(memory)
    pages, link = browser(app), link_of(memory)
    theirs = {} if site is None else {"Sec-Fetch-Site": site}

    refused = [pages.post(path, headers=theirs) for path in (link, "/sign-in", "/sign-out", "/sign-out/everywhere")]

    assert [one.status_code for one in refused] == [403] * 4
    assert browser(app).get(link).status_code == 200


def test_a_browser_goes_to_sign_in_and_a_program_is_asked_for_a_key(memory: Memory) -> None:
    """A browser that sends a wrong key sees 401; programs and `/v1` see what they saw before there were people."""
    app = app_of(memory)
    pages, program = browser(app), browser(app, headers={})

    away = pages.get("/inboxes/ann@acme.test?q=a%20b&cursor=")
    assert away.status_code == 303
    there = urlsplit(away.headers["location"])
    assert (there.path, there.netloc) == ("/sign-in", "")
    assert parse_qs(there.query)["next"] == ["/inboxes/ann@acme.test?q=a%20b&cursor="]
    assert pages.get(away.headers["location"]).status_code == 200
    assert pages.post("/keys", headers=OURS).headers["location"] == "/sign-in?next=%2F"
    for answer in (program.get("/"), pages.get("/", headers=basic("wrong")), pages.get("/sign-in-with-a-key")):
        assert (answer.status_code, answer.headers["www-authenticate"][:5]) == (401, "Basic")
    assert pages.get("/", headers=basic("acme")).status_code == 200
    assert pages.get("/sign-in-with-a-key", headers=basic("acme")).headers["location"] == "/"
    assert pages.get("/v1/inbound").status_code == 401


def test_where_nobody_can_sign_in_pages_are_as_before(memory: Memory) -> None:
    """Plain http that is not on this machine: the cookie could be read on its way."""
    pages = browser(app_of(memory, pages_url="", api_url="http://mail.internal"), base_url="http://mail.internal")

    assert pages.get("/").status_code == 401
    answer = pages.get("/sign-in")
    assert (answer.status_code, "MAILROOM_PAGES_URL" in answer.text) == (404, True)
    assert pages.get(link_of(memory)).status_code == 404


def test_a_session_opens_no_route_of_the_api(memory: Memory) -> None:
    """A cookie goes with every request that any site makes; a key does not."""
    app = app_of(memory)
    ada = signed_in(app, "ada@acme.test", Role.ADMINISTRATOR)

    assert ada.get("/keys").status_code == 200
    for path in ("/v1/keys", "/v1/inbound", "/v1/trail", "/v1/addresses"):
        assert ada.get(path).status_code == 401
    assert ada.post("/v1/keys", json={"name": "x", "scopes": ["send"]}, headers=OURS).status_code == 401


def test_each_role_sees_what_its_scopes_allow(memory: Memory) -> None:
    """The table of routes decides for people as for keys; what belongs to another tenant does not exist."""
    app = app_of(memory)
    ours, theirs = memory.file(an_item()), memory.file(an_item(tenant="other", recipient="bob@other.test"))
    seen = {}
    for address, role, inboxes in (
        ("member@acme.test", Role.MEMBER, ("ann@acme.test",)),
        ("nothing@acme.test", Role.MEMBER, ()),
        ("archivist@acme.test", Role.ARCHIVIST, ()),
        ("administrator@acme.test", Role.ADMINISTRATOR, ()),
        ("operator@mail.test", Role.OPERATOR, ()),
    ):
        person = signed_in(app, address, role, inboxes)
        paths = ("/", f"/items/{ours.id}", f"/items/{theirs.id}", "/quarantine", "/keys", "/people", "/trail")
        seen[address.partition("@")[0]] = [person.get(path).status_code for path in paths]

    assert seen == {
        "member": [200, 200, 404, 403, 403, 403, 403],
        "nothing": [403, 403, 403, 403, 403, 403, 403],
        "archivist": [403, 200, 404, 200, 403, 403, 403],
        "administrator": [200, 200, 404, 200, 200, 200, 200],
        "operator": [200, 200, 200, 200, 200, 200, 200],
    }


def test_a_person_without_an_inbox_reads_what_to_do(memory: Memory) -> None:
    """The first page of a new colleague."""
    page = signed_in(app_of(memory), "new@acme.test", Role.MEMBER).get("/")

    assert "No inbox was given to you yet; ask an administrator" in page.text
    assert "This key" not in page.text
    assert 'action="/sign-out"' in page.text


def test_a_removed_person_is_out_at_the_next_request(memory: Memory) -> None:
    """And one whose inbox was taken sees it no longer."""
    app = app_of(memory)
    ada = signed_in(app, "ada@acme.test", Role.MEMBER, ("ann@acme.test",))
    person = person_with(memory.people, "ada@acme.test")
    assert person
    assert ada.get("/inboxes/ann@acme.test").status_code == 200

    memory.people.take(None, person.id, ("ann@acme.test",))
    assert ada.get("/inboxes/ann@acme.test").status_code == 403
    memory.people.remove(None, person.id)
    assert ada.get("/inboxes/ann@acme.test", follow_redirects=False).status_code == 303


def test_signing_out_ends_the_session_on_the_server(memory: Memory) -> None:
    """A copied cookie is worth nothing then; everywhere ends the others."""
    app = app_of(memory)
    first, second, third = (signed_in(app, "ada@acme.test", Role.ADMINISTRATOR) for _ in range(3))
    copied = dict(first.cookies)

    out = first.post("/sign-out", headers=OURS, follow_redirects=False)
    assert out.headers["clear-site-data"] == '"cache"'
    assert (out.status_code, out.headers["location"]) == (303, "/sign-in")
    assert "max-age=0" in out.headers["set-cookie"].lower()
    assert browser(app, cookies=copied).get("/keys").status_code == 303
    assert second.get("/keys").status_code == 200
    second.post("/sign-out/everywhere", headers=OURS, follow_redirects=False)
    assert third.get("/keys", follow_redirects=False).status_code == 303
    assert {one.what for one in memory.trail.written} == {"signed_out", "signed_out_everywhere"}
    assert browser(app).post("/sign-out", headers=OURS).status_code == 303


def test_a_session_that_was_planted_is_not_used(memory: Memory) -> None:
    """Fixation: signing in always begins another session, and ends the one that the browser had."""
    app = app_of(memory)
    mallory = add_person(memory.people, "mallory@acme.test")
    planted = cookie_of(memory.sessions, app.state.services.settings, mallory)
    victim = browser(app, cookies=planted)

    done = victim.post(link_of(memory), headers=OURS)

    begun = re.match(rf"{COOKIE}=([^;]+)", done.headers["set-cookie"])
    assert begun
    assert begun[1] != planted[COOKIE]
    assert memory.sessions.holder(secret_digest(planted[COOKIE])) is None
    holder = memory.sessions.holder(secret_digest(begun[1]))
    assert holder is not None
    assert holder.name == "ada@acme.test"


def test_of_two_cookies_with_the_name_neither_counts(memory: Memory) -> None:
    """Tossing: another host of the domain, or another path, may have set one of them."""
    app = app_of(memory)
    ada = signed_in(app, "ada@acme.test", Role.ADMINISTRATOR).cookies[COOKIE]

    for header in (
        f"{COOKIE}={ada}; {COOKIE}=x",
        f"{COOKIE}=x; a=b; {COOKIE}={ada}",
        f"{COOKIE.lower()}={ada}",
        f"mailroom={ada}",
    ):
        assert browser(app).get("/keys", headers={"Cookie": header}).status_code == 303
    assert browser(app).get("/keys", headers={"Cookie": f"a=b; {COOKIE}={ada}"}).status_code == 200


def test_on_a_laptop_the_cookie_is_of_the_port(memory: Memory) -> None:
    """Browsers send cookies to every port of a host: two stacks must not sign each other out. There is no https there."""
    base = "http://127.0.0.1:8025"
    app = app_of(memory, pages_url=base)

    done = browser(app, base_url=base).post(link_of(memory), headers=OURS)

    words = done.headers["set-cookie"].lower()
    assert words.startswith("mailroom-8025=")
    assert "httponly" in words
    assert "secure" not in words


def test_the_answer_is_the_same_for_an_unknown_address(memory: Memory) -> None:
    """And no time says it: the link is sent after the response."""
    from mailroom.api.services import OutboundServices

    services = memory.services()
    ports: Any = [None] * 7
    changed = {"pages_url": HTTPS, "sender": "mail@mail.example"}
    app = create_app(
        replace(services, sending=OutboundServices(*ports), settings=services.settings.model_copy(update=changed))
    )
    add_person(memory.people, "ada@acme.test")
    # Nothing of the outbox is used: the last link of this hour was sent.
    ada = person_with(memory.people, "ada@acme.test")
    assert ada
    while memory.links.ask(ada.id, "/"):
        pass

    pages = browser(app)
    known, unknown = (
        pages.post("/sign-in", data={"address": one}, headers=OURS) for one in ("ada@acme.test", "x@acme.test")
    )

    assert known.status_code == unknown.status_code == 200
    assert known.text == unknown.text
    assert "a link is on its way" in known.text
    assert pages.post("/sign-in", data={"address": "no address"}, headers=OURS).status_code == 422


def test_without_a_sender_the_page_says_what_to_set(memory: Memory) -> None:
    """Whichever address was typed."""
    answer = browser(app_of(memory, sender="")).post("/sign-in", data={"address": "ada@acme.test"}, headers=OURS)

    assert (answer.status_code, "MAILROOM_SIGN_IN_FROM" in answer.text) == (404, True)


def test_a_look_that_cannot_be_written_is_not_shown(memory: Memory) -> None:
    """The trail is complete, or the answer is 503; a file's bytes do not leave before."""
    from mailroom.domain.errors import TransientError

    class Away(MemoryTrail):
        def write(self, entry: Any) -> None:
            raise TransientError("the database cannot be reached")

    app = app_of(memory)
    ada = signed_in(app, "ada@acme.test", Role.ADMINISTRATOR)
    filed = memory.file(an_item(subject="Secret plans"))
    app.state.services = replace(app.state.services, trail=Away())

    page = ada.get(f"/items/{filed.id}")

    assert (page.status_code, "Secret plans" in page.text) == (503, False)
    assert ada.get("/").status_code == 200


def test_the_trail_names_who_and_what_and_no_content(memory: Memory) -> None:
    """People and keys; a refusal and a page that does not exist are no look."""
    app = app_of(memory)
    filed = memory.file(an_item(subject="Secret plans", html="<p>x"))
    ada = signed_in(app, "ada@acme.test", Role.ADMINISTRATOR)
    for path in (f"/items/{filed.id}", f"/items/{filed.id}/html", "/items/x", "/keys"):
        ada.get(path)
    key = browser(app, headers={"Authorization": "Bearer acme"})
    key.get(f"/v1/items/{filed.id}")
    key.head(f"/v1/items/{filed.id}")
    key.get(f"/v1/items/{filed.id}/attachments/7")

    written = [(one.what, one.who, one.tenant, one.of) for one in memory.trail.written]

    assert written == [
        ("item_opened", "ada@acme.test", "acme", filed.id),
        ("html_shown", "ada@acme.test", "acme", filed.id),
        ("item_opened", "app", "acme", filed.id),
    ]
    page = ada.get("/trail").text
    assert page.count("opened an item") == 2
    assert "Secret plans" not in page
    listed = key.get("/v1/trail?limit=2").json()
    assert [one["what"] for one in listed["items"]] == ["item_opened", "html_shown"]
    other = browser(app, headers={"Authorization": "Bearer other"}).get("/v1/trail").json()
    assert other["items"] == []


def test_every_change_is_in_the_trail_or_is_named_here() -> None:
    """A new route that changes something must be written."""
    from mailroom.api.scopes import NEEDS
    from mailroom.api.trail import WRITTEN

    elsewhere = {
        # A batch is its own record; a preview and a test mail too.
        "POST /v1/batches",
        # Written where they are done, with the id of what was made.
        "POST /settings",
        *("POST /keys", "POST /v1/keys", "POST /people", "POST /people/{person_id}/inboxes"),
        *("POST /people/{person_id}/role", "POST /people/{person_id}/remove"),
        *("POST /quarantine/replay", "POST /v1/inbound/replay"),
    }
    changing = {route for route, need in NEEDS.items() if not need.is_open and not route.startswith("GET ")}

    assert changing - set(WRITTEN) == elsewhere
    assert set(WRITTEN) <= set(NEEDS)
    looks = {route for route in NEEDS if route.startswith("GET ") and ("{item_id}" in route or "/content" in route)}
    assert looks <= set(WRITTEN)


@pytest.mark.parametrize("idle", [timedelta(seconds=-1)])
def test_an_idle_session_is_over(memory: Memory, idle: timedelta) -> None:
    """The page asks to sign in again."""
    app = app_of(memory)
    ada = add_person(memory.people, "ada@acme.test", Role.ADMINISTRATOR)
    secret = memory.sessions.begin(ada.id, idle=idle, lasts=timedelta(hours=1))

    assert browser(app, cookies={COOKIE: str(secret)}).get("/keys").status_code == 303


def test_a_page_that_reloads_itself_keeps_nobody_signed_in(memory: Memory) -> None:
    """One that was left open on a colleague's machine: after the idle time its person is out."""
    app = app_of(memory)
    ops = signed_in(app)
    [session] = memory.sessions.sessions.values()
    session.seen_at = early = session.seen_at - timedelta(minutes=30)

    for path in ("/status", "/batches", "/batches/x", "/quarantine/replays/x"):
        ops.get(path)
        assert session.seen_at == early, path
    ops.get("/status?still=true")

    assert session.seen_at > early
