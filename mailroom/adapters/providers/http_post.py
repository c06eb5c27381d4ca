"""One POST to a provider's HTTP interface, sent once, and what its status means.

Only a connection that never came about is certain to have handed nothing over. Once the request is on its way, anything
but a plain answer leaves the outcome unknown: a server may read a request to its end, act on it, and fail to say so.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from mailroom.domain.errors import MailroomError, OutcomeUnknown, Paused, Refused, Throttled, TransientError

_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What came back: `body` is what the JSON said, None where it was none."""

    status: int
    headers: Mapping[str, str]
    body: Any


class Poster:
    """A provider's HTTP interface; safe to share between threads."""

    def __init__(self, provider: str, url: str, *, headers: Mapping[str, str], timeout_s: float) -> None:
        self._provider = provider
        self._http = httpx.Client(
            base_url=url,
            headers=dict(headers) | {"Accept": "application/json"},
            timeout=httpx.Timeout(timeout_s, connect=min(10.0, timeout_s), pool=timeout_s),
            # A connection that is kept may be closed by the other side just as a mail is written to it, or still hold a second
            # answer to the request before: the one makes an outcome unknown, the other makes it wrong.
            limits=httpx.Limits(max_connections=50, max_keepalive_connections=0),
            follow_redirects=False,
        )

    def post(self, path: str, content: bytes) -> HttpAnswer:
        """Send once and return the answer, whatever its status.

        Raises:
            TransientError: no connection came about.
            OutcomeUnknown: there was no answer.
        """
        try:
            answer = self._http.post(path, content=content, headers={"Content-Type": "application/json"})
        except _NOT_SENT as error:
            raise TransientError("the provider cannot be reached", **self._facts(error)) from None
        except httpx.HTTPError as error:
            raise OutcomeUnknown("the provider's answer was lost", **self._facts(error)) from None
        return HttpAnswer(answer.status_code, answer.headers, _json(answer))

    def get(self, path: str, query: Mapping[str, str]) -> HttpAnswer:
        """Return the answer to a question, whatever its status.

        Raises:
            TransientError: there was none.
        """
        try:
            answer = self._http.get(path, params=dict(query))
        except httpx.HTTPError as error:
            raise TransientError("the provider cannot be reached", **self._facts(error)) from None
        return HttpAnswer(answer.status_code, answer.headers, _json(answer))

    def close(self) -> None:
        """Let go of connections."""
        self._http.close()

    def _facts(self, error: Exception) -> dict[str, str]:
        return {"provider": self._provider, "kind": type(error).__name__}


def verdict(answer: HttpAnswer, *, provider: str, **facts: Any) -> MailroomError:
    """Return what an answer that is no success means for a mail."""
    facts = {"provider": provider, "status": answer.status} | facts
    match answer.status:
        case 429:
            return Throttled("the provider asks to slow down", retry_after_s=_retry_after(answer.headers), **facts)
        case 400 | 413 | 422:
            return Refused("the provider refused the mail", **facts)
        case status if 300 <= status < 500 and status != 408:
            # A key, a right or an address that is set up wrong costs no mail: all of them wait for a person.
            return Paused("the provider does not serve this account", **facts)
        case _:
            return OutcomeUnknown("the provider's answer says nothing of the mail", **facts)


def _retry_after(headers: Mapping[str, str]) -> int | None:
    # The other form of the header, a date, is rare enough to be none.
    value = headers.get("Retry-After", "")
    return int(value) if value.isdecimal() and len(value) < 6 else None


def _json(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        return None
