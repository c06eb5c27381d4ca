"""Automatic replies and bounces by another's fault, on PostgreSQL: they change no delivered message and suppress nobody."""

import json
from datetime import UTC, datetime
from itertools import permutations
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text

from mailroom.adapters.postgres.delivery.events import SqlEvents
from mailroom.adapters.postgres.outbound.outbox import SqlOutbox
from mailroom.delivery.provider_events import ses
from mailroom.domain.delivery.bounce_status import BounceFault
from mailroom.domain.delivery.events import Kind
from mailroom.domain.delivery.suppression import SOFT_BOUNCES
from mailroom.domain.outbound.message import Batch, Content, Draft, Party
from mailroom.testing.notices import an_event

NOW = datetime(2026, 11, 29, 9, 30, tzinfo=UTC)


def sent(engine: Engine, count: int) -> list[str]:
    """Return the ids of messages to one address, submitted to SES."""
    made = []
    for _ in range(count):
        batch = Batch(id=str(uuid4()), tenant="acme", from_=Party("desk@acme.test"))
        draft = Draft(id=str(uuid4()), number=0, to=Party("ada@users.test"), content=0)
        SqlOutbox(engine).accept(batch, [Content(subject="Hi", text="Hi", html=None)], [draft], now=NOW)
        made.append(draft.id)
    with engine.begin() as connection:
        connection.execute(
            text("update message set status = 'sending', handed_at = :now, provider = 'ses'"), {"now": NOW}
        )
    return made


def rows(engine: Engine, statement: str) -> list[Any]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(statement))]


def bounce(message: str, **recipient: str) -> list[Any]:
    """Return the events of a transient bounce as SES publishes it."""
    body = {
        "eventType": "Bounce",
        "mail": {"messageId": f"ses-{message}", "tags": {"mailroom-id": [message]}, "headers": []},
        "bounce": {
            "bounceType": "Transient",
            "bounceSubType": "General",
            "bouncedRecipients": [{"emailAddress": "ada@users.test"} | recipient],
            "feedbackId": f"feedback-{message}",
        },
    }
    return ses.read(json.dumps(body), received_at=NOW)


def test_automatic_reply_in_any_order_leaves_the_message_delivered(engine: Engine) -> None:
    """Out of office: the reply arrives as a bounce after delivery, or before the event of it."""
    events = SqlEvents(engine)
    orders = list(permutations([Kind.SENT, Kind.DELIVERED, "reply"]))
    for message, order in zip(sent(engine, len(orders)), orders, strict=True):
        for kind in order:
            known = an_event(Kind.DELIVERED if kind == "reply" else Kind(kind), f"{message}-{kind}", message_id=message)
            events.record(bounce(message) if kind == "reply" else [known], now=NOW)

    assert set(rows(engine, "select status, reason from message")) == {("delivered", None)}
    assert rows(engine, "select * from suppression") == []


def test_many_automatic_replies_suppress_nobody_and_prove_no_delivery(engine: Engine) -> None:
    """A long holiday; a provider files reports that it cannot read as automatic replies too."""
    for message in sent(engine, SOFT_BOUNCES + 1):
        SqlEvents(engine).record(bounce(message), now=NOW)

    assert set(rows(engine, "select status from message")) == {("dispatched",)}
    assert rows(engine, "select * from suppression") == []


def test_domain_that_does_not_exist_is_a_hard_bounce(engine: Engine) -> None:
    """SES calls it transient; the status says that no mail can ever arrive there."""
    [message] = sent(engine, 1)
    about = {"action": "failed", "status": "5.4.4", "diagnosticCode": "smtp; 550 5.4.4 Invalid domain"}

    SqlEvents(engine).record(bounce(message, **about), now=NOW)

    assert rows(engine, "select status, reason from message") == [("bounced", "bounced_hard")]
    assert rows(engine, "select address, reason from suppression") == [("ada@users.test", "hard_bounce")]


@pytest.mark.parametrize("fault", [fault for fault in BounceFault if fault is not BounceFault.RECIPIENT])
def test_soft_bounces_by_anothers_fault_are_not_counted(engine: Engine, fault: BounceFault) -> None:
    """Neither at their own time nor later, when the address bounces by its own fault."""
    events, messages = SqlEvents(engine), sent(engine, 2 * SOFT_BOUNCES)
    for message in messages[:SOFT_BOUNCES]:
        events.record([an_event(Kind.BOUNCED_SOFT, message, message_id=message, facts={"fault": fault})], now=NOW)
    own = [an_event(Kind.BOUNCED_SOFT, message, message_id=message) for message in messages[SOFT_BOUNCES:]]

    events.record(own[:-1], now=NOW)
    before = rows(engine, "select reason from suppression")
    events.record(own[-1:], now=NOW)

    assert before == []
    assert rows(engine, "select reason from suppression") == [("soft_bounces",)]
