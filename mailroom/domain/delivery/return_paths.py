"""Return paths: envelope senders of ours, a new one for each attempt at a message, to which its bounces come back.

    b+TOKEN@DOMAIN      `b+` and 16 digits of base32 in lower case: 18 octets

TOKEN is 80 random bits that only the mail's own receivers see, and only its digest is stored: it proves what a report is
about, contains no address, and needs no key. `b` never changes, for greylisting compares what stands before the plus. The
local part stays short, for a forwarder with SRS writes ours, our domain and 14 octets of its own into the 64 that a local part
may have: DOMAIN should have 32 octets at most. Receivers may change the case, so it is not compared.
Sources: RFC 5321 sections 4.5.3.1.1 and 4.5.5; SRS as `SRS0=HASH=TT=DOMAIN=LOCAL@FORWARDER`; docs/adr/0038.
"""

import base64
import hashlib
import re
from datetime import timedelta

from mailroom.domain.inbound.routing import normalise, normalise_domain

#: How long after sending a report is accepted: providers retry for 5 days at most, and some report late.
VALID_FOR = timedelta(days=14)
#: How long a return path is stored: a report that was received in time may be processed later.
KEPT_FOR = timedelta(days=30)

TOKEN_BYTES = 10

_LOCAL = "b"
#: 256 octets of a path, less its brackets, the local part and the at sign.
_LONGEST_DOMAIN = 235
_DOMAIN = re.compile(r"[a-z0-9-]+(?:\.[a-z0-9-]+)+")
_TOKEN = re.compile(r"[a-z2-7]{16}")


def return_path_domain(name: str) -> str:
    """Return the domain of return paths in its stored spelling; "" for none.

    Raises:
        ValueError: it is no domain name, or a return path there is longer than SMTP allows (RFC 5321 section 4.5.3.1.3).
    """
    domain = normalise_domain(name.strip()) if name.strip() else ""
    if domain and (len(domain) > _LONGEST_DOMAIN or not _DOMAIN.fullmatch(domain)):
        raise ValueError("not a domain name for return paths")
    return domain


def token_of(random: bytes) -> str:
    """Return the token of `TOKEN_BYTES` random bytes.

    Raises:
        ValueError: they are fewer or more.
    """
    if len(random) != TOKEN_BYTES:
        raise ValueError(f"a return path needs {TOKEN_BYTES} random bytes")
    return base64.b32encode(random).decode().lower()


def digest_of(token: str) -> bytes:
    """Return what is stored of a token: who can read the database cannot forge a bounce."""
    return hashlib.sha256(token.encode()).digest()


def return_path(token: str, domain: str) -> str:
    """Return the envelope sender with this token."""
    return f"{_LOCAL}+{token}@{domain}"


def token_in(address: str, domain: str) -> str | None:
    """Return the token of a return path at `domain`, which is normalised; None for any other address."""
    name, plus, token = _local_part(address, domain).partition("+")
    return token if name == _LOCAL and plus and _TOKEN.fullmatch(token) else None


def is_return_path(address: str, domain: str) -> bool:
    """Return whether mail for this address is meant for a return path, with a token of ours or any other."""
    return _local_part(address, domain).startswith(f"{_LOCAL}+")


def _local_part(address: str, domain: str) -> str:
    """Return the normalised local part of an address at `domain`, or nothing."""
    try:
        local, _, at = normalise(address).rpartition("@")
    except ValueError:
        return ""
    return local if at == domain else ""
