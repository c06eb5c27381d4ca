"""What is kept of a receiving address, from the words of people: for the HTTP API, the command, and its import of files."""

import re
from collections.abc import Iterable, Mapping

from mailroom.domain.errors import Quarantined
from mailroom.domain.inbound.routing import INBOX, Address, is_starred, normalise_pattern, route, wanted
from mailroom.inbound.processors import known_processors
from mailroom.ports.addresses import MailOfAddress
from mailroom.ports.directory import Directory

#: Addresses that one request adds, one command removes, and one file imports.
MOST_ADDED, MOST_REMOVED, MOST_IMPORTED = 1_000, 100, 100_000

WHAT_AN_ADDRESS_IS = "not an address; use name@domain, name-*@domain, @domain, *@*.domain or prefix/"
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_MOST_LETTERS = 200


def read_address(written: str, tenant: str, *, user: str | None = None, processor: str | None = None) -> Address:
    """Return the address that these words mean, in its stored spelling.

    Raises:
        ValueError: it is not one; the message says what to correct, and repeats nothing.
    """
    pattern = read_pattern(written)
    return Address(pattern, tenant, read_user(user) or usual_user(pattern), read_processor(processor or INBOX))


def read_pattern(written: str) -> str:
    """Return the stored spelling of an address.

    Raises:
        ValueError: it is not one.
    """
    try:
        return normalise_pattern(written.strip())
    except ValueError:
        raise ValueError(WHAT_AN_ADDRESS_IS) from None


def read_user(written: str | None) -> str | None:
    """Return the user, or None for an empty name.

    Raises:
        ValueError: it is too long, or has control characters.
    """
    name = (written or "").strip()
    if len(name) > _MOST_LETTERS or _CONTROL.search(name):
        raise ValueError(f"a user has at most {_MOST_LETTERS} letters, and no control characters")
    return name or None


def read_processor(written: str) -> str:
    """Return the name of a processor.

    Raises:
        ValueError: none has this name.
    """
    known = known_processors()
    if written not in known:
        raise ValueError(f"no processor of this name; available: {', '.join(sorted(known))}")
    return written


def usual_user(pattern: str) -> str:
    """Return the user of an address that names none: its local part, or its prefix."""
    return (pattern.rpartition("@")[0] if "@" in pattern else pattern.strip("/")) or "everyone"


def what_is_next(pattern: str, removed: Iterable[str], directory: Directory, *, tenant: str) -> str:
    """Return, as a sentence, where mail goes that `pattern` of this tenant took, once the `removed` ones are gone."""
    if "@" not in pattern or pattern.startswith("@") or is_starred(pattern):
        return "mail that no other address takes is quarantined as no_route"
    gone = {(one, tenant) for one in removed}
    known = {
        one: left
        for one, at in directory.lookup(wanted([pattern], "")).items()
        if (left := [address for address in at if (address.pattern, address.tenant) not in gone])
    }
    found = _routed(pattern, known)
    if not found:
        return "its mail is quarantined as no_route, unless a rule for a key prefix takes it"
    return f"its mail goes to {', '.join(found)}"


def what_happens(mail: MailOfAddress) -> list[str]:
    """Return, as sentences, what happens to the mail of an address that is changed or removed."""
    more = "" if mail.counted_all else ", of those that were counted"
    return [
        f"{mail.items} items that were filed stay in their inboxes with their user{more}",
        f"{mail.under_way} e-mails under way are routed when they are processed: after the change, by what is there then{more}",
        f"{mail.quarantined} quarantined e-mails are routed again when they are replayed{more}",
    ]


def _routed(address: str, known: Mapping[str, list[Address]]) -> list[str]:
    """Return the tenants that get the mail for an address, each with the type of its route."""
    try:
        return [f"tenant {to.tenant} ({to.why})" for to in route([address], known)]
    except Quarantined:
        return []
