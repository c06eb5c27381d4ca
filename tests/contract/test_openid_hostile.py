"""OpenID Connect providers that lie, break or hang: nobody is signed in, and the page says so."""

import gzip
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response

from mailroom.adapters.openid_http import ProviderHttp
from mailroom.domain.errors import MailroomError, TransientError
from mailroom.testing.api import BROWSER
from tests.support.openid_providers import (
    CLIENT,
    ScriptedProvider,
    scripted_provider,
    signed_with_public_key,
    unsigned,
)
from tests.support.openid_site import ADA, site


@pytest.fixture
def scripted() -> Iterator[ScriptedProvider]:
    with scripted_provider() as provider:
        yield provider


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
    "the token is packed": ("/token", lambda: Response(gzip.compress(b" " * 10**7), headers={"Content-Encoding": "gzip"}), 502),
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
