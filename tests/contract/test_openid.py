"""Signing in with OpenID Connect: against a real provider in a process, and one that a test scripts."""

import re
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from mailroom.api.app import create_app
from mailroom.domain.people import Role
from mailroom.ports.people import NewPerson
from mailroom.testing.api import BROWSER, Memory, TestClient
from tests.support.openid_providers import (
    ScriptedProvider,
    approve,
    deny,
    real_provider,
    scripted_provider,
)
from tests.support.openid_site import ADA, CALLBACK, PAGES, Site, site


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with real_provider(tmp_path_factory.mktemp("provider")) as issuer:
        yield issuer


@pytest.fixture
def scripted() -> Iterator[ScriptedProvider]:
    with scripted_provider() as provider:
        yield provider


def test_a_person_signs_in_at_a_real_provider_and_reads_the_page_that_was_asked_for(real: str) -> None:
    """The button on the sign-in page, the provider's form, and back; the cookie of the attempt is gone."""
    here = site(real)
    asked = here.browser.get("/inboxes/ada@acme.test?q=x", headers=BROWSER).headers["location"]
    page = here.browser.get(asked, headers=BROWSER).text
    assert "Sign in with <bdi>Acme</bdi>" in page
    button = page.partition('href="/sign-in-with-openid')[2].partition('"')[0]

    url = here.browser.get(f"/sign-in-with-openid{button}", headers=BROWSER).headers["location"]
    answer = here.come_back(approve(url, ADA))

    assert (answer.status_code, answer.headers["location"]) == (303, "/inboxes/ada@acme.test?q=x")
    assert here.is_signed_in()
    assert [name for name in here.browser.cookies if "openid" in name] == []
    sent = answer.headers.get_list("set-cookie")
    assert len(sent) == 2
    assert all("HttpOnly" in one and "Secure" in one and "SameSite=lax" in one for one in sent)
    assert all(one.startswith("__Host-") and "Path=/" in one for one in sent)
    assert [one.what for one in here.memory.trail.written] == ["signed_in"]


def test_what_a_real_provider_refuses_is_a_page(real: str) -> None:
    """Cancelled, an address that is not verified, none, and somebody who is nobody here: clear words, and no session."""
    said = {}
    for name, answered in {
        "cancelled": deny,
        "unverified": lambda url: approve(url, ADA, email_verified=False),
        "unsaid": lambda url: approve(url, ADA, email_verified=None),
        "a word": lambda url: approve(url, ADA, email_verified="true"),
        "nobody": lambda url: approve(url, "eve@acme.test"),
    }.items():
        here = site(real)
        answer = here.come_back(answered(here.begin()) if name != "cancelled" else _denied(here))
        said[name] = (answer.status_code, answer.text.partition('role="alert">')[2].partition("<")[0])
        assert not here.is_signed_in()
        assert len(here.memory.people.by_id) == 1

    not_verified = (403, "The provider has not verified your e-mail address.")
    assert said == {
        "cancelled": (403, "The sign-in was cancelled or not allowed at the provider."),
        "unverified": not_verified,
        "unsaid": not_verified,
        "a word": not_verified,
        "nobody": (403, "Your address is no person&#39;s here, and no account was made."),
    }


def _denied(here: Site) -> str:
    """Press no at the real provider, which leaves out the state; a conforming one sends it (RFC 6749, 4.1.2.1)."""
    url = here.begin()
    state = ScriptedProvider().asked(url)["state"]
    answer = deny(url)
    return answer if "state=" in answer else f"{answer}&state={state}"


def test_a_code_is_used_once_and_by_the_browser_that_began(real: str) -> None:
    """A link that an attacker made with his own code signs nobody in as him; a replayed one signs in nobody."""
    here, eve = site(real), "eve@acme.test"
    here.memory.people.add(NewPerson(eve, Role.MEMBER, "acme", (), "cli"))
    other = here.another_browser()
    foreign = approve(here.begin(browser=other), eve)
    here.begin()

    answers = [here.come_back(foreign).status_code]
    mine = approve(here.begin(), ADA)
    kept = dict(here.browser.cookies)
    assert here.come_back(mine).status_code == 303
    answers.append(here.come_back(mine).status_code)
    here.browser.cookies.update(kept)
    answers.append(here.come_back(mine).status_code)

    assert answers == [400, 400, 400]
    assert here.come_back(foreign, other).status_code == 303


