"""Signing in with OpenID Connect: against a real provider in a process, and one that lies in every way there is."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response

from mailroom.adapters.openid import OpenIdConnect
from mailroom.adapters.openid_http import ProviderHttp
from mailroom.api.app import create_app
from mailroom.api.services import OpenIdServices
from mailroom.domain.errors import MailroomError, TransientError
from mailroom.domain.people import Role
from mailroom.ports.people import NewPerson
from mailroom.testing.api import BROWSER, Memory, TestClient
from tests.support.openid_providers import (
    CLIENT,
    SECRET,
    ScriptedProvider,
    approve,
    deny,
    real_provider,
    scripted_provider,
    signed_with_public_key,
    unsigned,
)

PAGES = "https://mail.example"
CALLBACK = f"{PAGES}/sign-in-with-openid/callback"
ADA = "ada@acme.test"


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with real_provider(tmp_path_factory.mktemp("provider")) as issuer:
        yield issuer


@pytest.fixture
def scripted() -> Iterator[ScriptedProvider]:
    with scripted_provider() as provider:
        yield provider


@dataclass
class Site:
    """Our service, which asks one provider, and a browser."""

    memory: Memory
    browser: TestClient
    provider: OpenIdConnect
    app: Any
    offset: timedelta = timedelta()

    def begin(self, path: str = "/", browser: TestClient | None = None) -> str:
        """Press the button, and return the URL at the provider."""
        answer = (browser or self.browser).get("/sign-in-with-openid", params={"next": path}, headers=BROWSER)
        assert answer.status_code == 303, answer.text
        return str(answer.headers["location"])

    def come_back(self, url: str, browser: TestClient | None = None) -> Any:
        """Follow the provider's redirect."""
        assert url.startswith(CALLBACK)
        return (browser or self.browser).get(url, headers=BROWSER)

    def is_signed_in(self, browser: TestClient | None = None) -> bool:
        answer = (browser or self.browser).get("/", headers=BROWSER)
        assert answer.status_code in (200, 303)
        return bool(answer.status_code == 200)

    def another_browser(self) -> TestClient:
        return TestClient(self.app, base_url=PAGES, follow_redirects=False)


def site(issuer: str, *, http: ProviderHttp | None = None, **changes: Any) -> Site:
    memory = Memory()
    memory.people.add(NewPerson(ADA, Role.MEMBER, "acme", ("ada@acme.test",), "cli"))
    values = {"openid_issuer": issuer, "openid_client_id": CLIENT, "openid_client_secret": SecretStr(SECRET)}
    services = memory.services()
    settings = services.settings.model_copy(update={"pages_url": PAGES} | values | changes)
    provider = OpenIdConnect(
        issuer=issuer, client_id=CLIENT, client_secret=settings.openid_client_secret.get_secret_value(), pages_at=PAGES,
        name="Acme", http=http,
    )  # fmt: skip
    made = Site(memory, TestClient(None), provider, None)  # type: ignore[arg-type]
    made.app = create_app(
        replace(
            services, settings=settings, openid=OpenIdServices(provider), now=lambda: datetime.now(UTC) + made.offset
        )
    )
    made.browser = made.another_browser()
    return made


def test_a_person_signs_in_at_a_real_provider_and_reads_the_page_that_was_asked_for(real: str) -> None:
    """The button on the sign-in page, the provider's form, and back; the cookie of the attempt is gone."""
    here = site(real)
    asked = here.browser.get("/inboxes/ada@acme.test?q=x", headers=BROWSER).headers["location"]
    page = here.browser.get(asked, headers=BROWSER).text
    assert "Sign in with Acme" in page
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


def _token(**changes: Any) -> Callable[[ScriptedProvider], None]:
    def change(provider: ScriptedProvider) -> None:
        for name, value in changes.items():
            setattr(provider, name, value)

    return change


