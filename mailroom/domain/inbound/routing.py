"""Routing: from envelope recipients to the inboxes that get the mail.

One spelling, for storing and for comparing:

- The domain is its A-label in lower case, by UTS 46 without transitional mapping (IDNA 2008): `BÜCHER.test` and
  `xn--bcher-kva.test` are one domain, `straße.test` and `strasse.test` are two. A closing full stop is dropped.
- The local part is in lower case and Unicode's composed form (NFC): addresses here do not differ by case.
- Unneeded quotes and backslashes are dropped (RFC 5321 section 4.1.2): `"anna"` is `anna`, `"a\\nna"` too.
  Within quotes a plus sign or star is literal, so there quotes are needed.
- Everything after the first plus sign that is not the first letter is a token, kept as data (the detail of RFC 5233).

One order of precedence, the narrowest first: the exact address, the address without its token, a pattern (the one with the
most letters), the whole domain, and last the rule for the key prefix under which SES's receipt rule stored the mail.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import idna

from mailroom.domain.errors import Quarantined, Reason
from mailroom.domain.inbound.filing_policy import DEFAULT_POLICY, FilingPolicy

INBOX = "inbox"
"""The processor of an address whose mail is only filed."""

_ADDRESS = re.compile(r'(?P<local>"(?:[^"\\]|\\.)*"|[^@\s]+)@(?P<domain>[^@\s]+)')
#: PostgreSQL cannot store NUL, and no encoding can write lone surrogates.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_NEEDS_QUOTES = re.compile(r'[\s\x00-\x1f\x7f()<>\[\]:;@\\,"+*]|^\.|\.\.|\.$|^$')
_PREFIX = re.compile(r"(?:[^/\s\x00-\x1f\x7f]+/)+")
#: Domain of the inboxes for mail with unknown recipients; by RFC 2606 it cannot exist, so it is no real address.
_NO_ADDRESS = "prefix.invalid"
#: SES accepts 50 recipients of one mail.
_MOST_TOKENS = 100


@dataclass(frozen=True, slots=True)
class Address:
    """An address of the directory. `pattern` is an address, one with stars in its local part, `@domain` for a whole domain,
    or `prefix/` for mails under a key prefix that no address takes.

    `processor` names what is done with the mail besides filing; `policy` is the tenant's.
    """

    pattern: str
    tenant: str
    user: str
    processor: str = INBOX
    policy: FilingPolicy = DEFAULT_POLICY


@dataclass(frozen=True, slots=True)
class Route:
    """One recipient's route to one inbox, with the reason for it."""

    recipient: str
    tenant: str
    user: str
    why: str
    plus_token: str | None = None
    processor: str = INBOX
    policy: FilingPolicy = DEFAULT_POLICY
    more_tokens: tuple[str, ...] = ()
    """Tokens of other recipients that are the same inbox, without `plus_token`; at most `_MOST_TOKENS`."""

    @property
    def plus_tokens(self) -> tuple[str, ...]:
        """The tokens of all recipients that are this inbox, in their order."""
        return ((self.plus_token,) if self.plus_token is not None else ()) + self.more_tokens


def normalise(address: str) -> str:
    """Return `address` in the spelling that is stored and compared.

    Raises:
        ValueError: it is not one address.
    """
    match = _ADDRESS.fullmatch(address.strip())
    if match is None or len(address) > 320 or _UNSTORABLE.search(address):
        raise ValueError("not an e-mail address")
    # Composed before and after: some capitals decompose when they are lowered.
    local = unicodedata.normalize("NFC", unicodedata.normalize("NFC", match["local"]).lower())
    return f"{_needed_quotes(local)}@{normalise_domain(match['domain'])}"


def normalise_domain(domain: str) -> str:
    """Return `domain` as its A-label in lower case.

    Raises:
        ValueError: a label is empty, over 63 octets or not allowed.
    """
    try:
        name = idna.uts46_remap(domain, False, False).removesuffix(".")
        labels = [_label(label) for label in name.split(".")]
    except UnicodeError:
        raise ValueError("not a domain name") from None
    if len(".".join(labels)) > 253:
        raise ValueError("not a domain name")
    return ".".join(labels)


def normalise_pattern(text: str) -> str:
    """Return the stored spelling of an address, a pattern, a domain or a prefix rule.

    Raises:
        ValueError: it is none of them.
    """
    if "@" not in text:
        if _PREFIX.fullmatch(text) and len(text) <= 320:
            return text
        raise ValueError("not a key prefix")
    local, _, domain = text.rpartition("@")
    if "*" in domain:
        raise ValueError("stars are allowed in the part before the @ only")
    # A local part of stars alone is the whole domain.
    return normalise(text) if local.strip("*") else f"@{normalise_domain(domain)}"


def candidates(recipient: str) -> list[str]:
    """Return the patterns that may match `recipient`, best first: exact, without the plus token, the whole domain."""
    local, _, domain = normalise(recipient).rpartition("@")
    exact = f"{local}@{domain}"
    bare = f"{_split_plus(local)[0]}@{domain}"
    return list(dict.fromkeys([exact, bare, f"@{domain}"]))


