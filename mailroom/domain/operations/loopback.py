"""What a server that only this machine reaches may go by, to tell its own pages and programs from other sites' pages.

Loopback keeps other machines out, but not the pages of other sites in a browser on this one. Browsers say the name that was
asked for with everything, which is not ours where a foreign name was made to point here (DNS rebinding), and a page's
origin with every post and WebSocket. Programs name no origin.
"""

from collections.abc import Sequence

_NAMES = frozenset({"127.0.0.1", "localhost", "[::1]"})


def names_this_machine(host: str) -> bool:
    """Tell whether a `Host` header is a loopback name, with any port."""
    return _parts(host)[0] in _NAMES


def is_own(hosts: Sequence[str], origins: Sequence[str]) -> bool:
    """Tell whether a request's `Host` is a loopback name, and every `Origin` a page of the same port under such a name."""
    if len(hosts) != 1 or not names_this_machine(hosts[0]):
        return False
    port = _parts(hosts[0])[1]
    split = [origin.partition("://") for origin in origins]
    return all(
        scheme == "http" and names_this_machine(place) and _parts(place)[1] == port for scheme, _, place in split
    )


def _parts(place: str) -> tuple[str, str]:
    """Return name and port; a port that is not there is empty."""
    name, colon, port = place.lower().rpartition(":")
    return (name, port) if colon and port.isdecimal() else (place.lower(), "")