_NOW = int(time.time())
HOSTILE: dict[str, Callable[[ScriptedProvider], None]] = {
    "another nonce": _token(claims={"nonce": "x"}),
    "a nonce that is no text": _token(claims={"nonce": ["x"]}),
    "no nonce": _token(without={"nonce"}),
    "another audience": _token(claims={"aud": "other"}),
    "no audience": _token(without={"aud"}),
    "an audience of objects": _token(claims={"aud": [{"a": CLIENT}]}),
    "several audiences and no authorised party": _token(claims={"aud": [CLIENT, "other"]}),
    "several audiences and another authorised party": _token(claims={"aud": [CLIENT, "other"], "azp": "other"}),
    "another authorised party": _token(claims={"azp": "other"}),
    "another issuer": _token(claims={"iss": "https://other.test"}),
    "no issuer": _token(without={"iss"}),
    "no subject": _token(without={"sub"}),
    "an empty subject": _token(claims={"sub": ""}),
    "expired": _token(claims={"exp": _NOW - 3600, "iat": _NOW - 7200}),
    "never expires": _token(without={"exp"}),
    "an expiry that is a word": _token(claims={"exp": "tomorrow"}),
    "from tomorrow": _token(claims={"iat": _NOW + 86400, "exp": _NOW + 90000}),
    "valid from tomorrow": _token(claims={"nbf": _NOW + 86400}),
    "no time": _token(without={"iat"}),
    "signed by nobody": _token(token=unsigned),
    "without its signature": _token(token=lambda token: token.rpartition(".")[0] + "."),
    "signed with the public key": _token(token=signed_with_public_key),
    "signed with an algorithm that is not on the list": _token(header={"alg": "RS512"}),
    "signed with a key that is not published": _token(signed_with="other"),
    "signed with a short key": _token(signed_with="short", published=["short"]),
    "of an unknown key": _token(header={"kid": "gone"}),
    "without a key's name where two fit": _token(published=["rsa", "new"], header={"kid": ""}),
    "changed after it was signed": _token(token=lambda token: f"A{token[1:]}"),
    "not a token": _token(token=lambda token: "a.b"),
    "no token": _token(token=lambda token: None),
    "a token that is a list": _token(token=lambda token: [token]),
    "huge": _token(token=lambda token: token + "A" * 100_000),
    "of another access token": _token(claims={"at_hash": "x" * 22}),
}  # fmt: skip


@pytest.mark.parametrize("how", HOSTILE)
def test_a_token_that_does_not_prove_it_signs_in_nobody(scripted: ScriptedProvider, how: str) -> None:
    """Each is a way in that was open somewhere. The page has no trace of the reason, the log has its part's name."""
    HOSTILE[how](scripted)
    here = site(scripted.issuer)

    answer = here.come_back(scripted.approve(here.begin()))

    assert answer.status_code == 502
    assert "cannot be relied on" in answer.text
    assert not here.is_signed_in()


@pytest.mark.parametrize("key", ["rsa", "ec", "ed"])
def test_each_kind_of_key_signs_in(scripted: ScriptedProvider, key: str) -> None:
    """RS256, ES256 and EdDSA, by the key's name; the PKCE verifier, the secret and the redirect fit too, else no token comes."""
    scripted.signed_with = key
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


def _slow() -> Response:
    time.sleep(1.5)
    return PlainTextResponse("")


OUT_OF_ORDER: dict[str, tuple[str, Callable[[], Response], int]] = {
    "discovery fails": ("/.well-known/openid-configuration", lambda: PlainTextResponse("", 500), 503),
    "discovery is a page": ("/.well-known/openid-configuration", lambda: PlainTextResponse("<html>"), 503),
    "discovery is a list": ("/.well-known/openid-configuration", lambda: JSONResponse([1]), 503),
    "discovery is of another": ("/.well-known/openid-configuration", lambda: JSONResponse({"issuer": "https://a.test"}), 502),
    "discovery is elsewhere": ("/.well-known/openid-configuration", lambda: RedirectResponse("http://127.0.0.1:1/"), 503),
    "the token fails": ("/token", lambda: PlainTextResponse("", 500), 503),
    "the token is throttled": ("/token", lambda: PlainTextResponse("", 429), 503),
    "the token is a page": ("/token", lambda: PlainTextResponse("<html>"), 502),
    "the token is a list": ("/token", lambda: JSONResponse([1]), 502),
    "the token is elsewhere": ("/token", lambda: RedirectResponse("http://127.0.0.1:1/"), 502),
    "the token is slow": ("/token", _slow, 503),
    "the token is huge": ("/token", lambda: PlainTextResponse("x" * 10**6), 503),
    "the secret is refused": ("/token", lambda: JSONResponse({"error": "invalid_client"}, 401), 502),
    "the error is odd": ("/token", lambda: JSONResponse({"error": ["a"], "error_description": {}}, 400), 400),
    "the keys fail": ("/jwks", lambda: PlainTextResponse("", 500), 503),
    "the keys are a page": ("/jwks", lambda: PlainTextResponse("<html>"), 503),
    "the keys are nonsense": ("/jwks", lambda: JSONResponse({"keys": [1, {}, {"kty": "RSA", "kid": "rsa", "n": 7}]}), 502),
}  # fmt: skip


