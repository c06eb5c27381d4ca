"""Sending again and streams: an unsubscribe withholds a second attempt exactly where it withholds the first."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from mailroom.adapters.postgres.delivery.suppressions import SqlSuppressions
from mailroom.adapters.postgres.delivery.unsubscribing import SqlUnsubscribing
from mailroom.adapters.postgres.outbound.outbox import SqlOutbox
from mailroom.domain.delivery.streams import UnsubscribePolicy
from mailroom.domain.errors import Refused
from mailroom.domain.outbound.message import Lane
from mailroom.domain.outbound.resending import NotResent
from mailroom.outbound.dispatching import Sender
from mailroom.ports.suppressions import Suppression
from tests.support.sending import CONTENT, Office, office_on

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
ADA = "u0@users.test"
OFFERS = UnsubscribePolicy(transactional=("offers",))


@pytest.fixture
def office(engine: Engine) -> Iterator[Office]:
    with office_on(engine) as made:
        yield made


def refused(office: Office, **changes: Any) -> str:
    """Return a batch whose one mail, to Ada, the provider refused."""
    batch_id = office.batch(1, now=NOW, **changes)
    office.provider.answers.append(Refused("not now", code=550))
    Sender(batch_id, Lane.BULK, office.outbound, clock=lambda: NOW).send_some(10)
    return batch_id


def leaves(office: Office, reason: str = "unsubscribe", stream: str | None = None, tenant: str | None = "acme") -> None:
    one = Suppression(address=ADA, reason=reason, tenant=tenant, stream=stream, since=NOW)
    SqlSuppressions(office.engine).add([one])


def obstacle(office: Office, batch_id: str, **how: Any) -> NotResent | None:
    resent = SqlOutbox(office.engine).resend_batch("acme", batch_id, by="ada", now=LATER, **how)
    assert resent is not None
    [group] = resent.groups
    return group.obstacle


@pytest.mark.parametrize(
    ("left", "stream", "policy", "withheld"),
    [
        ({"stream": "weekly"}, "weekly", None, True),
        ({"stream": "weekly"}, "offers", None, False),
        ({"stream": "weekly"}, "week", None, False),
        ({"stream": "weekly"}, "transactional", None, False),
        ({"stream": "bulk"}, None, None, True),
        ({}, "weekly", None, True),
        ({}, "transactional", None, False),
        ({}, "offers", OFFERS, False),
        ({"stream": "offers"}, "offers", OFFERS, False),
        ({"reason": "hard_bounce"}, "transactional", None, True),
        ({"reason": "complaint"}, "offers", OFFERS, True),
        ({"reason": "manual"}, "weekly", None, True),
        ({"stream": "weekly", "tenant": "umbrella"}, "weekly", None, False),
    ],
)
def test_what_is_withheld_from_a_first_attempt_is_withheld_from_a_second(
    office: Office, left: dict[str, Any], stream: str | None, policy: UnsubscribePolicy | None, withheld: bool
) -> None:
    """Who left the weekly still gets the offers that failed, and receipts; what is queued again is then really sent."""
    if policy is not None:
        SqlUnsubscribing(office.engine).set_policy("acme", policy)
    batch_id = refused(office, stream=stream, lane=Lane.BULK)
    leaves(office, **left)

    expected = NotResent.STILL_SUPPRESSED if withheld else None
    assert obstacle(office, batch_id, dry_run=True) is expected
    assert obstacle(office, batch_id) is expected
    Sender(batch_id, Lane.BULK, office.outbound, clock=lambda: LATER).send_some(10)
    assert office.statuses() == ["rejected" if withheld else "dispatched"]
    first = office.batch(1, now=LATER, stream=stream, lane=Lane.BULK)
    Sender(first, Lane.BULK, office.outbound, clock=lambda: LATER).send_some(10)
    [status] = office.values(f"select status from message where batch_id = '{first}'")
    assert (status == "suppressed") is withheld


@pytest.mark.parametrize(("leavable", "withheld"), [(True, True), (False, False)])
def test_a_batch_of_an_earlier_release_is_of_its_lanes_stream_unless_it_can_be_left(
    office: Office, leavable: bool, withheld: bool
) -> None:
    """Its row names no stream; a newsletter in the transactional lane was one that can be left."""
    content = replace(CONTENT, unsubscribe="https://acme.test/u") if leavable else CONTENT
    batch_id = refused(office, lane=Lane.TRANSACTIONAL, content=content)
    with office.engine.begin() as connection:
        connection.execute(text("update batch set stream = null"))
    leaves(office)

    assert obstacle(office, batch_id) is (NotResent.STILL_SUPPRESSED if withheld else None)


def test_a_message_that_was_withheld_is_sent_once_its_stream_is_transactional(office: Office) -> None:
    """The tenant says that receipts are receipts: what an unsubscribe withheld of them can go."""
    batch_id = office.batch(1, now=NOW, stream="receipts", lane=Lane.BULK)
    leaves(office, stream="receipts")
    Sender(batch_id, Lane.BULK, office.outbound, clock=lambda: NOW).send_some(10)
    assert office.statuses() == ["suppressed"]
    assert obstacle(office, batch_id) is NotResent.STILL_SUPPRESSED

    SqlUnsubscribing(office.engine).set_policy("acme", UnsubscribePolicy(transactional=("receipts",)))

    assert obstacle(office, batch_id) is None
    Sender(batch_id, Lane.BULK, office.outbound, clock=lambda: LATER).send_some(10)
    assert office.statuses() == ["dispatched"]
