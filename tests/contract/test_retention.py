"""Data of outbound mail is deleted when its retention ends, and nothing that is still needed."""

import hashlib
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text

from mailroom.adapters.postgres.outbound.dispatching import SqlDispatch
from mailroom.adapters.postgres.outbound.outbox import SqlOutbox
from mailroom.adapters.postgres.outbound.retention import FILES_KEPT, KEYS_KEPT, forget_outbound
from mailroom.domain.outbound.message import Batch, Content, Draft, Party, StoredAttachment
from mailroom.ports.outbox import SubmissionKey

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
PDF = b"pdf"
SHA256 = hashlib.sha256(PDF).hexdigest()
LEAFLET = StoredAttachment(filename="leaflet.pdf", content_type="application/pdf", size=len(PDF), sha256=SHA256)
SECOND = timedelta(seconds=1)


@pytest.fixture
def outbox(engine: Engine) -> SqlOutbox:
    return SqlOutbox(engine)


def submitted(outbox: SqlOutbox, *, now: datetime = NOW, tenant: str = "acme", key: str | None = None) -> str:
    batch = Batch(id=str(uuid4()), tenant=tenant, from_=Party("desk@acme.test"))
    content = Content(subject="News", text="Look.", html=None, enclosures=(LEAFLET,))
    draft = Draft(id=str(uuid4()), number=0, to=Party("ada@users.test"), content=0)
    came = SubmissionKey(key, "a" * 64) if key else None
    return outbox.accept(batch, [content], [draft], files={SHA256: PDF}, key=came, now=now).batch_id


def becomes(engine: Engine, status: str, *, handed: bool = True) -> None:
    with engine.begin() as connection:
        connection.execute(
            text("update message set status = :status, handed_at = case when :handed then now() end"),
            {"status": status, "handed": handed},
        )


def test_a_key_is_known_for_longer_than_a_queue_keeps_a_message(outbox: SqlOutbox, engine: Engine) -> None:
    """A day is promised to callers of the API; SQS may deliver a plain producer's message after 14."""
    submitted(outbox, key="november")

    before = forget_outbound(engine, NOW + timedelta(days=14, hours=23))
    known = outbox.answered("acme", SubmissionKey("november", "a" * 64))
    after = forget_outbound(engine, NOW + KEYS_KEPT + SECOND)

    assert (before[0], after[0]) == (0, 1)
    assert known is not None
    assert outbox.answered("acme", SubmissionKey("november", "a" * 64)) is None


@pytest.mark.parametrize("status", ["accepted", "queued", "scheduled", "deferred", "sending", "unknown"])
def test_a_file_stays_while_a_message_may_still_need_it(outbox: SqlOutbox, engine: Engine, status: str) -> None:
    """A batch that is scheduled for next year is sent whole; an unknown message may have to be sent again."""
    batch_id = submitted(outbox)
    becomes(engine, status, handed=status in ("sending", "unknown"))

    assert forget_outbound(engine, NOW + timedelta(days=400))[1] == 0
    assert SqlDispatch(engine).read_file("acme", SHA256) == PDF
    assert batch_id


@pytest.mark.parametrize("status", ["dispatched", "delivered", "bounced", "deferred", "failed", "cancelled", "expired"])
def test_a_file_goes_when_all_of_its_batches_are_over(outbox: SqlOutbox, engine: Engine, status: str) -> None:
    """Files are most of the database; `deferred` is the provider's here, so the provider has the mail."""
    submitted(outbox)
    becomes(engine, status)

    early = forget_outbound(engine, NOW + FILES_KEPT - SECOND)
    late = forget_outbound(engine, NOW + FILES_KEPT + SECOND)

    assert (early[1], late[1]) == (0, 1)
    with pytest.raises(LookupError):
        SqlDispatch(engine).read_file("acme", SHA256)


def test_another_batch_and_another_tenant_keep_their_own(outbox: SqlOutbox, engine: Engine) -> None:
    """One leaflet to everyone, every month: the old batch's end is not the new one's."""
    submitted(outbox)
    submitted(outbox, tenant="umbrella")
    becomes(engine, "delivered")
    submitted(outbox)

    assert forget_outbound(engine, NOW + timedelta(days=2))[1] == 1
    assert SqlDispatch(engine).read_file("acme", SHA256) == PDF


def test_a_file_that_is_submitted_again_is_not_deleted_meanwhile(outbox: SqlOutbox, engine: Engine) -> None:
    """Between the file and its batch there is a moment in which nothing refers to it."""
    submitted(outbox)
    becomes(engine, "delivered")
    later = NOW + timedelta(days=30)
    submitted(outbox, now=later)
    becomes(engine, "delivered")

    assert forget_outbound(engine, later + FILES_KEPT - SECOND)[1] == 0
