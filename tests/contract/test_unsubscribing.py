"""The port `Unsubscribing`: what a link offers, and a tenant's choices, in memory and on PostgreSQL."""

from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text

from mailroom.adapters.postgres.delivery.unsubscribing import SqlUnsubscribing
from mailroom.adapters.postgres.outbound.outbox import SqlOutbox
from mailroom.domain.delivery.streams import DEFAULT_UNSUBSCRIBE_POLICY, Scope, UnsubscribePolicy
from mailroom.domain.outbound.message import Batch, Content, Draft, Party
from mailroom.testing.api import NOW
from mailroom.testing.unsubscribing import MemoryUnsubscribing

POLICY = UnsubscribePolicy(
    covers=Scope.NOT_TRANSACTIONAL,
    transactional=("receipts",),
    name="stream",
    text="Adieu\u00a0!\n",
    groups={"7": "news"},
)


@pytest.fixture(params=["memory", "sql"])
def unsubscribing(request: pytest.FixtureRequest) -> Any:
    """The port, once each way."""
    if request.param == "memory":
        return MemoryUnsubscribing()
    return SqlUnsubscribing(request.getfixturevalue("engine"))


def sent(unsubscribing: Any, request: pytest.FixtureRequest, **changes: Any) -> str:
    """Return the id of a message of acme's."""
    batch = Batch(id=str(uuid4()), tenant="acme", from_=Party("news@shop.acme.test", "Acme"), **changes)
    draft = Draft(id=str(uuid4()), number=0, to=Party("ada@users.test"), content=0)
    if isinstance(unsubscribing, MemoryUnsubscribing):
        unsubscribing.batches[draft.id] = batch
    else:
        outbox = SqlOutbox(request.getfixturevalue("engine"))
        outbox.accept(batch, [Content(subject="s", text="t", html=None)], [draft], now=NOW)
    return draft.id


def test_a_link_offers_the_messages_stream_and_the_tenants_choices(
    unsubscribing: Any, request: pytest.FixtureRequest
) -> None:
    """The sender is named as the tenant says, else as From does; other tenants' choices change nothing."""
    message, plain = sent(unsubscribing, request, stream="weekly"), sent(unsubscribing, request)
    unsubscribing.set_policy("umbrella", POLICY)
    before = unsubscribing.offer(message)
    unsubscribing.set_policy("acme", POLICY)
    after = unsubscribing.offer(message)

    assert (before.sender, before.domain, before.stream) == ("Acme", "shop.acme.test", "weekly")
    assert (before.policy, before.is_stream_left) == (DEFAULT_UNSUBSCRIBE_POLICY, True)
    assert (after.sender, after.policy) == ("stream", POLICY)
    assert not unsubscribing.offer(plain).is_stream_left


def test_a_policy_is_kept_whole_and_taken_back(unsubscribing: Any) -> None:
    """Of a tenant that is not known yet too."""
    assert unsubscribing.policy("acme") == DEFAULT_UNSUBSCRIBE_POLICY
    unsubscribing.set_policy("acme", POLICY)
    kept = unsubscribing.policy("acme")
    unsubscribing.set_policy("acme", DEFAULT_UNSUBSCRIBE_POLICY)

    assert (kept, unsubscribing.policy("acme")) == (POLICY, DEFAULT_UNSUBSCRIBE_POLICY)


def test_a_message_that_is_not_here_offers_nothing(unsubscribing: Any) -> None:
    """A link of a database that was restored, or of no message."""
    ids = ["", "x", "0190a1b2-0000-7000-8000-00000000000a", "' or true --"]

    assert [unsubscribing.offer(message_id) for message_id in ids] == [None] * 4


def test_a_stored_policy_that_cannot_be_read_is_the_default(engine: Engine) -> None:
    """One bad row must not keep anybody from leaving, nor a batch from going."""
    unsubscribing = SqlUnsubscribing(engine)
    unsubscribing.set_policy("acme", POLICY)
    for stored in ('"x"', "[]", "5", '{"covers": 5, "transactional": {"a": 1}, "groups": [1], "text": []}'):
        with engine.begin() as connection:
            connection.execute(text("update tenant set unsubscribe = cast(:stored as jsonb)"), {"stored": stored})

        assert unsubscribing.policy("acme") == DEFAULT_UNSUBSCRIBE_POLICY