def prefix_rules(key: str) -> list[str]:
    """Return the prefix rules that may match an object's key, the longest first."""
    folders = key.split("/")[:-1]
    return ["/".join(folders[:count]) + "/" for count in range(len(folders), 0, -1)]


def wanted(recipients: Iterable[str], key: str) -> list[str]:
    """Return all patterns to look up in the directory to route a mail; recipients that are no addresses are skipped."""
    patterns: dict[str, None] = {}
    for recipient in recipients:
        try:
            patterns.update(dict.fromkeys(candidates(recipient)))
        except ValueError:
            continue
    return [*patterns, *prefix_rules(key)]


def is_starred(pattern: str) -> bool:
    """Return whether `pattern` stands for several addresses of one domain."""
    return "*" in pattern.rpartition("@")[0] and not pattern.startswith('"')


def takes(pattern: str, address: str) -> bool:
    """Return whether a pattern with stars matches an address in its stored spelling; a star is any number of letters."""
    if not is_starred(pattern):
        return False
    first, *middle, last = pattern.split("*")
    if not (address.startswith(first) and address.endswith(last) and len(address) >= len(first) + len(last)):
        return False
    at, end = len(first), len(address) - len(last)
    for piece in middle:
        position = address.find(piece, at, end)
        if position < 0:
            return False
        at = position + len(piece)
    return True


def route(recipients: Iterable[str], known: Mapping[str, Sequence[Address]], *, key: str = "") -> list[Route]:
    """Return one route for each recipient and inbox, in the order of the recipients.

    `known` maps a pattern (see `wanted`) to the addresses that have it; `key` is the raw object's.

    Raises:
        Quarantined: `no_route`, when no recipient is known here.
    """
    routes: dict[tuple[str, str], Route] = {}
    values = list(recipients)
    for new_route in (one for recipient in values for one in _routes_of(recipient, known, key)):
        inbox_key = new_route.tenant, new_route.recipient
        routes[inbox_key] = _with_token(routes.get(inbox_key, new_route), new_route.plus_token)
    if not routes:
        # No recipient is known, by a fault or because the mail is known only from the bucket: the key prefix decides.
        rule = next((rule for rule in prefix_rules(key) if rule in known), None)
        inbox = f"{rule.strip('/').replace('/', '-')}@{_NO_ADDRESS}" if rule else ""
        return [_to(at, inbox, "prefix") for at in known[rule]] if rule else _no_route()
    return list(routes.values())


def _with_token(route: Route, token: str | None) -> Route:
    """Return the route with one more token."""
    if token is None or token in route.plus_tokens or len(route.more_tokens) >= _MOST_TOKENS:
        return route
    return replace(route, more_tokens=(*route.more_tokens, token))


def _routes_of(recipient: str, known: Mapping[str, Sequence[Address]], key: str) -> list[Route]:
    try:
        exact = normalise(recipient)
    except ValueError:
        return []
    local, _, domain = exact.rpartition("@")
    name, token = _split_plus(local)
    bare = f"{name}@{domain}"
    if exact in known:
        return [_to(at, exact, "exact") for at in known[exact]]
    if bare in known:
        return [_to(at, bare, "plus", token) for at in known[bare]]
    for spelling, kept in ((bare, token), (exact, None)):
        starred = [pattern for pattern in known if takes(pattern, spelling)]
        if starred:
            best = max(starred, key=lambda pattern: (len(pattern) - pattern.count("*"), pattern))
            return [_to(at, spelling, "pattern", kept) for at in known[best]]
    for pattern, why in ((f"@{domain}", "domain"), *((rule, "prefix") for rule in prefix_rules(key))):
        if pattern in known:
            return [_to(at, bare, why, token) for at in known[pattern]]
    return []


def _to(at: Address, inbox: str, why: str, token: str | None = None) -> Route:
    return Route(inbox, at.tenant, at.user, why, token, at.processor, at.policy)


def _no_route() -> list[Route]:
    raise Quarantined(Reason.NO_ROUTE)


def _label(label: str) -> str:
    """Return one label of a domain; an ASCII label is kept unchanged, for names with underscores receive mail too."""
    if label.isascii() and not label.startswith("xn--"):
        if not 0 < len(label) <= 63:
            raise ValueError("not a domain name")
        return label
    return idna.alabel(label).decode("ascii")


def _needed_quotes(local: str) -> str:
    if not local.startswith('"'):
        return local
    text = re.sub(r"\\(.)", r"\1", local[1:-1], flags=re.DOTALL)
    if _NEEDS_QUOTES.search(text):
        escaped = re.sub(r'(["\\])', r"\\\1", text)
        return f'"{escaped}"'
    return text


def _split_plus(local: str) -> tuple[str, str | None]:
    if local.startswith('"') or "+" not in local[1:]:
        return local, None
    at = local.index("+", 1)
    return local[:at], local[at + 1 :] or None
