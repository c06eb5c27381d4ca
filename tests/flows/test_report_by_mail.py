"""A bounce by mail through the whole flow: archived, recorded with its message, in no inbox."""

import asyncio
from datetime import timedelta

import pytest
from prefect import get_client
from sqlalchemy import Engine, text

import tests.support.mail_reports as samples
from flows import receive_email as flow_module
from flows.receive_email import receive_email
from mailroom.domain.archive.manifests import RetentionClass
from mailroom.domain.inbound.envelope_encryption import Forms
from mailroom.domain.inbound.received_email import Arrival, Envelope, ObjectRef
from mailroom.testing.archive import MemoryArchive
from mailroom.testing.mail_store import MemoryMailStore
from mailroom.testing.manifests import MemoryManifests
from tests.support.filed_mail import inbound_on
from tests.support.mail_reports import filled
from tests.support.returned_mail import DOMAIN, GOOD, NOW, Returned


def test_a_bounce_by_mail_becomes_its_messages_event(
    server: None, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five steps and none that files; the run's report names the message, and nothing of the mail is in it."""
    returned = Returned(engine)
    [(message, path)] = returned.sends()
    ref, raw = ObjectRef("inbound", "in/returned"), filled(samples.POSTFIX, path=path, message_id=message)
    mails, archive, manifests = MemoryMailStore(), MemoryArchive(retention=timedelta(days=3650)), MemoryManifests()
    mails.put(ref, raw, at=NOW)
    returned.ledger.register(Arrival(ref, Envelope((path,), "", NOW, GOOD)), now=NOW)
    inbound = inbound_on(
        engine,
        mails=mails,
        archive=archive,
        manifests=manifests,
        forms=Forms(plain=("in/",)),
        return_paths=returned.paths,
        events=returned.events,
        bounce_domain=DOMAIN,
    )

    async def opened() -> object:
        return inbound

    monkeypatch.setattr(flow_module, "open_inbound", opened)

    async def run() -> tuple[str | None, list[str]]:
        state = await receive_email(ref.bucket, ref.key, return_state=True)
        async with get_client() as client:
            artifacts = await client.read_artifacts()
        return state.name, [str(one.data) for one in artifacts]

    name, reports = asyncio.run(run())

    assert name == "Completed"
    assert returned.status(message) == ("bounced", "bounced_hard")
    assert returned.suppressed() == [("acme", "u0@users.test", "hard_bounce")]
    with engine.connect() as connection:
        assert connection.execute(text("select count(*) from inbox_item")).scalar() == 0
    [receipt] = [archive.find(name) for name in archive.contents]
    [manifest] = manifests.find(ref)
    assert receipt is not None
    assert receipt.verified_at is not None
    assert (receipt.tenant, receipt.retain_until - receipt.verified_at) == ("acme", timedelta(days=30))
    assert manifest.retention is RetentionClass.REPORT
    assert any(f"report of message `{message}`: bounced_hard" in report for report in reports)
    assert not any("users.test" in report or path in report for report in reports)