@pytest.mark.parametrize("key", ["rsa", "ec", "ed"])
def test_each_kind_of_key_signs_in(scripted: ScriptedProvider, key: str) -> None:
    """RS256, ES256 and EdDSA, by the key's name; the PKCE verifier, the secret and the redirect fit too, else no token comes."""
    scripted.signed_with = key
    if key == "ed":
        # The standard names no hash for it.
        scripted.claims = {"at_hash": "x" * 43}
    here = site(scripted.issuer)

    assert here.come_back(scripted.approve(here.begin())).status_code == 303
    assert here.is_signed_in()


def test_keys_that_were_changed_are_fetched_again_and_others_kept(scripted: ScriptedProvider) -> None:
    """A provider changes its keys when it likes; who signs in then does not notice."""
    here = site(scripted.issuer)
    for _ in range(3):
        assert here.come_back(scripted.approve(here.begin())).status_code == 303
    assert scripted.calls.count("/jwks") == scripted.calls.count("/.well-known/openid-configuration") == 1
    scripted.signed_with, scripted.published = "new", ["new"]

    # Fetched a moment ago: they are not fetched for each token with an unknown key.
    assert here.come_back(scripted.approve(here.begin())).status_code == 502
    here.provider._clock = lambda: time.time() + 20
    assert here.come_back(scripted.approve(here.begin())).status_code == 303

    assert scripted.calls.count("/jwks") == 2


def test_the_address_may_come_from_userinfo_of_the_same_person(scripted: ScriptedProvider) -> None:
    """A provider need not put it into the token; that of another subject, or an unverified one, does not count."""
    scripted.without = {"email", "email_verified"}
    statuses = []
    for said in (
        {"sub": "7", "email": ADA, "email_verified": True},
        {"sub": "8", "email": ADA, "email_verified": True},
        {"sub": "7", "email": ADA},
        {"sub": "7"},
        {"email": ADA, "email_verified": True},
    ):
        scripted.userinfo, here = said, site(scripted.issuer)
        statuses.append(here.come_back(scripted.approve(here.begin())).status_code)

    assert statuses == [303, 502, 403, 403, 502]


def test_an_address_is_compared_as_it_is_stored(scripted: ScriptedProvider) -> None:
    """Capitals do not matter; a name that looks alike, a pattern and a list are other people."""
    statuses = {}
    for address in ("Ada@ACME.test", "аda@acme.test", "*@acme.test", "ada@acme.test,eve@acme.test", "", "ada"):
        scripted.claims, here = {"email": address}, site(scripted.issuer)
        statuses[address] = here.come_back(scripted.approve(here.begin())).status_code

    assert statuses.pop("Ada@ACME.test") == 303
    assert set(statuses.values()) == {403}


def test_a_provider_vouches_for_its_domains_alone(scripted: ScriptedProvider) -> None:
    """Where everybody can have an account at the provider, its word counts for the domains that the operator names."""
    statuses = {}
    for domains in ("acme.test", "@acme.test, b.test", "other.test", "test", "sub.acme.test"):
        here = site(scripted.issuer, openid_domains=domains)
        statuses[domains] = here.come_back(scripted.approve(here.begin())).status_code

    assert statuses == {
        "acme.test": 303,
        "@acme.test, b.test": 303,
        "other.test": 403,
        "test": 403,
        "sub.acme.test": 403,
    }


@pytest.mark.parametrize(("iss", "must", "status"), [
    ("https://evil.test", False, 403), ("", True, 403), ("", False, 303), ("own", True, 303), ("own", False, 303),
])  # fmt: skip
def test_an_answer_of_another_provider_is_not_used(
    scripted: ScriptedProvider, iss: str, must: bool, status: int
) -> None:
    """Mix-up: the code of one provider is not sent to another (RFC 9207)."""
    scripted.iss = scripted.issuer if iss == "own" else iss
    scripted.metadata = {"authorization_response_iss_parameter_supported": must}
    here = site(scripted.issuer)

    assert here.come_back(scripted.approve(here.begin())).status_code == status
    assert ("/token" in scripted.calls) is (status == 303)


