"""Signing in by OpenID Connect: attempts of browsers, and why one fails.

An attempt is one random word and a time, signed, in a cookie of the browser that began. Its state, nonce and PKCE verifier
are derived from the cookie with the installation's key: nothing is stored here, and an answer that comes to another browser,
or after `ATTEMPT_LASTS`, does not fit.
"""

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from urllib.parse import urlsplit

from mailroom.domain.local_paths import local_path
from mailroom.domain.operations.loopback import names_this_machine

#: From the button to the provider's answer.
ATTEMPT_LASTS = timedelta(minutes=10)
#: The longest cookie that is read; browsers keep 4,096 bytes.
MOST_COOKIE = 3_500


@dataclass(frozen=True, slots=True)
class Attempt:
    """What one sign-in sends to the provider, and the page to open afterwards. `verifier` is PKCE's (RFC 7636)."""

    cookie: str
    state: str
    nonce: str
    verifier: str
    path: str


@dataclass(frozen=True, slots=True)
class VouchedFor:
    """Who the provider says it is: its id of the person, and an address that it has verified."""

    subject: str
    address: str


class OpenIdFault(StrEnum):
    """Why nobody is signed in, with a sentence for the person and one for what to do."""

    ANOTHER_ATTEMPT = "another_attempt"
    NOT_ALLOWED_THERE = "not_allowed_there"
    PROVIDER_ERROR = "provider_error"
    CODE_REFUSED = "code_refused"
    ANOTHER_ISSUER = "another_issuer"
    UNUSABLE_TOKEN = "unusable_token"  # noqa: S105 - a word, no secret
    NO_ADDRESS = "no_address"
    NOT_VERIFIED = "not_verified"
    FOREIGN_DOMAIN = "foreign_domain"
    NOBODY_HERE = "nobody_here"

    @property
    def sentence(self) -> str:
        """Return why, for a person."""
        return _SENTENCES[self][0]

    @property
    def remedy(self) -> str:
        """Return what the person can do."""
        return _SENTENCES[self][1]


_AGAIN = "Try again from this page."
_OPERATOR = "Try again; if it stays, report it to the operator."
_SENTENCES = {
    OpenIdFault.ANOTHER_ATTEMPT: (
        "This answer does not belong to a sign-in that this browser began in the last 10 minutes.",
        "Try again from this page, in one tab.",
    ),
    OpenIdFault.NOT_ALLOWED_THERE: ("The sign-in was cancelled or not allowed at the provider.", _AGAIN),
    OpenIdFault.PROVIDER_ERROR: ("The provider reported an error.", _OPERATOR),
    OpenIdFault.CODE_REFUSED: (
        "The provider did not accept its own answer: it was used before, or is too old.",
        _AGAIN,
    ),
    OpenIdFault.ANOTHER_ISSUER: ("The answer is from another provider than the one that was asked.", _OPERATOR),
    OpenIdFault.UNUSABLE_TOKEN: ("What the provider says of you cannot be relied on.", _OPERATOR),
    OpenIdFault.NO_ADDRESS: (
        "The provider named no e-mail address of yours.",
        "Ask the operator to let it send the claims email and email_verified.",
    ),
    OpenIdFault.NOT_VERIFIED: (
        "The provider has not verified your e-mail address.",
        "Have it verified there, then try again.",
    ),
    OpenIdFault.FOREIGN_DOMAIN: (
        "Addresses of your domain do not sign in this way.",
        "Sign in by a link in a mail, or ask an administrator.",
    ),
    OpenIdFault.NOBODY_HERE: (
        "Your address is no person's here, and no account was made.",
        "Ask an administrator to add you.",
    ),
}


def begin_attempt(key: bytes, *, random: bytes, now: datetime, path: str) -> Attempt:
    """Return a new attempt; `random` are at least 16 bytes that nobody can guess."""
    body = f"{int(now.timestamp())}.{_text(random)}.{_text(local_path(path).encode())}"
    return _attempt(key, body)


def read_attempt(key: bytes, cookie: str, *, now: datetime) -> Attempt | None:
    """Return the attempt of a cookie; None for one that is not ours, too old, or from the future."""
    body, _, signature = cookie.rpartition(".")
    if len(cookie) > MOST_COOKIE or not cookie.isascii() or body.count(".") != 2:
        return None
    if not hmac.compare_digest(signature, _derived(key, "cookie", body)):
        return None
    age = now - datetime.fromtimestamp(int(body.partition(".")[0]), UTC)
    return _attempt(key, body) if -ATTEMPT_LASTS <= age <= ATTEMPT_LASTS else None


def attempt_key(client_secret: str) -> bytes:
    """Return the key of attempts, the same in every process: derived from the secret that only the provider knows too."""
    return hmac.digest(client_secret.encode(), b"mailroom: attempts to sign in by OpenID Connect", "sha256")


def issuer_fault(issuer: str) -> str | None:
    """Return what is wrong with the URL of an issuer, as a sentence; None if nothing is."""
    if not is_safe_url(issuer, loopback=True):
        return "an issuer is an https URL, or http on loopback, as in https://accounts.example.com"
    if urlsplit(issuer).query or urlsplit(issuer).fragment:
        return "an issuer has no query and no fragment"
    return None


def is_safe_url(url: object, *, loopback: bool) -> bool:
    """Return whether to send codes and secrets to this URL: https, or with `loopback` http on this machine."""
    if not isinstance(url, str) or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        return False
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    if not parts.hostname or "@" in parts.netloc:
        return False
    return parts.scheme == "https" or (loopback and parts.scheme == "http" and names_this_machine(parts.netloc))


def is_of(address: str, domains: str) -> bool:
    """Return whether a normalised address is of one of these domains, with blanks or commas between; all are, if none is named."""
    named = domains.replace(",", " ").lower().split()
    return not named or address.rpartition("@")[2] in {one.removeprefix("@") for one in named}


def _attempt(key: bytes, body: str) -> Attempt:
    path = _bytes(body.rpartition(".")[2]).decode("utf-8", "replace")
    return Attempt(
        cookie=f"{body}.{_derived(key, 'cookie', body)}",
        state=_derived(key, "state", body),
        nonce=_derived(key, "nonce", body),
        verifier=_derived(key, "verifier", body),
        path=local_path(path),
    )


def _derived(key: bytes, purpose: str, body: str) -> str:
    return _text(hmac.digest(key, f"{purpose}.{body}".encode(), hashlib.sha256))


def _text(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return b""
