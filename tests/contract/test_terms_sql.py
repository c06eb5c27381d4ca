"""What providers allow is told by those who send, and known to those who take batches."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import Engine

from mailroom.adapters.postgres.engine import make_engine
from mailroom.adapters.postgres.outbound.terms import SqlTerms
from mailroom.domain.outbound.quotas import ProviderRate
from mailroom.outbound.publishing_terms import publishing_terms
from mailroom.ports.provider import ProviderQuota
from mailroom.testing.api import NOW
from mailroom.testing.provider import MemoryProvider
from tests.support.batch_requests import provider_terms
from tests.support.loopback_ports import free_port


def test_what_was_told_last_is_known_for_a_day(engine: Engine) -> None:
    """A provider's quota grows and is used up; yesterday's says nothing of today."""
    terms = SqlTerms(engine)
    before = terms.known(now=NOW)
    first = provider_terms(ProviderRate(per_second=14, per_day=50_000, sent_today=3))
    last = replace(first, pace=ProviderRate(per_second=80), told_at=NOW + timedelta(minutes=1))

    terms.publish(first)
    terms.publish(last)

    assert before is None
    assert terms.known(now=NOW + timedelta(hours=1)) == last
    assert terms.known(now=NOW + timedelta(days=2)) is None


def test_of_several_accounts_the_one_that_told_last_counts(engine: Engine) -> None:
    """Who changed the provider sends through the new one."""
    terms = SqlTerms(engine)
    old, new = (
        provider_terms(ProviderRate()),
        provider_terms(ProviderRate(), identity="smtp/relay", told_at=NOW + timedelta(hours=1)),
    )

    terms.publish(new)
    terms.publish(old)

    assert terms.known(now=NOW + timedelta(hours=2)) == new


def test_whoever_asks_a_provider_tells_on(engine: Engine) -> None:
    """The rate asks every minute; nobody needs to ask twice."""
    terms, provider = SqlTerms(engine), MemoryProvider()
    provider.allowed = ProviderQuota(per_second=14, per_day=200, sent_today=9)

    answer = publishing_terms(provider, terms, clock=lambda: NOW)()

    output = terms.known(now=NOW)
    assert answer == provider.quota()
    assert output is not None
    assert (output.identity, output.pace) == (provider.identity, ProviderRate(per_second=14, per_day=200, sent_today=9))


def test_where_a_provider_tells_no_rate_the_installations_own_counts(engine: Engine) -> None:
    """An SMTP server says nothing, and is sent to at a rate all the same."""
    terms = SqlTerms(engine)

    answer = publishing_terms(MemoryProvider(), terms, otherwise=10, clock=lambda: NOW)()

    output = terms.known(now=NOW)
    assert answer.per_second is None
    assert output is not None
    assert output.pace.per_second == 10


def test_what_cannot_be_told_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """Sending goes on without a forecast."""
    provider, away = MemoryProvider(), SqlTerms(make_engine(f"postgresql://127.0.0.1:{free_port()}/mailroom"))

    assert publishing_terms(provider, away, clock=lambda: NOW)() == provider.quota()
    assert "could not be published" in caplog.text
