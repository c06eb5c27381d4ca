"""A second provider for what the first did not take."""

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import fields
from datetime import datetime

from mailroom.domain.errors import MailroomError, OutcomeUnknown, Throttled, TransientError
from mailroom.domain.outbound.message import Outgoing
from mailroom.ports.provider import Capabilities, MailProvider, ProviderQuota, ProviderReceipt
from mailroom.ports.rate import Permit, Rate


class FailOver:
    """The port `MailProvider` on two of them: what the first cannot take now goes to the second.

    Only what was not handed over: never after `OutcomeUnknown`, for the first may have the mail; nor after `Throttled`, for
    another provider is no way around a limit. It can do what both can. A receipt, and the fact `provider` of an error, name
    which of the two it was. `rate` is the second's limit; the caller waits for the first's.
    """

    def __init__(self, first: MailProvider, second: MailProvider, *, rate: Rate | None = None) -> None:
        self.name, self.identity = first.name, first.identity
        self.capabilities = _common(first.capabilities, second.capabilities)
        self._first, self._second, self._rate = first, second, rate

    def send(self, mails: Sequence[Outgoing]) -> list[ProviderReceipt | MailroomError]:
        """Hand each mail over to the first that takes it."""
        results = self._first.send(mails)
        left = [number for number, result in enumerate(results) if _may_go_on(result)]
        if not left:
            return results
        while left:
            if self._rate is None:
                going, left = left, []
                answers = self._second.send([mails[number] for number in going])
            else:
                permits = self._rate.wait(len(left), lane=mails[left[0]].lane)
                if not permits:
                    # None within the rate's patience: what the first said stands, and it is tried again later.
                    break
                going, left = left[: len(permits)], left[len(permits) :]
                answers = _at_their_turn(self._second, [mails[number] for number in going], permits, self._rate)
            for number, result in zip(going, answers, strict=True):
                results[number] = result
        return results

    def quota(self) -> ProviderQuota:
        """Return the first's, or the second's while the first is paused."""
        quota = self._first.quota()
        return self._second.quota() if quota.paused else quota

    def ask(self, message_id: str, *, since: datetime) -> ProviderReceipt | None:
        """Return the receipt from whoever has the mail.

        Raises:
            OutcomeUnknown: one of them cannot tell, and the other has not got it.
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
        """Let go of the connections of both."""
        self._first.close()
        self._second.close()


def _at_their_turn(
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


def _may_go_on(result: ProviderReceipt | MailroomError) -> bool:
    return isinstance(result, TransientError) and not isinstance(result, Throttled)


def _common(one: Capabilities, other: Capabilities) -> Capabilities:
    # Numbers: the smaller; yes or no: yes if both.
    return Capabilities(**{name.name: min(getattr(one, name.name), getattr(other, name.name)) for name in fields(one)})