@pytest.mark.parametrize("how", OUT_OF_ORDER)
def test_a_provider_out_of_order_is_a_page(
    scripted: ScriptedProvider, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    """No traceback, no wait beyond the limit, and nothing in the log that the provider said."""
    path, made, status = OUT_OF_ORDER[how]
    here = site(scripted.issuer, http=ProviderHttp(longest_s=0.8))
    scripted.answers = {path: made}

    answer = here.browser.get("/sign-in-with-openid", headers=BROWSER)
    if path != "/.well-known/openid-configuration":
        answer = here.come_back(scripted.approve(answer.headers["location"]))

    assert answer.status_code == status, answer.text
    assert "You are not signed in" in answer.text
    assert "Traceback" not in caplog.text
    assert "html" not in caplog.text
    assert ADA not in caplog.text


def test_a_provider_that_is_away_is_a_page_and_works_when_it_is_back(scripted: ScriptedProvider) -> None:
    """Nothing of the outage is remembered."""
    assert site("http://127.0.0.1:1").browser.get("/sign-in-with-openid", headers=BROWSER).status_code == 503
    here = site(scripted.issuer)
    scripted.answers = {"/.well-known/openid-configuration": lambda: PlainTextResponse("", 502)}
    assert here.browser.get("/sign-in-with-openid", headers=BROWSER).status_code == 503
    scripted.answers = {}

    assert here.come_back(scripted.approve(here.begin())).status_code == 303


@pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint", "jwks_uri"])
@pytest.mark.parametrize("url", [
    "http://10.0.0.1/x", "http://evil.test/x", "file:///etc/passwd", "https://u:p@evil.test/", "https://[", 7, "", None,
])  # fmt: skip
def test_secrets_are_sent_to_no_unsafe_place(scripted: ScriptedProvider, name: str, url: Any) -> None:
    """What a provider publishes is read as hostile: http beyond this machine, other schemes, users in URLs."""
    scripted.metadata = {name: url}
    here = site(scripted.issuer)
    answer = here.browser.get("/sign-in-with-openid", headers=BROWSER)
    if answer.status_code == 303:
        answer = here.come_back(scripted.approve(answer.headers["location"]))

    assert answer.status_code == 502
    assert not here.is_signed_in()


def test_a_provider_that_hangs_holds_few_threads(scripted: ScriptedProvider) -> None:
    """The ninth that waits is asked to come again: the service has other pages to answer."""
    provider = site(scripted.issuer).provider
    taken = [provider._free.acquire(blocking=False) for _ in range(8)]

    with pytest.raises(TransientError, match="too many people"):
        provider.vouch(None, code="x", issuer=None)  # type: ignore[arg-type]

    assert all(taken)


def test_without_a_provider_there_is_no_button_and_no_way() -> None:
    """Most installations have none."""
    memory = Memory()
    services = memory.services()
    settings = services.settings.model_copy(update={"pages_url": PAGES})
    browser = TestClient(create_app(replace(services, settings=settings)), base_url=PAGES, follow_redirects=False)

    assert "openid" not in browser.get("/sign-in", headers=BROWSER).text
    for path in ("/sign-in-with-openid", "/sign-in-with-openid/callback?code=x&state=y"):
        assert browser.get(path, headers=BROWSER).status_code == 404


def test_every_error_of_the_adapter_is_one_of_ours(scripted: ScriptedProvider) -> None:
    """Random answers of each endpoint: what is not a session is one of our errors, never a traceback."""
    here = site(scripted.issuer)
    answers = [
        b"",
        b"{}",
        b"null",
        b"[[[",
        b"\xff\xfe",
        b'{"id_token": 1}',
        b'{"keys": {}}',
        b'{"id_token": "a.b.c"}',
        b"1e999",
    ]
    for path in ("/token", "/jwks"):
        for content in answers:
            here = site(scripted.issuer)
            scripted.answers = {path: lambda content=content: Response(content, media_type="application/json")}  # type: ignore[misc]
            answer = here.come_back(scripted.approve(here.begin()))
            assert answer.status_code in (400, 502, 503), (path, content, answer.text)
    assert issubclass(TransientError, MailroomError)
    assert urlsplit(scripted.issuer).hostname == "127.0.0.1"
