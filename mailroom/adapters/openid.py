"""OpenID Connect over HTTPS, by the protocol of Authlib: discovery, the code, and the ID token with its keys.

What the provider publishes is kept for an hour; a token with an unknown key has its keys fetched again, at most every 10 s.
The issuer is the operator's choice and may be in a private network; every URL that it publishes must be https, as it is
(http for one on loopback). Nothing of a response is logged.
"""

import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote_plus

from authlib.oauth2 import OAuth2Error
from authlib.oauth2.client import OAuth2Client

from mailroom.adapters.openid_http import ProviderHttp, Session
from mailroom.adapters.openid_tokens import TokenCheck, usable_keys
from mailroom.domain.errors import ConfigurationError, PermanentError, Refused, TransientError
from mailroom.domain.openid import Attempt, OpenIdFault, VouchedFor, is_safe_url
from mailroom.settings import Settings

#: Where a browser comes back to, below the URL of the pages.
CALLBACK = "/sign-in-with-openid/callback"
_SCOPE = "openid email"
_KEPT_S, _KEYS_AGAIN_S = 3600.0, 10.0
#: How long a sign-in waits for what another one is fetching.
_PATIENCE_S = 3.0
#: Sign-ins that may wait for the provider at once: a provider that hangs must not hold every thread of the service.
_AT_ONCE = 8
_WELL_KNOWN = "/.well-known/openid-configuration"


