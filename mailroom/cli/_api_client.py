"""Client of Mailroom's HTTP API, for commands that need only an API key."""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import httpx

from mailroom.domain.errors import ConfigurationError, Fault, PermanentError, TransientError, Unacceptable
from mailroom.domain.outbound.message import LIMITS
from mailroom.settings import running_stack

_PIECE = 64 << 10
_PAUSES_S = (1, 2, 4)
_LATER = frozenset({429, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Submitted:
    """The response to a batch; `repeated` if the idempotency key was used before."""

    answer: dict[str, Any]
    repeated: bool


class ApiClient:
    """The API at one address, with one key."""

    def __init__(self, url: str, key: str) -> None:
        self.url = url.rstrip("/")
        self._http = httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {key}"}, timeout=120)

    def submit(
        self,
        body: bytes,
        *,
        key: str,
        tenant: str | None,
        dry_run: bool,
        sent: Callable[[int], object],
        trial: Mapping[str, str | int] = MappingProxyType({}),
    ) -> Submitted:
        """Submit a batch, or preview it; retried under the same key while the API cannot be reached.

        `sent` is called with the number of bytes of the body sent so far. `trial` are the parameters `preview` and `test_to`.

        Raises:
            Unacceptable: with every fault the API found.
        """

        if len(body) > LIMITS.body:
            raise ConfigurationError(
                f"the request has {len(body):,} bytes, the limit is {LIMITS.body:,}: split the file, or attach large "
                "files by archive_id or s3"
            )

        def pieces() -> Iterator[bytes]:
            for start in range(0, len(body), _PIECE):
                yield body[start : start + _PIECE]
                sent(min(start + _PIECE, len(body)))

        params = dict(trial) | ({"tenant": tenant} if tenant else {}) | ({"dry_run": "true"} if dry_run else {})
        headers = {"Idempotency-Key": key, "Content-Type": "application/json", "Content-Length": str(len(body))}
        answer = self._tried(lambda: self._http.post("/v1/batches", params=params, headers=headers, content=pieces()))
        return Submitted(answer.json(), "Idempotent-Replayed" in answer.headers)

    def batch(self, batch_id: str) -> dict[str, Any]:
        """Return a batch in its current state."""
        batch: dict[str, Any] = self._tried(lambda: self._http.get(f"/v1/batches/{batch_id}")).json()
        return batch

    def messages(self, batch_id: str, statuses: Sequence[str], *, limit: int) -> list[dict[str, Any]]:
        """Return the newest messages of a batch in these statuses."""
        params: dict[str, Any] = {"batch": batch_id, "status": list(statuses), "limit": limit}
        messages: list[dict[str, Any]] = self._tried(lambda: self._http.get("/v1/messages", params=params)).json()[
            "items"
        ]
        return messages

    def _tried(self, call: Callable[[], httpx.Response]) -> httpx.Response:
        for pause_s in (*_PAUSES_S, None):
            try:
                answer = call()
            except httpx.TransportError as error:
                if pause_s is None:
                    raise TransientError(
                        "Mailroom's API cannot be reached; check MAILROOM_API_URL, or `mailroom status`",
                        kind=type(error).__name__,
                    ) from None
            else:
                if answer.status_code not in _LATER or pause_s is None:
                    return _checked(answer)
            time.sleep(pause_s)
        raise AssertionError("unreachable")


def api_client() -> ApiClient:
    """Return the API of the environment (`MAILROOM_API_URL`, `MAILROOM_API_KEY`), else that of the running sandbox.

    Raises:
        ConfigurationError: there is neither.
    """
    url, key = os.environ.get("MAILROOM_API_URL"), os.environ.get("MAILROOM_API_KEY")
    if url and key:
        return ApiClient(url, key)
    if url or key:
        raise ConfigurationError(
            "set both MAILROOM_API_URL and MAILROOM_API_KEY, or neither to use the stack on this machine"
        )
    stack = running_stack()
    if stack is None or "api_key" not in stack:
        raise ConfigurationError(
            "no stack is running on this machine; start it with `mailroom up`, or set MAILROOM_API_URL and "
            "MAILROOM_API_KEY"
        )
    return ApiClient(stack["api_url"], stack["api_key"])


def faults_of(errors: Sequence[Mapping[str, Any]]) -> tuple[Fault, ...]:
    """Return the faults that the API found, each with its position."""
    return tuple(
        Fault(tuple(int(part) if part.isdecimal() else part for part in error["where"]), str(error["what"]))
        for error in errors
    )


def _checked(answer: httpx.Response) -> httpx.Response:
    """Return a successful response; raise the API's own message for an error."""
    status = answer.status_code
    if status < httpx.codes.BAD_REQUEST:
        return answer
    try:
        problem = answer.json()
        detail, errors = str(problem.get("detail") or problem.get("title")), problem.get("errors") or ()
        faults = faults_of(errors)
    except (ValueError, KeyError, AttributeError, TypeError):
        raise PermanentError("the response is not from Mailroom's API; check MAILROOM_API_URL", status=status) from None
    if status == httpx.codes.UNAUTHORIZED:
        raise ConfigurationError("the API key is invalid; check MAILROOM_API_KEY")
    if faults:
        raise Unacceptable("the batch was not submitted", faults=faults)
    if status >= httpx.codes.INTERNAL_SERVER_ERROR:
        raise TransientError("the API failed; try again later", status=status)
    raise PermanentError(f"the API rejected the request: {detail}", status=status)
