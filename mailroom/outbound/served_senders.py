"""The check of a batch's sender against the provider's identities, cached: a question to the provider takes a while."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from mailroom.domain.errors import Fault
from mailroom.operations.fresh import Fresh
from mailroom.ports.sender_identities import ServedIdentities

#: Seconds for which the provider's list is used, and for which a sender that is not in it is refused without asking again.
KNOWN_S, REFUSED_S = 300.0, 15.0


@dataclass(frozen=True, slots=True)
class UnservedSender:
    """The provider does not send for this domain."""

    provider: str
    domain: str

    @property
    def fault(self) -> Fault:
        """The fault of the request; only the caller's response names the domain."""
        return Fault(
            ("from",),
            "the provider has not verified the sender's domain: verify it (`mailroom sender verify DOMAIN`), then send again",
            f"{self.provider} has not verified the sender domain {self.domain}: verify it (`mailroom sender verify "
            f"{self.domain}`), then send again",
        )


class ServedSenders:
    """Senders that the provider serves. Where it cannot be asked, every sender counts as served: sending shows the rest.

    `ask` returns the verified identities, or None where that is unknown; it raises nothing.
    """

    def __init__(
        self, ask: Callable[[], ServedIdentities | None], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._known, self._again = Fresh(ask, KNOWN_S, clock=clock), Fresh(ask, REFUSED_S, clock=clock)

    def unserved(self, address: str) -> UnservedSender | None:
        """Return the refusal of a sender address, or None if the provider sends from it or cannot be asked.

        A sender that is not in the cached list may have been verified since: the provider is asked once more.
        """
        known = self._known.get()
        if known is None or known.covering(address):
            return None
        newer = self._again.get()
        if newer is None:
            return None
        if newer.covering(address):
            self._known.forget()
            return None
        return UnservedSender(newer.provider, address.rpartition("@")[2])

    def identities(self) -> ServedIdentities | None:
        """Return the verified identities, as cached for refusals; None where that is unknown."""
        return self._again.get()
