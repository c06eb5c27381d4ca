"""OpenID Connect providers on loopback: a real one in a process of its own, and one that says what a test wants."""

import base64
import hashlib
import hmac
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote_plus, urlsplit
from uuid import uuid4

import httpx
from joserfc import jws, jwt
from joserfc.jwk import ECKey, OKPKey, RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from tests.support.http_server import serving
from tests.support.loopback_ports import free_port

CLIENT, SECRET = "mailroom", "s3cret:with +%"
ALGORITHMS = ["RS256", "ES256", "EdDSA", "RS512"]
KEYS: dict[str, Any] = {
    "rsa": RSAKey.generate_key(2048, {"kid": "rsa", "use": "sig"}),
    "ec": ECKey.generate_key("P-256", {"kid": "ec", "use": "sig"}),
    "ed": OKPKey.generate_key("Ed25519", {"kid": "ed", "use": "sig"}),
    "other": RSAKey.generate_key(2048, {"kid": "rsa"}),
    "new": RSAKey.generate_key(2048, {"kid": "new"}),
    "short": RSAKey.generate_key(1024, {"kid": "short"}),
}


@contextmanager
def real_provider(folder: Path) -> Iterator[str]:
    """Yield the issuer of a provider that is a program of others, in a process of its own."""
    port = free_port()
    log = (folder / "provider.log").open("wb")
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "oidc_provider_mock",
        "--port",
        str(port),
        "--require-nonce",
        "true",
    ]
    process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env={"AUTHLIB_INSECURE_TRANSPORT": "1"})
    issuer = f"http://localhost:{port}"
    try:
        while True:
            assert process.poll() is None, (folder / "provider.log").read_text()
            try:
                httpx.get(f"{issuer}/.well-known/openid-configuration").raise_for_status()
                break
            except httpx.TransportError:
                time.sleep(0.1)
        yield issuer
    finally:
        process.terminate()
        process.wait()
        log.close()


def approve(url: str, address: str, **claims: Any) -> str:
    """Sign in at the real provider as this person, and return the URL to which it sends the browser."""
    issuer = "{0.scheme}://{0.netloc}".format(urlsplit(url))
    httpx.put(f"{issuer}/users/{address}", json={"email": address, "email_verified": True} | claims).raise_for_status()
    assert httpx.get(url).status_code == 200
    return str(httpx.post(url, data={"sub": address}).headers["location"])


def deny(url: str) -> str:
    """Press the other button at the real provider."""
    return str(httpx.post(url, data={"action": "deny"}).headers["location"])


@dataclass
class ScriptedProvider:
    """A provider that checks the client as the standards ask, and signs what it is made to; `calls` are the paths asked for."""

    issuer: str = ""
    claims: dict[str, Any] = field(default_factory=dict)
    without: set[str] = field(default_factory=set)
    header: dict[str, Any] = field(default_factory=dict)
    signed_with: str = "rsa"
    published: list[str] = field(default_factory=lambda: ["rsa", "ec", "ed"])
    metadata: dict[str, Any] = field(default_factory=dict)
    userinfo: dict[str, Any] | None = None
    token: Callable[[str], str] = lambda token: token
    answers: dict[str, Callable[[], Response]] = field(default_factory=dict)
    iss: str | None = None
    calls: list[str] = field(default_factory=list)
    _codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def asked(self, url: str) -> dict[str, str]:
        """Return the parameters of a request to sign in."""
        return {name: value for name, [value] in parse_qs(urlsplit(url).query).items()}

    def approve(self, url: str) -> str:
        """Return the URL to which the browser is sent."""
        asked, code = self.asked(url), uuid4().hex
        assert asked["response_type"] == "code"
        assert {"openid", "email"} <= set(asked["scope"].split())
        assert asked["code_challenge_method"] == "S256"
        assert asked["client_id"] == CLIENT
        self._codes[code] = asked
        more = f"&iss={self.iss}" if self.iss else ""
        return f"{asked['redirect_uri']}?code={code}&state={asked['state']}{more}"

    @property
    def app(self) -> Starlette:
        """The provider as an application."""
        paths = {
            "/.well-known/openid-configuration": self._configuration,
            "/jwks": self._jwks,
            "/authorize": self._authorize,
            "/token": self._token,
            "/userinfo": self._userinfo,
        }
        return Starlette(routes=[Route(path, made, methods=["GET", "POST"]) for path, made in paths.items()])

    async def _configuration(self, request: Request) -> Response:
        found = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            "jwks_uri": f"{self.issuer}/jwks",
        }
        return self._answer(request, found | self.metadata)

    async def _jwks(self, request: Request) -> Response:
        return self._answer(request, {"keys": [KEYS[name].as_dict(private=False) for name in self.published]})

    async def _authorize(self, request: Request) -> Response:
        return RedirectResponse(self.approve(str(request.url)), 302)

    async def _token(self, request: Request) -> Response:
        form = {name: value for name, [value] in parse_qs((await request.body()).decode()).items()}
        word = base64.b64decode(request.headers["authorization"].removeprefix("Basic ")).decode().partition(":")
        asked = self._codes.pop(form.get("code", ""), None)
        if (unquote_plus(word[0]), unquote_plus(word[2])) != (CLIENT, SECRET):
            return self._answer(request, {"error": "invalid_client"}, 401)
        challenge = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if (
            asked is None
            or form["grant_type"] != "authorization_code"
            or form["redirect_uri"] != asked["redirect_uri"]
            or base64.urlsafe_b64encode(challenge).decode().rstrip("=") != asked["code_challenge"]
        ):
            return self._answer(request, {"error": "invalid_grant"}, 400)
        token = self.token(self._id_token(asked["nonce"]))
        return self._answer(request, {"access_token": "access", "token_type": "Bearer", "id_token": token})

    async def _userinfo(self, request: Request) -> Response:
        assert request.headers["authorization"] == "Bearer access"
        return self._answer(request, self.userinfo or {})

    def _id_token(self, nonce: str) -> str:
        now = int(time.time())
        usual = {"iss": self.issuer, "sub": "7", "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": nonce}
        usual |= {"email": "ada@acme.test", "email_verified": True}
        claims = {name: value for name, value in (usual | self.claims).items() if name not in self.without}
        key = KEYS[self.signed_with]
        alg = {"ec": "ES256", "ed": "EdDSA"}.get(self.signed_with, "RS256")
        header = {"alg": alg, "kid": key.kid} | self.header
        registry = jws.JWSRegistry(algorithms=ALGORITHMS, strict_check_header=False)
        return jwt.encode(header, claims, key, registry=registry)

    def _answer(self, request: Request, body: Any, status: int = 200) -> Response:
        self.calls.append(request.url.path)
        made = self.answers.get(request.url.path)
        return made() if made else JSONResponse(body, status)


@contextmanager
def scripted_provider() -> Iterator[ScriptedProvider]:
    """Yield a provider that is served."""
    provider = ScriptedProvider()
    with serving(provider.app) as url:
        provider.issuer = url
        yield provider


def signed_with_public_key(token: str) -> str:
    """Return a token with an HMAC whose secret is the provider's public key, as everybody can make it."""
    header = _text(json.dumps({"alg": "HS256", "kid": "rsa"}).encode())
    said = f"{header}.{token.split('.')[1]}"
    return f"{said}.{_text(hmac.digest(KEYS['rsa'].as_pem(private=False), said.encode(), 'sha256'))}"


def unsigned(token: str) -> str:
    """Return a token with `alg` none and without its signature."""
    _, payload, _ = token.split(".")
    return f"{_text(json.dumps({'alg': 'none'}).encode())}.{payload}."


def _text(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")
