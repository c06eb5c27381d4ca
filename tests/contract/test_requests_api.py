"""What requests may have since it was found missing: over HTTP on a real database, to the mail that a provider gets."""

import base64
from dataclasses import replace
from datetime import datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any, cast

import pytest
from sqlalchemy import Engine, text

from mailroom.adapters.providers.sendgrid import SendGrid
from mailroom.api.services import Services
from mailroom.domain.mail.mime import mime
from mailroom.domain.outbound.message import Outgoing
from mailroom.ports.provider import ProviderReceipt
from mailroom.sandbox.stand_ins.sendgrid import SendGridStandIn
from mailroom.sandbox.stand_ins.vendors import serving
from mailroom.testing.api import NOW, TestClient
from mailroom.testing.archive import MemoryArchive
from tests.support.batch_requests import batch, kept, message, refused, sent, submitted, template
from tests.support.requests_to_send import made, prepared

#: The inputs of the issue: one KIND of fault each.
CASES: dict[str, dict[str, Any]] = {
    "read receipt": {"headers": {"Disposition-Notification-To": "desk@mailroom.test"}},
    "long link": {"unsubscribe": "https://acme.test/u?t=" + "a" * 950},
    "invitation": {
        "attachments": [
            {
                "filename": "invite.ics",
                "content_type": "text/calendar; method=REQUEST; charset=utf-8",
                "content": "QkVHSU46VkNBTEVOREFSDQpNRVRIT0Q6UkVRVUVTVA0KRU5EOlZDQUxFTkRBUg0K",
            }
        ]
    },
}
BILL, TERMS = (
    {"filename": f"{name}.pdf", "content": base64.b64encode(name.encode()).decode()} for name in ("bill", "terms")
)


@pytest.fixture
def clock(api: TestClient) -> list[datetime]:
    """The time of the API, which a test may change."""
    state = api.app.state  # type: ignore[attr-defined]
    now = [NOW]
    services: Services = state.services
    state.services = replace(services, now=lambda: now[0])
    return now


def arrived(mail: Outgoing) -> EmailMessage:
    return cast(EmailMessage, message_from_bytes(mime(mail, message_id="1@acme.test", date=NOW), policy=default))


@pytest.mark.parametrize("case", CASES)
def test_what_is_legitimate_is_accepted_previewed_sent_and_arrives(
    api: TestClient, engine: Engine, archive: MemoryArchive, case: str
) -> None:
    """By the request, by its dry run, by each provider's own way, and as it was meant at the recipient's."""
    asked = batch(message(**CASES[case]))
    preview = api.post("/v1/batches", params={"dry_run": "true"}, json=asked).json()
    [mail] = sent(engine, submitted(api, asked)["id"], archive)
    found = arrived(mail)

    assert (preview["messages"], preview["invalid"]) == (1, [])
    if case == "read receipt":
        assert found["Disposition-Notification-To"].strip() == "desk@mailroom.test"
    elif case == "long link":
        assert "".join(found["List-Unsubscribe"].split()) == f"<{mail.unsubscribe}>"
    else:
        [part] = [part for part in found.walk() if part.get_content_type() == "text/calendar"]
        assert (part.get_param("method"), part.get_filename()) == ("REQUEST", "invite.ics")
        assert cast(bytes, part.get_payload(decode=True)).startswith(b"BEGIN:VCALENDAR\r\nMETHOD:REQUEST")


def test_sendgrid_is_given_the_one_parameter_that_it_takes() -> None:
    """It refuses a mail for `charset` in a file's type (its issue 1313); the method is what makes it an invitation."""
    archive, vendor = MemoryArchive(), SendGridStandIn()
    kinds = ["text/calendar; method=REQUEST; charset=utf-8", "text/csv; charset=utf-8", 'text/calendar; method="a;b"']
    mail = made(
        prepared({"files": [("a.bin", kind, None, b"x") for kind in kinds]}, archive), archive, provider_tracks=True
    )
    assert isinstance(mail, Outgoing)
    with serving(vendor) as url:
        provider = SendGrid(**vendor.made_with, url=url)

        [result] = provider.send([mail])

        provider.close()
    assert isinstance(result, ProviderReceipt)
    given = [file["type"] for file in vendor.payloads[0]["attachments"]]
    assert given == ["text/calendar; method=REQUEST", "text/csv", "text/calendar"]


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"text": ""}, ["messages", "0", "text"]),
        ({"text": " \n\u200b"}, ["messages", "0", "text"]),
        ({"text": None, "html": "<p> </p>"}, ["messages", "0", "html"]),
        ({"text": "", "html": "<style>p{}</style>"}, ["messages", "0", "text"]),
        ({"text": None}, ["messages", "0"]),
    ],
)
def test_an_empty_mail_is_refused_with_its_place(
    api: TestClient, engine: Engine, changes: dict[str, Any], place: list[str]
) -> None:
    """The second of three; nothing is stored, and the dry run says the same."""
    asked = batch(message(**changes), message(to="bob@users.test"))
    preview = api.post("/v1/batches", params={"dry_run": "true"}, json=asked).json()

    [(where, what)] = refused(api, asked)

    assert where == place == preview["invalid"][0]["where"]
    assert "empty" in what or "required" in what
    assert kept(engine) == 0


