"""Failover: a second provider for mails that the first did not accept."""

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import fields
from datetime import datetime

from mailroom.domain.errors import MailroomError, OutcomeUnknown, RecipientUnavailable, Throttled, TransientError
from mailroom.domain.outbound.message import Outgoing
from mailroom.ports.provider import Capabilities, MailProvider, ProviderQuota, ProviderReceipt
from mailroom.ports.rate import Permit, Rate


class FailOver:
    """The port `MailProvider` on two of them: mails that the first cannot accept now go to the second.

    Only mails that were not sent: never after `OutcomeUnknown`, because the first may have the mail, nor after `Throttled`,
    because a second provider must not be used to evade a limit, nor after a temporary answer for one recipient: the
    receiver would greylist another client's address from the start. Where the second has a fault of its own, the first's
    result stands. It has the capabilities of both. A receipt, and the fact `provider` of an error, name the one that was used.
    `rate` is the second's limit; the caller waits for the first's.
    """

    def __init__(self, first: MailProvider, second: MailProvider, *, rate: Rate | None = None) -> None:
        self.name, self.identity = first.name, first.identity
        self.capabilities = _common(first.capabilities, second.capabilities)
        self._first, self._second, self._rate = first, second, rate

    def send(self, mails: Sequence[Outgoing]) -> list[ProviderReceipt | MailroomError]:
        """Send each mail through the first provider, or the second if that one cannot accept it now."""
        results = self._first.send(mails)
        left = [number for number, result in enumerate(results) if _may_fail_over(result)]
        if not left:
            return results
        while left:
            if self._rate is None:
                going, left = left, []
                answers = self._second.send([mails[number] for number in going])
            else:
                permits = self._rate.wait(len(left), lane=mails[left[0]].lane)
                if not permits:
                    # No permit in time: the first provider's result stands, and the mails are tried again later.
                    break
                going, left = left[: len(permits)], left[len(permits) :]
                answers = _send_with_permits(self._second, [mails[number] for number in going], permits, self._rate)
            for number, answer in zip(going, answers, strict=True):
                # A fault of the second provider must not pause the first's account.
                if isinstance(answer, RecipientUnavailable) or not isinstance(answer, TransientError):
                    results[number] = answer
        return results

    def quota(self) -> ProviderQuota:
        """Return the first's, or the second's while the first is paused."""
        quota = self._first.quota()
        return self._second.quota() if quota.paused else quota

    def ask(self, message_id: str, *, since: datetime) -> ProviderReceipt | None:
        """Return the receipt of the provider that has the mail; None: neither has it.

        Raises:
            OutcomeUnknown: one of them does not know, and the other does not have it.
        """
        unsure: OutcomeUnknown | None = None
        for provider in (self._first, self._second):
            try:
                if receipt := provider.ask(message_id, since=since):
                    return receipt
            except OutcomeUnknown as error:
                unsure = error
        if unsure is not None:
            raise unsure
        return None

    def close(self) -> None:
        """Close the connections of both."""
        self._first.close()
        self._second.close()


def _send_with_permits(
    provider: MailProvider, mails: Sequence[Outgoing], permits: Sequence[Permit], rate: Rate
) -> list[ProviderReceipt | MailroomError]:
    time.sleep(max(0.0, permits[-1].at - time.monotonic()))
    began = time.monotonic()
    answers = provider.send(mails)
    for permit in permits:
        permit.began, permit.ended = began, time.monotonic()
    with suppress(TransientError):
        rate.give_back(permits)
    return answers


def _may_fail_over(result: ProviderReceipt | MailroomError) -> bool:
    return isinstance(result, TransientError) and not isinstance(result, Throttled | RecipientUnavailable)


def _common(one: Capabilities, other: Capabilities) -> Capabilities:
    # Numbers: the smaller; yes or no: yes if both.
    return Capabilities(**{name.name: min(getattr(one, name.name), getattr(other, name.name)) for name in fields(one)})
