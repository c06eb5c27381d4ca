"""What every provider's webhooks have in common: one POST, what checks it, what reads it.

A provider's module has `PROVIDER`, its name; `read`, a `Reader`; and where it posts to /hooks/NAME a class `Verifier`, made
from the credentials of the accounts that may post, which is a `CallVerifier`. Its row in the registry names the module.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from mailroom.delivery.provider_events.sns import Unverified
from mailroom.domain.delivery.events import DeliveryEvent


class WithoutCredentials(Unverified):
    """A header that proves a call is missing, or there twice."""


@dataclass(frozen=True, slots=True)
class Call:
    """One POST to a provider's hook: its headers by lower-case name, its body as it came, and when it came."""

    headers: Mapping[str, Sequence[str]]
    body: bytes
    now: datetime

    def header(self, name: str) -> str:
        """Return a header that is there once; of two, who checks and who reads might take different ones.

        Raises:
            WithoutCredentials: it is missing, empty or there twice.
        """
        values = self.headers.get(name.lower(), ())
        if len(values) != 1 or not values[0]:
            raise WithoutCredentials("not a verified call", step="header")
        return values[0]


class CallVerifier(Protocol):
    """What proves that a call is a provider's."""

    #: What a call is answered whose proof is wrong: 401 for a password, 403 for a signature.
    status: int

    def verify(self, call: Call) -> str | None:
        """Return whose account the call is of: a tenant's, or None for all of them.

        Raises:
            Unverified: by `step`, what about it is not proven.
        """


class Reader(Protocol):
    """What turns the body of a call into events."""

    def __call__(self, body: bytes, /, *, received_at: datetime) -> list[DeliveryEvent]:
        """Return the events of a call.

        Raises:
            Unreadable: the body is not what the provider documents.
        """
