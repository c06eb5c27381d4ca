"""A provider's webhook call, and the interfaces of what verifies it and what reads it.

A provider's module has `PROVIDER`, its name, and `read`, a `Reader`. If the provider posts to /hooks/NAME, the module also has
`Verifier`, a `CallVerifier` made from the credentials of the accounts that may post. The registry's row names the module.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from mailroom.delivery.provider_events.sns import Unverified
from mailroom.domain.delivery.events import DeliveryEvent


class WithoutCredentials(Unverified):
    """A header needed for verification is missing or repeated."""


@dataclass(frozen=True, slots=True)
class Call:
    """One POST to a provider's hook: its headers by lower-case name, its body as it came, and when it came."""

    headers: Mapping[str, Sequence[str]]
    body: bytes
    now: datetime

    def header(self, name: str) -> str:
        """Return the value of a header that appears exactly once; of two, verifier and reader might take different ones.

        Raises:
            WithoutCredentials: it is missing, empty or repeated.
        """
        values = self.headers.get(name.lower(), ())
        if len(values) != 1 or not values[0]:
            raise WithoutCredentials("not a verified call", step="header")
        return values[0]


class CallVerifier(Protocol):
    """Checks that a call comes from a provider's account."""

    #: HTTP status of the answer to a call that fails verification: 401 for a password, 403 for a signature.
    status: int

    def verify(self, call: Call) -> str | None:
        """Return the tenant whose account made the call; None for an account of all tenants.

        Raises:
            Unverified: `step` names the check that failed.
        """


class Reader(Protocol):
    """Turns the body of a call into events."""

    def __call__(self, body: bytes, /, *, received_at: datetime) -> list[DeliveryEvent]:
        """Return the events of a call.

        Raises:
            Unreadable: the body is not what the provider documents.
        """
