"""Webhook targets: the rule for tenants' URLs, checked at registration and before each POST.

registration ─> url_fault(url)                                   ─> 422, or one line of the command
each POST    ─> url_fault(url) ─> every address of the name: is_public ─> the connection goes to that very address
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Self
from urllib.parse import urlsplit

from mailroom.domain.delivery.public_addresses import is_public

HTTPS = 443

#: ASCII without blanks and backslashes, which URL parsers disagree about.
_PRINTABLE = re.compile(r"[!-\[\]-~]{1,2000}")
#: Host and port. URL parsers disagree about anything else here: a user, a zone, percent-encoding, IPvFuture.
_PLACE = re.compile(r"(?:\[(?P<v6>[0-9a-f:.]+)\]|(?P<name>[a-z0-9_.-]+))(?::(?P<port>[0-9]*))?")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
#: A last label by which URL parsers recognise other forms of an address: 127.1, 0x7f000001, 2130706433.
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
#: Names that are local by definition (RFC 6761, RFC 6762, ICANN's .internal).
_INSIDE = ("localhost", "local", "internal")


class TargetFault(StrEnum):
    """Why nothing is posted to a URL; the word is stored with each attempt."""

    URL = "url"
    NOT_HTTPS = "not_https"
    PORT = "port_not_allowed"
    ADDRESS = "private_address"

    @property
    def sentence(self) -> str:
        """The rule that the URL breaks."""
        return _SENTENCES[self]


_SENTENCES = {
    TargetFault.URL: "the URL must be an absolute https URL without a user name, such as "
    "https://hooks.example.com/mail",
    TargetFault.NOT_HTTPS: "the URL must start with https",
    TargetFault.PORT: "the port must be 443; an administrator can allow others with MAILROOM_WEBHOOK_PORTS",
    TargetFault.ADDRESS: (
        "the host must be a full domain name that resolves to public addresses only,"
        " or a public IP address in its usual form"
    ),
}


@dataclass(frozen=True, slots=True)
class WebhookTargets:
    """Allowed targets of tenants' webhooks; `anywhere` lifts all limits but the form of a URL, for a laptop."""

    ports: frozenset[int] = frozenset({HTTPS})
    anywhere: bool = False

    @classmethod
    def read(cls, ports: str, *, anywhere: bool) -> Self:
        """Return the rule with the ports of the setting, separated by blanks or commas.

        Raises:
            ValueError: the setting is not a list of ports.
        """
        words = ports.replace(",", " ").split()
        if not words or not all(re.fullmatch(r"[0-9]{1,5}", word) and 0 < int(word) < 65_536 for word in words):
            raise ValueError("ports must be numbers from 1 to 65535, separated by spaces or commas, such as 443 8443")
        return cls(frozenset(int(word) for word in words), anywhere)

    def url_fault(self, url: str) -> TargetFault | None:
        """Return what is wrong with a URL, or None. The addresses of its host are checked at each POST (`addresses_fault`)."""
        try:
            parts = urlsplit(url)
        except ValueError:
            return TargetFault.URL
        place = _PLACE.fullmatch(parts.netloc.lower())
        if not _PRINTABLE.fullmatch(url) or parts.scheme not in ("https", "http") or place is None:
            return TargetFault.URL
        port = int(place["port"] or HTTPS)
        if not 0 < port < 65_536:
            return TargetFault.URL
        if self.anywhere:
            return None
        if parts.scheme == "http":
            return TargetFault.NOT_HTTPS
        fault = _name_fault(place["name"]) if place["name"] else self.addresses_fault([place["v6"]])
        return fault or (None if port in self.ports else TargetFault.PORT)

    def addresses_fault(self, addresses: Iterable[str]) -> TargetFault | None:
        """Return what is wrong with a host's addresses, or None; a single address that is not public is a fault."""
        if self.anywhere or all(is_public(address) for address in addresses):
            return None
        return TargetFault.ADDRESS


def _name_fault(name: str) -> TargetFault | None:
    labels = name.removesuffix(".").split(".")
    if _NUMBER.fullmatch(labels[-1]):
        return None if is_public(name) else TargetFault.ADDRESS
    if len(name) > 254 or not all(_LABEL.fullmatch(label) for label in labels):
        return TargetFault.URL
    return TargetFault.ADDRESS if len(labels) == 1 or labels[-1] in _INSIDE else None
