"""Reports by mail of a message that was sent again: the token names the attempt, however late the report comes."""

from datetime import timedelta

import pytest
from sqlalchemy import Engine, text

import tests.support.mail_reports as samples
from mailroom.adapters.postgres.outbound.dispatching import SqlDispatch
from mailroom.adapters.postgres.outbound.outbox import SqlOutbox
from mailroom.domain.delivery.return_paths import return_path, token_in
from mailroom.domain.errors import OutcomeUnknown
from mailroom.ports.dispatch import Outcome
from mailroom.ports.provider import ProviderReceipt
from tests.support.returned_mail import DOMAIN, NOW, Returned
from tests.support.sending import office_on

LATER = NOW + timedelta(hours=1)


class Twice(Returned):
    """One message whose first attempt ended unknown, and that a person sent again."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.dispatch = SqlDispatch(engine)
        with office_on(engine) as office:
            self.batch_id = office.batch(1, now=NOW)
        [(self.id,)] = self.rows("select id::text from message")
        self.first = self.attempt(OutcomeUnknown("the answer was lost"), provider="smtp")
        SqlOutbox(engine).resend_message(None, self.id, may_duplicate=True, by="ada", now=LATER)

    def attempt(self, result: ProviderReceipt | OutcomeUnknown, *, provider: str) -> str:
        """Send the message, and return this attempt's return path."""
        at = NOW if isinstance(result, OutcomeUnknown) else LATER
        [claim] = self.dispatch.claim(self.batch_id, most=9, provider=provider, now=at)
        [token] = self.paths.issue([(self.id, claim.attempt)], now=at)
        self.dispatch.settle([Outcome(self.id, claim.attempt, result)], now=at)
        return return_path(token, DOMAIN)


@pytest.fixture
def twice(engine: Engine) -> Twice:
    return Twice(engine)


@pytest.mark.parametrize("provider", ["smtp", "ses"])
@pytest.mark.parametrize("sample", [samples.POSTFIX_GAVE_UP, samples.POSTFIX, samples.POSTFIX_DELAY])
def test_days_later_the_first_attempts_fate_leaves_the_second_alone(twice: Twice, provider: str, sample: str) -> None:
    """The relay gave up the first after the second had arrived, perhaps by another provider."""
    twice.attempt(ProviderReceipt(provider, "second"), provider=provider)

    twice.receives(sample, twice.first, after=timedelta(days=5))

    assert twice.status(twice.id) == ("dispatched", None)
    assert twice.rows("select provider from message") == [(provider,)]
    assert twice.rows("select provider from activity where event_id is not null") == [("smtp",)]


def test_the_second_attempts_own_report_counts_however_early(twice: Twice) -> None:
    """Whatever clocks say: its token is its own."""
    second = twice.attempt(ProviderReceipt("smtp", "second"), provider="smtp")

    twice.receives(samples.POSTFIX_GAVE_UP, second, after=-timedelta(hours=1))

    assert twice.status(twice.id) == ("bounced", "bounced_soft")


def test_one_report_of_each_attempt_is_two_events(twice: Twice) -> None:
    """And that the first arrived is true of the message."""
    second = twice.attempt(ProviderReceipt("smtp", "second"), provider="smtp")

    twice.receives(samples.POSTFIX_DELAY, second, after=timedelta(hours=2))
    assert twice.status(twice.id)[0] == "deferred"
    twice.receives(samples.POSTFIX_DELAY, twice.first, after=timedelta(hours=3))
    twice.receives(samples.DELIVERED, twice.first, after=timedelta(hours=4))

    assert twice.kinds(twice.id) == ["delayed", "delayed", "delivered"]
    assert twice.status(twice.id)[0] == "delivered"


def test_before_the_second_goes_the_first_ones_report_settles_it(twice: Twice) -> None:
    """Its outcome was unknown; the relay had it after all, and no second one goes."""
    twice.receives(samples.POSTFIX, twice.first, after=timedelta(hours=2))

    assert twice.status(twice.id) == ("bounced", "bounced_hard")
    assert twice.rows("select provider from message") == [("smtp",)]
    assert twice.dispatch.claim(twice.batch_id, most=9, provider="smtp", now=LATER + timedelta(days=1)) == []


def test_the_token_of_an_earlier_attempt_has_that_attempts_provider(twice: Twice) -> None:
    """The row has none after the resend, and the second one's after the second."""
    found = [twice.paths.find(token_in(twice.first, DOMAIN) or "", received_at=LATER)]
    twice.attempt(ProviderReceipt("ses", "second"), provider="ses")
    found.append(twice.paths.find(token_in(twice.first, DOMAIN) or "", received_at=LATER))

    assert [(one.attempt, one.provider) for one in found if one] == [(1, "smtp"), (1, "smtp")]


def test_a_parked_report_keeps_its_attempt(twice: Twice) -> None:
    """It is matched again later, with what it said."""
    twice.attempt(ProviderReceipt("smtp", "second"), provider="smtp")
    with twice.engine.begin() as connection:
        connection.execute(text("update message set tenant = 'globex'"))
    entry = twice.arrives(twice.first, at=LATER + timedelta(days=1))
    report = twice.decides(entry, samples.filled(samples.POSTFIX_GAVE_UP, path=twice.first)).report
    assert report is not None
    with twice.engine.begin() as connection:
        connection.execute(text("update message set tenant = 'acme'"))

    assert twice.events.record([report], now=LATER + timedelta(days=1)).parked == 1
    with twice.engine.begin() as connection:
        connection.execute(text("update message set tenant = 'globex'"))

    assert twice.events.rematch(now=LATER + timedelta(days=2), limit=9).matched == 1
    assert twice.status(twice.id) == ("dispatched", None)
