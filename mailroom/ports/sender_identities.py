"""Which senders the provider sends for: its verified identities, and the DNS records that verify one."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from mailroom.domain.inbound.routing import normalise


class IdentityState(StrEnum):
    """What the provider says of an identity. Stable words of `mailroom sender verify --json`."""

    VERIFIED = "verified"
    PENDING = "pending"
    FAILED = "failed"
    MISSING = "missing"
    #: The provider was not asked, or did not answer.
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedIdentities:
    """The verified identities of an account at `provider` (as people write it): addresses, and domains with their subdomains."""

    provider: str
    addresses: frozenset[str]
    domains: frozenset[str]

    def covering(self, address: str) -> str | None:
        """Return the identity by which the provider sends from an address, or None. A verified domain covers its subdomains."""
        address = normalise(address)
        domain = address.rpartition("@")[2]
        if address in self.addresses:
            return address
        return next((parent for parent in with_parents(domain) if parent in self.domains), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class SenderIdentity:
    """A domain's identity at the provider, as it reports it.

    `dkim` and `mail_from_state` are the provider's words for the records, empty if it says nothing. `dkim_tokens` name the
    CNAME records under `dkim_zone`; `own_key` means a key of the operator's, whose public part is a TXT record.
    """

    domain: str
    state: IdentityState
    dkim: IdentityState = IdentityState.UNKNOWN
    dkim_tokens: tuple[str, ...] = ()
    dkim_zone: str = ""
    own_key: bool = False
    mail_from: str = ""
    mail_from_state: IdentityState = IdentityState.UNKNOWN
    region: str = ""


class SenderIdentities(Protocol):
    """The identities of one account at a provider."""

    def served(self) -> ServedIdentities | None:
        """Return the verified identities; None where the provider cannot be asked. Raises nothing."""

    def find(self, domain: str) -> SenderIdentity | None:
        """Return the identity of a domain, or of the nearest parent that has one; None if there is none.

        Raises:
            TransientError, PermanentError: the provider cannot be asked; the fact `code` says why.
        """

    def create(self, domain: str, *, mail_from: str) -> None:
        """Create the identity of a domain if there is none, and set its MAIL FROM domain if one is given.

        Raises:
            TransientError, PermanentError: the provider refuses it.
        """


def with_parents(domain: str) -> list[str]:
    """Return the domain and its parents, nearest first, down to two labels."""
    labels = domain.split(".")
    return [".".join(labels[at:]) for at in range(max(1, len(labels) - 1))]