class OpenIdConnect:
    """The port `OpenIdProvider` for one issuer."""

    def __init__(
        self,
        *,
        issuer: str,
        client_id: str,
        client_secret: str,
        pages_at: str,
        name: str = "OpenID Connect",
        http: ProviderHttp | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.name, self._issuer, self._client_id, self._secret = name, issuer, client_id, client_secret
        self._redirect_uri = pages_at + CALLBACK
        self._http, self._clock = http or ProviderHttp(), clock
        self._free, self._fetching = threading.BoundedSemaphore(_AT_ONCE), threading.Lock()
        self._metadata: tuple[float, dict[str, Any]] | None = None
        self._keys: tuple[float, list[Any]] | None = None

    def sign_in_url(self, attempt: Attempt) -> str:
        """Return the URL at the provider; see the port."""
        with _Turn(self._free):
            client, endpoint = self._client(), self._published("authorization_endpoint")
        url, _ = client.create_authorization_url(
            endpoint, state=attempt.state, nonce=attempt.nonce, code_verifier=attempt.verifier
        )
        return str(url)

    def vouch(self, attempt: Attempt, *, code: str, issuer: str | None) -> VouchedFor:
        """Return who signed in; see the port."""
        with _Turn(self._free):
            self._refuse_another_issuer(issuer)
            token = self._token(attempt, code)
            access_token = token.get("access_token")
            check = TokenCheck(
                issuer=self._issuer, client_id=self._client_id, nonce=attempt.nonce, now=int(self._clock())
            )
            claims = check.claims(token.get("id_token"), self._key, access_token=access_token)
            if "email" not in claims:
                claims = claims | self._userinfo(claims["sub"], access_token)
        return _vouched(claims)

    def _refuse_another_issuer(self, issuer: str | None) -> None:
        """Return if the answer is from the provider that was asked (RFC 9207, against mix-up)."""
        must = self._discovered().get("authorization_response_iss_parameter_supported") is True
        if issuer != self._issuer and (issuer is not None or must):
            raise Refused("the answer names another issuer", step=OpenIdFault.ANOTHER_ISSUER.value)

    def _token(self, attempt: Attempt, code: str) -> dict[str, Any]:
        client, endpoint = self._client(), self._published("token_endpoint")
        try:
            return dict(
                client.fetch_token(endpoint, grant_type="authorization_code", code=code, code_verifier=attempt.verifier)
            )
        except OAuth2Error as error:
            if error.error in ("invalid_client", "unauthorized_client"):
                raise PermanentError("the provider does not accept MAILROOM_OPENID_CLIENT_ID and its secret") from None
            raise Refused("the code is refused", step=OpenIdFault.CODE_REFUSED.value) from None
        except (ValueError, TypeError, KeyError):
            raise _unusable("no token response") from None

    def _userinfo(self, subject: str, access_token: Any) -> dict[str, Any]:
        """Return the address by the userinfo endpoint: a provider need not put it into the ID token (Core 1.0, 5.4)."""
        if "userinfo_endpoint" not in self._discovered() or not isinstance(access_token, str):
            return {}
        answer = self._http.send("GET", self._published("userinfo_endpoint"), bearer=access_token)
        said = answer.json() if answer.status_code == 200 else None
        # A token of somebody else's must not bring somebody else's address (Core 1.0, 5.3.2).
        if not isinstance(said, dict) or said.get("sub") != subject:
            raise _unusable("userinfo")
        return {name: said[name] for name in ("email", "email_verified") if name in said}

    def _client(self) -> OAuth2Client:
        supported = self._discovered().get("token_endpoint_auth_methods_supported")
        by_form = isinstance(supported, list) and "client_secret_basic" not in supported
        client = OAuth2Client(
            Session(self._http),
            client_id=self._client_id,
            client_secret=self._secret,
            scope=_SCOPE,
            redirect_uri=self._redirect_uri,
            code_challenge_method="S256",
            token_endpoint_auth_method="client_secret_post" if by_form else "client_secret_basic",
        )
        client.register_client_auth_method(("client_secret_basic", _basic))
        return client

    def _key(self, header: dict[str, Any]) -> Any:
        """Return the key of a token; the keys are fetched again where none is its."""
        for fresh in (False, True):
            found = usable_keys(self._jwks(fresh=fresh), header)
            if len(found) == 1:
                return found[0]
        raise _unusable("key")

    def _published(self, name: str) -> str:
        url = self._discovered().get(name)
        if not is_safe_url(url, loopback=self._issuer.startswith("http:")):
            raise PermanentError(f"the OpenID Connect provider publishes no usable {name}")
        return str(url)

    def _discovered(self) -> dict[str, Any]:
        with _Fetching(self._fetching):
            now = self._clock()
            if self._metadata is None or not 0 <= now - self._metadata[0] < _KEPT_S:
                answer = self._http.send("GET", self._issuer.rstrip("/") + _WELL_KNOWN)
                found = answer.json() if answer.status_code == 200 else None
                if not isinstance(found, dict):
                    raise TransientError("the OpenID Connect provider publishes nothing of itself")
                if found.get("issuer") != self._issuer:
                    raise PermanentError(
                        "MAILROOM_OPENID_ISSUER is not spelt as the provider names itself in its discovery document"
                    )
                self._metadata = (now, found)
            return self._metadata[1]

    def _jwks(self, *, fresh: bool) -> list[Any]:
        url = self._published("jwks_uri")
        with _Fetching(self._fetching):
            now = self._clock()
            age = None if self._keys is None else now - self._keys[0]
            if age is None or not 0 <= age < (_KEYS_AGAIN_S if fresh else _KEPT_S):
                answer = self._http.send("GET", url)
                found = answer.json() if answer.status_code == 200 else None
                keys = found.get("keys") if isinstance(found, dict) else None
                if not isinstance(keys, list):
                    raise TransientError("the OpenID Connect provider publishes no keys")
                self._keys = (now, keys)
            assert self._keys is not None
            return self._keys[1]


def openid_provider(settings: Settings) -> OpenIdConnect | None:
    """Return the provider of the settings, None if there is none.

    Raises:
        ConfigurationError: the provider would know nobody, or nobody could come back from it.
    """
    if not settings.openid_issuer:
        return None
    if not (settings.openid_client_id and settings.openid_client_secret.get_secret_value()):
        raise ConfigurationError(
            "MAILROOM_OPENID_ISSUER needs MAILROOM_OPENID_CLIENT_ID and MAILROOM_OPENID_CLIENT_SECRET"
        )
    if not settings.pages_at:
        raise ConfigurationError("MAILROOM_OPENID_ISSUER needs MAILROOM_PAGES_URL: nobody could come back from there")
    return OpenIdConnect(
        issuer=settings.openid_issuer,
        client_id=settings.openid_client_id,
        client_secret=settings.openid_client_secret.get_secret_value(),
        pages_at=settings.pages_at,
        name=settings.openid_name,
    )


class _Turn:
    """One of the places in which a sign-in waits for the provider."""

    def __init__(self, free: threading.BoundedSemaphore) -> None:
        self._free = free

    def __enter__(self) -> None:
        if not self._free.acquire(blocking=False):
            raise TransientError("too many people are signing in at this moment")

    def __exit__(self, *_: object) -> None:
        self._free.release()


class _Fetching:
    """The right to fetch what the provider publishes: one at a time, and those who wait give up before it answers."""

    def __init__(self, lock: threading.Lock) -> None:
        self._lock = lock

    def __enter__(self) -> None:
        if not self._lock.acquire(timeout=_PATIENCE_S):
            raise TransientError("the OpenID Connect provider does not answer")

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def _vouched(claims: dict[str, Any]) -> VouchedFor:
    address = claims.get("email")
    if not isinstance(address, str) or not address:
        raise Refused("no address", step=OpenIdFault.NO_ADDRESS.value)
    if claims.get("email_verified") is not True:
        raise Refused("the address is not verified", step=OpenIdFault.NOT_VERIFIED.value)
    return VouchedFor(subject=claims["sub"], address=address)


def _basic(client: Any, method: str, uri: str, headers: dict[str, str], body: str) -> tuple[str, dict[str, str], str]:
    """Authenticate with id and secret, each form-encoded first (RFC 6749, 2.3.1), which Authlib leaves out."""
    return ProviderHttp.with_basic(quote_plus(client.client_id), quote_plus(client.client_secret), uri, headers, body)


def _unusable(detail: str) -> Refused:
    return Refused("the token cannot be used", step=OpenIdFault.UNUSABLE_TOKEN.value, detail=detail)
