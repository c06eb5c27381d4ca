"""POST requests to tenants' webhook URLs, over HTTPS and to public addresses only.

`mailroom.domain.delivery.webhook_targets` defines which URLs are allowed. A name is resolved once, all of its addresses must
be public, and the connection goes to the checked address, so that a later change of the name has no effect. A connection is
used for one call, so that no other name is reached over it, and ended after 15 s, even if the other side still sends.
"""

import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Never
from urllib.parse import SplitResult, urlsplit, urlunsplit

import httpx

from mailroom.domain.delivery.post_faults import PostFault
from mailroom.domain.delivery.webhook_targets import WebhookTargets
from mailroom.domain.errors import Refused, TransientError

_TIMEOUT_S, _LONGEST_S = 5.0, 15.0
_AGAIN = frozenset({408, 409, 425, 429})

#: The defaults: public addresses and port 443.
_USUAL = WebhookTargets()


class HttpWebhooks:
    """The port `Webhooks`, for URLs that `targets` allows; a call ends after `longest_s` seconds."""

    def __init__(self, targets: WebhookTargets = _USUAL, *, longest_s: float = _LONGEST_S) -> None:
        self._targets, self._longest_s = targets, longest_s
        self._http = httpx.Client(
            timeout=_TIMEOUT_S,
            follow_redirects=False,
            trust_env=False,
            headers={"User-Agent": "Mailroom"},
            limits=httpx.Limits(max_keepalive_connections=0),
        )

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        """Post once, and return the status; see the port."""
        target, host = self._target(url)
        sent = {**headers, "Host": host}
        name = (urlsplit(url).hostname or "").removesuffix(".")
        cut = CallCut()
        extensions = {"sni_hostname": name, "trace": cut.trace}
        request = self._http.build_request("POST", target, content=body, headers=sent, extensions=extensions)
        timer = threading.Timer(self._longest_s, cut)
        timer.daemon = True
        timer.start()
        try:
            # Only the status counts: the response's body is not read.
            answer = self._http.send(request, stream=True)
            answer.close()
        except httpx.HTTPError as error:
            raise TransientError("the webhook cannot be reached", kind=type(error).__name__) from None
        finally:
            timer.cancel()
        status = answer.status_code
        if status in _AGAIN or status >= 500:
            raise TransientError("the webhook asks to retry later", step=PostFault.ASKED_TO_WAIT.value, status=status)
        return status if 200 <= status < 300 else _refuse("status", status=status)

    def _target(self, url: str) -> tuple[str, str]:
        """Return the URL with an address in place of its host name, and the value of the Host header."""
        if fault := self._targets.url_fault(url):
            _refuse(fault)
        parts = urlsplit(url)
        address = self._address(parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))
        return urlunsplit(_at(parts, address)), parts.netloc

    def _address(self, name: str, port: int) -> str:
        try:
            address_infos = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            raise TransientError(
                "the webhook's host name cannot be resolved", step=PostFault.NO_ADDRESS.value
            ) from None
        addresses = [str(one[4][0]) for one in address_infos]
        if fault := self._targets.addresses_fault(addresses):
            _refuse(fault)
        return addresses[0].partition("%")[0]


class CallCut:
    """Ends the connection of one call: httpx's timeouts start again with each byte."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Remember the socket when it is connected."""
        if event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            self._socket = info["return_value"].get_extra_info("socket")

    def __call__(self) -> None:
        """Shut the socket down."""
        if self._socket is not None:
            with suppress(OSError):
                # Not the TLS socket's own method, which removes state that the reading thread still uses.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


def _at(parts: SplitResult, address: str) -> SplitResult:
    host = f"[{address}]" if ":" in address else address
    return parts._replace(netloc=f"{host}:{parts.port}" if parts.port else host, fragment="")


def _refuse(step: str, **facts: int) -> Never:
    raise Refused("the webhook URL is not allowed", step=str(step), **facts) from None