def test_a_mail_that_data_leaves_empty_is_refused_by_its_recipient(api: TestClient) -> None:
    """One row of the list has no text."""
    people = [{"to": f"{name}@users.test", "data": {"name": name}} for name in ("ada", "", "bob")]
    people[1]["to"] = "eve@users.test"

    faults = refused(api, template(*people, subject="News", html="<p>{{ name }}</p>"))

    assert [where for where, _ in faults] == [["recipients", "1"]]


def test_the_same_relative_time_again_is_the_same_batch(api: TestClient, clock: list[datetime]) -> None:
    """A job that repeats an hour later; its batch goes when the first request said."""
    asked = batch(send_in="2h")
    first = submitted(api, asked, **{"Idempotency-Key": "k"})
    clock[0] = NOW + timedelta(hours=1)

    again = api.post("/v1/batches", json=asked, headers={"Idempotency-Key": "k"})

    assert (again.status_code, again.json()["id"], again.headers["idempotent-replayed"]) == (202, first["id"], "true")
    assert api.get(first["url"]).json()["send_at"] == "2026-03-14T11:30:00Z"
    assert len(api.get("/v1/batches").json()["items"]) == 1
    other = api.post("/v1/batches", json=batch(send_in="3h"), headers={"Idempotency-Key": "k"})
    assert other.status_code == 409
    assert refused(api, batch(send_in="367d")) == [(["send_in"], "too far ahead: at most 366 days")]
    assert refused(api, batch(send_in="9999999d"))[0][0] == ["send_in"]
    late = batch(send_in="2h", expires_at=(clock[0] + timedelta(hours=1)).isoformat())
    assert refused(api, late)[0][0] == ["expires_at"]


def test_recipients_have_files_of_their_own(api: TestClient, engine: Engine, archive: MemoryArchive) -> None:
    """A bill each, and the terms for all; two with the same file share it."""
    ada = {"to": "ada@users.test", "data": {"name": "Ada"}, "attachments": [BILL]}
    bob = {"to": "bob@users.test", "data": {"name": "Bob"}, "attachments": [BILL, BILL | {"filename": "copy.pdf"}]}
    eve = {"to": "eve@users.test", "data": {"name": "Eve"}}
    fay = {"to": "fay@users.test", "data": {"name": "Fay"}, "attachments": [BILL]}

    output = submitted(api, template(ada, bob, eve, fay, attachments=[TERMS]))
    mails = {mail.to.address[:3]: mail for mail in sent(engine, output["id"], archive)}

    names = {name: [file.filename for file in mail.attachments] for name, mail in mails.items()}
    assert names == {
        "ada": ["terms.pdf", "bill.pdf"],
        "bob": ["terms.pdf", "bill.pdf", "copy.pdf"],
        "eve": ["terms.pdf"],
        "fay": ["terms.pdf", "bill.pdf"],
    }
    assert [mails[name].subject for name in ("ada", "bob")] == ["Dear Ada", "Dear Bob"]
    assert mails["ada"].attachments[1].content == b"bill"
    with engine.connect() as connection:
        assert connection.execute(text("select count(*) from content")).scalar_one() == 3
        assert connection.execute(text("select count(*) from file")).scalar_one() == 2


@pytest.mark.parametrize(
    ("attachments", "place"),
    [
        ([{"filename": "a.pdf", "content": "***"}], ["recipients", "1", "attachments", "0", "content"]),
        ([{"filename": "a.pdf"}], ["recipients", "1", "attachments", "0"]),
        ([BILL, {"filename": "../a.pdf", "content": "YQ=="}], ["recipients", "1", "attachments", "1"]),
        ([{"filename": "a.pdf", "archive_id": "umbrella/1"}], ["recipients", "1", "attachments", "0"]),
        ([BILL] * 50, ["recipients", "1", "attachments"]),
    ],
)
def test_a_file_of_a_recipient_that_cannot_be_sent_is_named_by_its_place(
    api: TestClient, engine: Engine, attachments: list[dict[str, Any]], place: list[str]
) -> None:
    """With the template's file the last one has 51; nothing of the batch is stored."""
    ada, bob = ({"to": f"{name}@users.test", "data": {"name": name}} for name in ("ada", "bob"))

    faults = refused(api, template(ada, bob | {"attachments": attachments}, attachments=[TERMS]))

    assert [where for where, _ in faults] == [place]
    assert kept(engine) == 0


def test_own_files_do_not_copy_a_large_template_without_end(api: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each recipient with files of its own stores the template again."""
    monkeypatch.setattr("mailroom.outbound.preparing._MOST_COPIED", 500)
    people = [{"to": f"u{at}@users.test", "data": {"name": "x"}, "attachments": [BILL]} for at in range(9)]

    faults = refused(api, template(*people))

    assert faults[0][0][:1] == ["recipients"]
    assert "send it in parts" in faults[0][1]
