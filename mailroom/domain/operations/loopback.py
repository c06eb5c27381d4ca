"""Checks of `Host` and `Origin` by which a server on loopback accepts its own pages and local programs only.

Loopback keeps other machines out, but not pages of other sites in a browser on this machine. Browsers send the requested
name with each request, which is not ours if a foreign name was made to point here (DNS rebinding), and the page's origin
with each post and WebSocket. Programs send no origin.
"""

from collections.abc import Sequence

_NAMES = frozenset({"127.0.0.1", "localhost", "[::1]"})


def names_this_machine(host: str) -> bool:
    """Return whether a `Host` header is a loopback name, with any port."""
    return _parts(host)[0] in _NAMES


def is_own(hosts: Sequence[str], origins: Sequence[str]) -> bool:
    """Return whether a request's `Host` is a loopback name, and every `Origin` has the same port and such a name."""
    if len(hosts) != 1 or not names_this_machine(hosts[0]):
        return False
    port = _parts(hosts[0])[1]
    split = [origin.partition("://") for origin in origins]
    return all(
        scheme == "http" and names_this_machine(place) and _parts(place)[1] == port for scheme, _, place in split
    )


def _parts(place: str) -> tuple[str, str]:
    """Return name and port; a missing port is empty."""
    name, colon, port = place.lower().rpartition(":")
    return (name, port) if colon and port.isdecimal() else (place.lower(), "")