def test_the_state_of_another_attempt_is_refused_before_the_provider_is_asked(scripted: ScriptedProvider) -> None:
    """Another browser's, an older tab's, a changed one, none, one too late, a cookie that is not ours, and two cookies."""
    here, other = site(scripted.issuer), None
    earlier = scripted.approve(here.begin())
    url = scripted.approve(here.begin())
    cookie = next(one for one in here.browser.cookies.jar if "openid" in one.name)
    other = here.another_browser()
    forged = here.another_browser()
    forged.cookies.set(cookie.name, f"{cookie.value[:-1]}{'A' if cookie.value[-1:] != 'A' else 'B'}")

    answers = [
        here.come_back(url, other),
        here.come_back(url, forged),
        other.get(url, headers=BROWSER | {"Cookie": f"{cookie.name}={cookie.value}; {cookie.name}=x"}),
    ]
    for wrong in (earlier, url + "x", url.partition("&state")[0], url.replace("state=", "state=%C3%A9")):
        here.browser.cookies.set(cookie.name, cookie.value or "")
        answers.append(here.come_back(wrong))
    here.offset = timedelta(minutes=11)
    here.browser.cookies.set(cookie.name, cookie.value or "")
    answers.append(here.come_back(url))

    assert {one.status_code for one in answers} == {400}
    assert "/token" not in scripted.calls
    assert not here.is_signed_in()


def test_the_way_back_is_the_settings_and_leads_to_these_pages_alone(scripted: ScriptedProvider) -> None:
    """A forged Host does not become the redirect URI, and `next` is no way to another site."""
    here = site(scripted.issuer)
    for host in ("evil.test", "mail.example.evil.test"):
        answer = here.browser.get("/sign-in-with-openid", headers=BROWSER | {"Host": host, "X-Forwarded-Host": host})
        assert scripted.asked(answer.headers["location"])["redirect_uri"] == CALLBACK
    for path in (
        "//evil.test",
        "https://evil.test/",
        "/\\evil.test",
        "/sign-in-with-openid",
        "javascript:alert(1)",
        "/\t/e",
    ):
        answer = here.come_back(scripted.approve(here.begin(path)))
        assert (answer.status_code, answer.headers["location"]) == (303, "/")


def test_without_a_provider_there_is_no_button_and_no_way() -> None:
    """Most installations have none."""
    memory = Memory()
    services = memory.services()
    settings = services.settings.model_copy(update={"pages_url": PAGES})
    browser = TestClient(create_app(replace(services, settings=settings)), base_url=PAGES, follow_redirects=False)

    assert "openid" not in browser.get("/sign-in", headers=BROWSER).text
    for path in ("/sign-in-with-openid", "/sign-in-with-openid/callback?code=x&state=y"):
        assert browser.get(path, headers=BROWSER).status_code == 404


def test_an_address_that_is_a_person_of_several_tenants_chooses(scripted: ScriptedProvider) -> None:
    """One button for each; none of them is signed in before it is pressed."""
    here = site(scripted.issuer)
    here.memory.people.add(NewPerson(ADA, Role.ADMINISTRATOR, "other", (), "cli"))

    page = here.come_back(scripted.approve(here.begin("/people")))

    assert page.status_code == 200
    assert not here.is_signed_in()
    buttons = re.findall(r'action="(/sign-in/[\w-]+)"><button[^>]*>([^<]+)<', page.text)
    assert [what for _, what in buttons] == ["member of acme", "administrator of other"]
    answer = here.browser.post(buttons[1][0], headers={"Sec-Fetch-Site": "same-origin"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/people")
    assert "of other" in here.browser.get("/people", headers=BROWSER).text
    assert here.browser.post(buttons[1][0], headers={"Sec-Fetch-Site": "same-origin"}).status_code == 404
