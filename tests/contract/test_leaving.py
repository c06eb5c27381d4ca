"""One-click unsubscribe (RFC 8058), from the header of a mail to the next batch, which leaves the address out."""

from collections.abc import Iterator
from dataclasses import replace
from email import message_from_bytes
from email.header import decode_header, make_header
from email.message import Message

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine

from mailroom.adapters.postgres.delivery.events import SqlEvents
from mailroom.adapters.postgres.outbound.dispatching import SqlDispatch
from mailroom.api.app import create_app
from mailroom.domain.delivery.unsubscribe import PATH, unsubscribe_url
from mailroom.domain.mail.mime import mime
from mailroom.testing.api import NOW, TestClient
from mailroom.testing.archive import MemoryArchive
from tests.support.batch_requests import ACME, batch, message, sent, submitted

KEY, PUBLIC = "k" * 32, "https://mail.acme.test"


@pytest.fixture
def api(api: TestClient, engine: Engine) -> Iterator[TestClient]:
    services = api.app.state.services  # type: ignore[attr-defined]
    settings = services.settings.model_copy(update={"unsubscribe_key": SecretStr(KEY)})
    with TestClient(create_app(replace(services, settings=settings, events=SqlEvents(engine))), headers=ACME) as client:
        yield client


def received(api: TestClient, engine: Engine, archive: MemoryArchive) -> Message:
    """Return the mail as its recipient's mail program has it."""
    [mail] = sent(engine, submitted(api, batch())["id"], archive)
    link = unsubscribe_url(PUBLIC, mail.id, key=KEY.encode())
    return message_from_bytes(mime(replace(mail, unsubscribe=link), message_id="1@acme.test", date=NOW))


def link_of(mail: Message) -> str:
    link = str(make_header(decode_header(mail["List-Unsubscribe"]))).strip().strip("<>")
    assert link.startswith(PUBLIC + PATH)
    return link.removeprefix(PUBLIC)


def test_one_click_reaches_from_the_header_to_the_next_batch(
    api: TestClient, engine: Engine, archive: MemoryArchive
) -> None:
    """Case 71: a mail program posts the header's link, perhaps twice, without key or cookie."""
    mail = received(api, engine, archive)
    said, stranger = dict([mail["List-Unsubscribe-Post"].split("=")]), TestClient(api.app)

    clicks = [stranger.post(link_of(mail), data=said).status_code for _ in range(2)]

    assert clicks == [200, 200]
    bulk = batch(message(to="ADA@users.test"), lane="bulk")
    seen = api.post("/v1/batches", params={"dry_run": "true"}, json=bulk).json()
    assert (seen["messages"], seen["suppressed"]) == (0, [0])
    output = submitted(api, batch(message(to="Ada <ada@users.test>"), message(to="bob@users.test"), lane="bulk"))
    assert [one.to.address for one in sent(engine, output["id"], archive)] == ["bob@users.test"]
    assert api.get(output["url"]).json()["statuses"] == {"suppressed": 1, "dispatched": 1}


def test_a_scanner_that_follows_every_link_unsubscribes_nobody(
    api: TestClient, engine: Engine, archive: MemoryArchive
) -> None:
    """Case 71: GET and HEAD change nothing; only a POST unsubscribes."""
    link, stranger = link_of(received(api, engine, archive)), TestClient(api.app)

    looked = [stranger.get(link).status_code, stranger.head(link).status_code]

    assert looked[0] == 200
    assert api.get("/v1/suppressions").json()["items"] == []


def test_an_unsubscribed_recipient_gets_no_resent_mail_either(
    api: TestClient, engine: Engine, archive: MemoryArchive
) -> None:
    """Case 67: the outcome was lost, the recipient unsubscribed meanwhile, and the policy sends again."""
    output = submitted(api, batch(policy="prefer_delivery"))
    dispatch = SqlDispatch(engine)
    [claim] = dispatch.claim(output["id"], most=1, provider="ses", now=NOW)
    dispatch.strand(before=NOW.replace(year=2027), now=NOW)
    api.post("/v1/suppressions", json={"addresses": ["ada@users.test"]})

    assert dispatch.resend([claim.draft.id], now=NOW) == 1
    assert sent(engine, output["id"], archive) == []
    assert api.get(output["url"]).json()["statuses"] == {"suppressed": 1}
