"""Provider terms: senders publish the limits, and the API reads them."""

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


def test_the_latest_terms_are_valid_for_a_day(engine: Engine) -> None:
    """A provider's quota grows and is used up; yesterday's terms say nothing about today."""
    terms = SqlTerms(engine)
    before = terms.known(now=NOW)
    first = provider_terms(ProviderRate(per_second=14, per_day=50_000, sent_today=3))
    last = replace(first, pace=ProviderRate(per_second=80), told_at=NOW + timedelta(minutes=1))

    terms.publish(first)
    terms.publish(last)

    assert before is None
    assert terms.known(now=NOW + timedelta(hours=1)) == last
    assert terms.known(now=NOW + timedelta(days=2)) is None


def test_of_several_accounts_the_latest_publication_counts(engine: Engine) -> None:
    """After a change of provider the new one sends."""
    terms = SqlTerms(engine)
    old, new = (
        provider_terms(ProviderRate()),
        provider_terms(ProviderRate(), identity="smtp/relay", told_at=NOW + timedelta(hours=1)),
    )

    terms.publish(new)
    terms.publish(old)

    assert terms.known(now=NOW + timedelta(hours=2)) == new


def test_a_query_of_a_provider_publishes_its_terms(engine: Engine) -> None:
    """The rate queries it every minute; a second query is not needed."""
    terms, provider = SqlTerms(engine), MemoryProvider()
    provider.allowed = ProviderQuota(per_second=14, per_day=200, sent_today=9)

    answer = publishing_terms(provider, terms, clock=lambda: NOW)()

    output = terms.known(now=NOW)
    assert answer == provider.quota()
    assert output is not None
    assert (output.identity, output.pace) == (provider.identity, ProviderRate(per_second=14, per_day=200, sent_today=9))


def test_without_a_rate_of_the_provider_the_installations_own_counts(engine: Engine) -> None:
    """An SMTP server publishes no rate, and is still limited."""
    terms = SqlTerms(engine)

    answer = publishing_terms(MemoryProvider(), terms, otherwise=10, clock=lambda: NOW)()

    output = terms.known(now=NOW)
    assert answer.per_second is None
    assert output is not None
    assert output.pace.per_second == 10


def test_terms_that_cannot_be_published_stop_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Sending continues without a forecast."""
    provider, away = MemoryProvider(), SqlTerms(make_engine(f"postgresql://127.0.0.1:{free_port()}/mailroom"))

    assert publishing_terms(provider, away, clock=lambda: NOW)() == provider.quota()
    assert "cannot be stored" in caplog.text
