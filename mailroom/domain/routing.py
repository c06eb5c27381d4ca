"""From envelope recipients to the inboxes that get the mail.

One rule for spelling: the domain is compared as its A-label in lower case, the local part in lower case and NFC, and
everything from the first plus sign on is a token that is kept as data (RFC 5233 calls it the detail).
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mailroom.domain.errors import Quarantined, Reason

_ADDRESS = re.compile(r'(?P<local>"(?:[^"\\]|\\.)*"|[^@\s]+)@(?P<domain>[^@\s]+)')


@dataclass(frozen=True, slots=True)
class Address:
    """An address that receives. `pattern` is a whole address, or `@domain` for all of a domain."""

    pattern: str
    tenant: str
    user: str


@dataclass(frozen=True, slots=True)
class Route:
    """One recipient's way to one inbox, with the reason for the choice."""

    recipient: str
    tenant: str
    user: str
    why: str
    plus_token: str | None = None


def normalise(address: str) -> str:
    """Return `address` in the spelling that is stored and compared.

    Raises:
        ValueError: it is not one address.
    """
    match = _ADDRESS.fullmatch(address.strip())
    if match is None or len(address) > 320:
        raise ValueError("not an e-mail address")
    # Composed before and after: some capitals have no small letter of their own and come apart.
    local = unicodedata.normalize("NFC", unicodedata.normalize("NFC", match["local"]).lower())
    return f"{local}@{normalise_domain(match['domain'])}"


def normalise_domain(domain: str) -> str:
    """Return `domain` as its A-label in lower case.

    Raises:
        ValueError: a label is empty, over 63 octets or not allowed.
    """
    name = domain.rstrip(".").lower()
    if not name:
        raise ValueError("not a domain name")
    try:
        return name.encode("idna").decode("ascii")
    except UnicodeError:
        raise ValueError("not a domain name") from None


def candidates(recipient: str) -> list[str]:
    """Return the patterns that could take `recipient`, best first: exact, without the plus token, the whole domain."""
    local, _, domain = normalise(recipient).rpartition("@")
    exact = f"{local}@{domain}"
    bare = f"{_split_plus(local)[0]}@{domain}"
    return list(dict.fromkeys([exact, bare, f"@{domain}"]))


def route(recipients: Iterable[str], known: Mapping[str, Sequence[Address]]) -> list[Route]:
    """Return one route for each recipient and inbox, in the order of the recipients.

    `known` maps a pattern (see `candidates`) to the addresses that have it.

    Raises:
        Quarantined: `no_route`, when no recipient is known here.
    """
    routes: dict[tuple[str, str], Route] = {}
    for recipient in recipients:
        for found in _routes_of(recipient, known):
            routes.setdefault((found.tenant, found.recipient), found)
    if not routes:
        raise Quarantined(Reason.NO_ROUTE)
    return list(routes.values())


def _routes_of(recipient: str, known: Mapping[str, Sequence[Address]]) -> list[Route]:
    try:
        patterns = candidates(recipient)
    except ValueError:
        return []
    for pattern in patterns:
        if pattern in known:
            local, _, domain = patterns[0].rpartition("@")
            token = _split_plus(local)[1] if pattern != patterns[0] else None
            if pattern.startswith("@"):
                why, inbox = "domain", f"{_split_plus(local)[0]}@{domain}"
            else:
                why, inbox = ("exact" if pattern == patterns[0] else "plus"), pattern
            return [Route(inbox, at.tenant, at.user, why, token) for at in known[pattern]]
    return []


def _split_plus(local: str) -> tuple[str, str | None]:
    if local.startswith('"') or "+" not in local[1:]:
        return local, None
    at = local.index("+", 1)
    return local[:at], local[at + 1 :] or None
