"""A limit of attempts for each client, in the memory of a process: several processes allow several times as many."""

import threading
import time
from collections import deque
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address

from fastapi import HTTPException, Request

from mailroom.settings import Settings

#: Clients that are remembered; when there are more, those that came first are forgotten.
_MOST_CLIENTS = 10_000


class Attempts:
    """Counts attempts of each client within a time."""

    def __init__(self, most: int = 20, within_s: float = 900.0, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._within_s, self._clock = most, within_s, clock
        self._made: dict[str, deque[float]] = {}
        self._changing = threading.Lock()

    def count(self, client: str) -> None:
        """Count an attempt.

        Raises:
            HTTPException: 429, there were too many; this one does not count, so waiting helps.
        """
        now = self._clock()
        with self._changing:
            made = self._made.pop(client, deque())
            while made and now - made[0] >= self._within_s:
                made.popleft()
            is_over = len(made) >= self._most
            if not is_over:
                made.append(now)
            # The latest last: the first is the one to forget.
            self._made[client] = made
            if len(self._made) > _MOST_CLIENTS:
                del self._made[next(iter(self._made))]
        if is_over:
            wait = int(self._within_s - (now - made[0])) + 1
            minutes = -(-wait // 60)
            what = f"Too many attempts; try again in {minutes} minute{'s' if minutes > 1 else ''}."
            raise HTTPException(429, what, {"Retry-After": str(wait)})


def client_of(request: Request, settings: Settings) -> str:
    """Return the address of the client, of IPv6 the network of 64 bits, whose addresses one client has all.

    Behind a TLS proxy it is the last one that the proxy wrote; others can be forged.
    """
    written = request.client.host if request.client else ""
    if settings.behind_tls_proxy and (hops := request.headers.getlist("x-forwarded-for")):
        written = hops[-1].rpartition(",")[2].strip()[:100]
    try:
        address = ip_address(written.partition("%")[0])
    except ValueError:
        return written
    if isinstance(address, IPv4Address):
        return str(address)
    number = int(address)
    # An IPv4 client of a socket for both (RFC 4291, section 2.5.5.2).
    is_of_v4 = number >> 32 == 0xFFFF
    return str(IPv4Address(number & 0xFFFF_FFFF) if is_of_v4 else IPv6Address(number >> 64 << 64))
