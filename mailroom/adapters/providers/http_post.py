"""One POST to a provider's HTTP API, sent once, and what its status means for the mail.

Only without a connection is it certain that nothing was sent. Once the request is on its way, anything but a plain response
leaves the outcome unknown: a server may read a request to its end, act on it, and fail to respond.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from mailroom.domain.errors import MailroomError, OutcomeUnknown, TransientError
from mailroom.domain.outbound.answers import classify_http, error_of

_LONGEST_WAIT_S = 3_600
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """A response: `body` is its decoded JSON, None when it is not JSON."""

    status: int
    headers: Mapping[str, str]
    body: Any


class Poster:
    """A client of a provider's HTTP API; safe to share between threads."""

    def __init__(self, provider: str, url: str, *, headers: Mapping[str, str], timeout_s: float) -> None:
        self._provider = provider
        self._http = httpx.Client(
            base_url=url,
            headers=dict(headers) | {"Accept": "application/json"},
            timeout=httpx.Timeout(timeout_s, connect=min(10.0, timeout_s), pool=timeout_s),
            # A kept connection may be closed by the other side just as a mail is written to it, or still have a second response
            # to the previous request: the first makes an outcome unknown, the second makes it wrong.
            limits=httpx.Limits(max_connections=50, max_keepalive_connections=0),
            follow_redirects=False,
        )

    def post(self, path: str, content: bytes) -> HttpAnswer:
        """Send once and return the response, whatever its status.

        Raises:
            TransientError: no connection was made.
            OutcomeUnknown: there was no response.
        """
        try:
            answer = self._http.post(path, content=content, headers={"Content-Type": "application/json"})
        except _NOT_SENT as error:
            raise TransientError("the provider cannot be reached", **self._facts(error)) from None
        except httpx.HTTPError as error:
            raise OutcomeUnknown("the provider's response was lost", **self._facts(error)) from None
        return HttpAnswer(answer.status_code, answer.headers, _json(answer))

    def get(self, path: str, query: Mapping[str, str]) -> HttpAnswer:
        """Return the response to a query, whatever its status.

        Raises:
            TransientError: there was none.
        """
        try:
            answer = self._http.get(path, params=dict(query))
        except httpx.HTTPError as error:
            raise TransientError("the provider cannot be reached", **self._facts(error)) from None
        return HttpAnswer(answer.status_code, answer.headers, _json(answer))

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _facts(self, error: Exception) -> dict[str, str]:
        return {"provider": self._provider, "kind": type(error).__name__}


def verdict(answer: HttpAnswer, *, provider: str, **facts: Any) -> MailroomError:
    """Return the error that an unsuccessful response means for a mail, by its HTTP status alone."""
    found = classify_http(answer.status, after_s=retry_after_s(answer.headers))
    return error_of(found, provider=provider, status=answer.status, **facts)


def retry_after_s(headers: Mapping[str, str]) -> int | None:
    """Return the wait that a response asks for, in seconds: `Retry-After`, or `X-RateLimit-Reset`, a time."""
    # The first header's other form, a date, is rare and ignored.
    value, reset = headers.get("Retry-After", ""), headers.get("X-RateLimit-Reset", "")
    if value.isdecimal() and len(value) < 6:
        return int(value)
    if reset.isdecimal() and len(reset) < 12:
        return min(max(0, int(reset) - int(time.time())), _LONGEST_WAIT_S)
    return None


def _json(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        return None
