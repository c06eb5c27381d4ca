"""Routing: from envelope recipients to the inboxes that get the mail.

One spelling, for storing and for comparing:

- The domain is its A-label in lower case, by UTS 46 without transitional mapping (IDNA 2008): `BÜCHER.test` and
  `xn--bcher-kva.test` are one domain, `straße.test` and `strasse.test` are two. A closing full stop is dropped.
- The local part is in lower case and Unicode's composed form (NFC): addresses here do not differ by case.
- Unneeded quotes and backslashes are dropped (RFC 5321 section 4.1.2): `"anna"` is `anna`, `"a\\nna"` too.
  Within quotes a plus sign or star is literal, so there quotes are needed.
- Everything after the first plus sign that is not the first letter is a token, kept as data (the detail of RFC 5233).

One order of precedence, the narrowest first: the exact address, the address without its token, a pattern (the one with the
most letters), the whole domain, a pattern of subdomains (the longest domain first), and last the rule for the key prefix
under which SES's receipt rule stored the mail.
"""

import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
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
_PREFIX = re.compile(r"(?:[^/\s\x00-\x1f\x7f\ud800-\udfff]+/)+")
#: A pattern of subdomains names at most this many labels, so that a long domain is looked up by few patterns.
MOST_LABELS = 16
#: Domain of the inboxes for mail with unknown recipients; by RFC 2606 it cannot exist, so it is no real address.
_NO_ADDRESS = "prefix.invalid"
#: SES accepts 50 recipients of one mail.
_MOST_TOKENS = 100


@dataclass(frozen=True, slots=True)
class Address:
    """An address of the directory. `pattern` is an address, one with stars in its local part, `@domain` for a whole domain,
    any of these at `*.domain` for all subdomains of a domain, or `prefix/` for mails under a key prefix that no address takes.

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
    below, parent = ("*.", domain[2:]) if domain.startswith("*.") else ("", domain)
    if "*" in parent or "\N{FULLWIDTH ASTERISK}" in parent:
        raise ValueError("a domain has a star only at its beginning, as in *.acme.test")
    # A local part of stars alone is the whole domain.
    stored = normalise(f"{local}@{parent}") if local.strip("*") else f"@{normalise_domain(parent)}"
    local, _, parent = stored.rpartition("@")
    if below and not 1 <= parent.count(".") < MOST_LABELS:
        raise ValueError(f"a pattern of subdomains has 2 to {MOST_LABELS} labels after the star, as in *.acme.test")
    return f"{local}@{below}{parent}"


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
            exact, *rest = candidates(recipient)
        except ValueError:
            continue
        above = (f"@{parent}" for parent in parents(exact.rpartition("@")[2]))
        patterns.update(dict.fromkeys([exact, *rest, *above]))
    return [*patterns, *prefix_rules(key)]


def parents(domain: str) -> list[str]:
    """Return the domains with a star that stand for `domain` among their subdomains, the longest first.

    Each has two labels or more: `*.test` would take the mail of a whole top-level domain.
    """
    labels = domain.split(".")
    return ["*." + ".".join(labels[at:]) for at in range(max(1, len(labels) - MOST_LABELS), len(labels) - 1)]


def is_starred(pattern: str) -> bool:
    """Return whether `pattern` stands for several addresses of one domain, or for addresses of all its subdomains."""
    local, _, domain = pattern.rpartition("@")
    return _has_stars(local) or domain.startswith("*.")


def takes(pattern: str, address: str) -> bool:
    """Return whether a pattern with stars matches an address in its stored spelling; a star is any number of letters.

    A star that begins the domain is one label or more: `@*.acme.test` takes `x@a.acme.test`, not `x@acme.test`.
    """
    local, _, domain = pattern.rpartition("@")
    if not domain.startswith("*."):
        return _has_stars(local) and _matches(pattern, address)
    name, _, host = address.rpartition("@")
    if not host.endswith(domain[1:]) or len(host) < len(domain):
        return False
    return not local or (_matches(local, name) if _has_stars(local) else local == name)


def covering(patterns: Collection[str], recipient: str, *, key: str = "") -> set[str]:
    """Return those of the patterns that may route a mail for `recipient` under this key, if no narrower one takes it."""
    try:
        *names, whole = candidates(recipient)
    except ValueError:
        return set()
    plain = {*names, whole, *prefix_rules(key)}
    return {one for one in patterns if one in plain or any(takes(one, name) for name in names)}


def prefix_inbox(rule: str) -> str:
    """Return the inbox of a prefix rule for mail of unknown recipients."""
    return f"{rule.strip('/').replace('/', '-')}@{_NO_ADDRESS}"


def _has_stars(local: str) -> bool:
    return "*" in local and not local.startswith('"')


def _matches(pattern: str, address: str) -> bool:
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
        return [_to(at, prefix_inbox(rule), "prefix") for at in known[rule]] if rule else _no_route()
    return list(routes.values())


def _with_token(route: Route, token: str | None) -> Route:
    """Return the route with one more token."""
    if token is None or token in route.plus_tokens or len(route.more_tokens) >= _MOST_TOKENS:
        return route
    return replace(route, more_tokens=(*route.more_tokens, token))


def unrouted(recipients: Iterable[str], known: Mapping[str, Sequence[Address]], *, key: str = "") -> tuple[str, ...]:
    """Return the recipients, each once and as written, that have no route here; () if none has one."""
    values = list(dict.fromkeys(recipients))
    missed = tuple(recipient for recipient in values if not _routes_of(recipient, known, key))
    return missed if len(missed) < len(values) else ()


def _routes_of(recipient: str, known: Mapping[str, Sequence[Address]], key: str) -> list[Route]:
    try:
        exact = normalise(recipient)
    except ValueError:
        return []
    local, _, domain = exact.rpartition("@")
    if "*" in domain:
        # No domain has a star: such a recipient must not be taken for the pattern that is written so.
        return []
    name, token = _split_plus(local)
    bare = f"{name}@{domain}"
    if exact in known:
        return [_to(at, exact, "exact") for at in known[exact]]
    if bare in known:
        return [_to(at, bare, "plus", token) for at in known[bare]]
    for spelling, kept in ((bare, token), (exact, None)):
        if best := _best(pattern for pattern in known if pattern.endswith(f"@{domain}") and takes(pattern, spelling)):
            return [_to(at, spelling, "pattern", kept) for at in known[best]]
    if f"@{domain}" in known:
        return [_to(at, bare, "domain", token) for at in known[f"@{domain}"]]
    for parent in parents(domain):
        for written, kept in ((local, None), (name, token)):
            if f"{written}@{parent}" in known:
                return [_to(at, f"{written}@{domain}", "subdomain", kept) for at in known[f"{written}@{parent}"]]
        below = [one for one in known if one.endswith(f"@{parent}") and _has_stars(one.rpartition("@")[0])]
        for spelling, kept in ((bare, token), (exact, None)) if below else ():
            if best := _best(pattern for pattern in below if takes(pattern, spelling)):
                return [_to(at, spelling, "subdomain", kept) for at in known[best]]
        if f"@{parent}" in known:
            return [_to(at, bare, "subdomain", token) for at in known[f"@{parent}"]]
    rule = next((rule for rule in prefix_rules(key) if rule in known), None)
    return [_to(at, bare, "prefix", token) for at in known[rule]] if rule else []


def _best(patterns: Iterable[str]) -> str | None:
    """Return the pattern with the most letters; None of none."""
    return max(patterns, key=lambda one: (len(one) - one.count("*"), one), default=None)


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
