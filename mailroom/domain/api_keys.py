"""API keys: the form of the secret, and the scopes that say what its holder may do.

    send            submit batches, see and resend the tenant's messages, suppress addresses, read webhooks
    inbox:ADDRESS   read this inbox: its items, their files and raw e-mails; a pattern or `@domain` is every inbox it matches
    archive         read archived documents by the item's id with their receipts, and the states of received e-mails
    administer      everything of the key's tenant; without a tenant everything of the installation

Scopes only ever add: a key may do what one of its scopes allows. Which request needs which: `mailroom.api.scopes`.
"""

import hashlib
import secrets
from collections.abc import Collection, Iterable

from mailroom.domain.inbound.routing import is_starred, normalise_pattern, takes

SEND, ARCHIVE, ADMINISTER = "send", "archive", "administer"
#: The start of a scope for one inbox; its address follows.
INBOX = "inbox:"
#: The scopes of a key that was made before there were any: it keeps all that it could do.
EVERYTHING = (ADMINISTER,)
SCOPES = f"{SEND}, {INBOX}ADDRESS, {ARCHIVE}, {ADMINISTER}"

MOST_SCOPES, MOST_NAME = 100, 100
#: Who made or revoked a key: the command. No key has this name.
BY_COMMAND = "cli"
#: The start of every key, by which scanners find leaked ones.
PREFIX = "mr_"
_BYTES = 32
#: The characters of a key that lists show: the prefix and 5 of 43, so 30 of its 256 bits.
_SHOWN = len(PREFIX) + 5


def new_key() -> str:
    """Return a new key: `mr_` and 32 random bytes in base64url."""
    return PREFIX + secrets.token_urlsafe(_BYTES)


def key_digest(key: str) -> str:
    """Return the SHA-256 of a key in lower-case hex, by which it is looked up; keys are random and need no slow hash."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def first_characters(key: str) -> str:
    """Return the characters of a key by which its holder recognises it in a list."""
    return key[:_SHOWN]


def key_name(written: str) -> str:
    """Return the name of a key without spaces around it.

    Raises:
        ValueError: it is empty, too long, has control characters, or is `cli`; the message is a sentence for people.
    """
    name = written.strip()
    if not 0 < len(name) <= MOST_NAME or not name.isprintable():
        raise ValueError(f"a key's name has 1 to {MOST_NAME} printable characters")
    if name.lower() == BY_COMMAND:
        raise ValueError(f"no key is named {BY_COMMAND}: lists say so of keys that the command made")
    return name


def read_scopes(written: Iterable[str]) -> tuple[str, ...]:
    """Return scopes sorted, each once, with addresses as they are stored.

    Raises:
        ValueError: there is none, one is unknown, or there are too many; the message is a sentence for people.
    """
    found = sorted({_scope(one) for one in written})
    if not found:
        raise ValueError(f"a key needs a scope: {SCOPES}")
    if len(found) > MOST_SCOPES:
        raise ValueError(f"a key has at most {MOST_SCOPES} scopes; use {INBOX}@domain for the inboxes of a domain")
    return tuple(found)


def covers(held: Collection[str], scope: str) -> bool:
    """Return whether the scopes `held` allow all that `scope` allows."""
    if ADMINISTER in held or scope in held:
        return True
    address = scope.removeprefix(INBOX)
    return address != scope and any(_matches(pattern, address) for pattern in inboxes_of(held))


def may_read(held: Collection[str], address: str) -> bool:
    """Return whether the scopes `held` allow to read the inbox of a normalised address."""
    return ADMINISTER in held or any(_matches(pattern, address) for pattern in inboxes_of(held))


def inboxes_of(held: Iterable[str]) -> tuple[str, ...]:
    """Return the addresses and patterns of the inboxes that the scopes `held` name."""
    return tuple(scope.removeprefix(INBOX) for scope in held if scope.startswith(INBOX))


def _scope(written: str) -> str:
    word = written.strip()
    if word in (SEND, ARCHIVE, ADMINISTER):
        return word
    if not word.startswith(INBOX):
        raise ValueError(f"unknown scope; use {SCOPES}")
    try:
        pattern = normalise_pattern(word.removeprefix(INBOX))
    except ValueError:
        pattern = ""
    if "@" not in pattern:
        raise ValueError(
            f"{INBOX} needs an address: {INBOX}ada@acme.test, {INBOX}invoice-*@acme.test, {INBOX}@acme.test"
        )
    return f"{INBOX}{pattern}"


def _matches(pattern: str, address: str) -> bool:
    """Return whether a pattern takes an address. A pattern within a wider one matches too: stars are letters like others."""
    if pattern.startswith("@") and not is_starred(pattern):
        return address.endswith(pattern)
    return pattern == address or (is_starred(pattern) and takes(pattern, address))
