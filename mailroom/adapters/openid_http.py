"""HTTP to the OpenID Connect provider: bounded in time and size, without redirects and cookies."""

import base64
import json
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import httpx

from mailroom.adapters.http import CallCut
from mailroom.domain.errors import TransientError

_TIMEOUT_S, _LONGEST_S = 5.0, 10.0
#: Keys and documents of large providers are below 50 kB.
_MOST_BYTES = 512 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """A response, as Authlib reads it."""

    status_code: int
    content: bytes

    def json(self) -> Any:
        """Return the body as JSON; None if it is none."""
        try:
            return json.loads(self.content)
        except (ValueError, RecursionError):
            return None

    def raise_for_status(self) -> None:
        """Raise `TransientError` for a status that is an error."""
        if self.status_code >= 400:
            raise TransientError("the OpenID Connect provider answered with an error", status=self.status_code)


class ProviderHttp:
    """Calls of one provider. Certificates of the machine count besides the public ones: a provider may be a company's own."""

    def __init__(self, *, longest_s: float = _LONGEST_S) -> None:
        trusted = httpx.create_ssl_context()
        trusted.load_default_certs(ssl.Purpose.SERVER_AUTH)
        self._longest_s = longest_s
        self._http = httpx.Client(
            timeout=min(_TIMEOUT_S, longest_s),
            follow_redirects=False,
            trust_env=False,
            verify=trusted,
            # Not packed: a small answer could unpack to a large one.
            headers={"User-Agent": "Mailroom", "Accept": "application/json", "Accept-Encoding": "identity"},
            limits=httpx.Limits(max_keepalive_connections=0),
        )

    def send(
        self,
        method: str,
        url: str,
        *,
        body: str | None = None,
        headers: Mapping[str, str] | None = None,
        bearer: str | None = None,
    ) -> Answer:
        """Send one request.

        Raises:
            TransientError: no answer, one that is too large or slow, or a status of 429 or from 500 on.
        """
        cut = CallCut()
        sent = dict(headers or {}) | ({"Authorization": f"Bearer {bearer}"} if bearer else {})
        timer = threading.Timer(self._longest_s, cut)
        timer.daemon = True
        timer.start()
        try:
            # Cookies of the last sign-in must not be sent with the next.
            self._http.cookies.clear()
            request = self._http.build_request(method, url, content=body, headers=sent, extensions={"trace": cut.trace})
            answer = self._http.send(request, stream=True)
            try:
                content = b""
                for piece in answer.iter_raw():
                    content += piece
                    if len(content) > _MOST_BYTES:
                        raise TransientError("the OpenID Connect provider's answer is too large")
            finally:
                answer.close()
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            raise TransientError("the OpenID Connect provider cannot be reached", kind=type(error).__name__) from None
        finally:
            timer.cancel()
        if answer.status_code == 429 or answer.status_code >= 500:
            raise TransientError("the OpenID Connect provider is not available", status=answer.status_code)
        return Answer(answer.status_code, content)

    @staticmethod
    def with_basic(
        user: str, password: str, uri: str, headers: dict[str, str], body: str
    ) -> tuple[str, dict[str, str], str]:
        """Return a request with Basic authentication."""
        word = base64.b64encode(f"{user}:{password}".encode()).decode()
        return uri, {**headers, "Authorization": f"Basic {word}"}, body


class Session:
    """The session that Authlib's client posts with."""

    def __init__(self, http: ProviderHttp) -> None:
        self._http = http

    def post(self, url: str, *, data: Mapping[str, str], headers: Mapping[str, str], auth: Any) -> Answer:
        """Post a form, authenticated as the client is."""
        uri, all_headers, body = auth.prepare("POST", url, dict(headers), urlencode(data))
        return self._http.send("POST", uri, body=body, headers=all_headers)
