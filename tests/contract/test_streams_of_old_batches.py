"""The stream of a batch of a release without streams: the same wherever it is shown, left or compared with the list."""

from uuid import uuid4

import pytest
from sqlalchemy import Engine, text

from mailroom.adapters.postgres.delivery.events import SqlEvents
from mailroom.adapters.postgres.delivery.unsubscribing import SqlUnsubscribing
from mailroom.adapters.postgres.outbound.dispatching import SqlDispatch
from mailroom.adapters.postgres.outbound.message_reader import SqlMessageReader
from mailroom.adapters.postgres.outbound.outbox import SqlOutbox
from mailroom.domain.delivery.events import Kind
from mailroom.domain.delivery.streams import default_stream
from mailroom.domain.outbound.message import Batch, Content, Draft, Lane, Party
from mailroom.testing.api import NOW
from mailroom.testing.notices import an_event


@pytest.mark.parametrize("lane", Lane)
@pytest.mark.parametrize("unsubscribe", ["ours", None])
@pytest.mark.parametrize("named", ["weekly", None])
def test_a_batch_has_one_stream(engine: Engine, lane: Lane, unsubscribe: str | None, named: str | None) -> None:
    """The page of the link said one, the list of batches another, and the suppression was of a third."""
    batch = Batch(id=str(uuid4()), tenant="acme", from_=Party("news@acme.test"), lane=lane, stream=named)
    drafts = [Draft(id=str(uuid4()), number=n, to=Party(f"u{n}@users.test"), content=0) for n in range(2)]
    contents = [Content(subject="s", text="t", html=None, unsubscribe=unsubscribe)]
    SqlOutbox(engine).accept(batch, contents, drafts, now=NOW)
    if named is None:
        with engine.begin() as connection:
            connection.execute(text("update batch set stream = null"))
    expected = named or default_stream(lane, leavable=unsubscribe is not None)
    reader, dispatch = SqlMessageReader(engine), SqlDispatch(engine)

    line, offer = reader.batch("acme", batch.id), SqlUnsubscribing(engine).offer(drafts[0].id)
    [listed] = reader.batches("acme", after=None, limit=5).lines
    claimed = dispatch.claim(batch.id, most=1, provider="ses", now=NOW)
    SqlEvents(engine).record([an_event(Kind.UNSUBSCRIBED, "e", message_id=claimed[0].draft.id)], now=NOW)

    assert line is not None
    assert offer is not None
    assert {line.stream, listed.stream, offer.stream, claimed[0].batch.stream} == {expected}
    scope = "not_transactional" if expected == "transactional" else f"stream:{expected}"
    with engine.connect() as connection:
        assert list(connection.execute(text("select scope from suppression")).scalars()) == [scope]
