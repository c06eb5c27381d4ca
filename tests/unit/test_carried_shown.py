"""What an item carries, on its page and in the API; an item of an older release says nothing of it."""

import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import pytest

from mailroom.api.app import create_app
from mailroom.api.v1.responses.carried import InvitationResponse
from mailroom.domain.inbound.received_email import Item
from mailroom.domain.mail.carried import Attendee, CalendarTime, HeaderField, Invitation, Report
from mailroom.domain.parsing import Protection, parse_email
from mailroom.testing.api import BROWSER, Memory, TestClient, an_item, two_tenants
from tests.support.calendars import calendar_mail, event

IMG = '<img src=x onerror=alert(1)>"'
#: What an older release filed has none of these.
CARRIED = ("plus_tokens", "reply_to", "in_reply_to", "references", "automatic_reply", "protection", "reports", "invitations",
    "header_fields", "not_carried")  # fmt: skip


@pytest.fixture(scope="module")
def memory() -> Memory:
    return two_tenants()


@pytest.fixture(scope="module")
def api(memory: Memory) -> TestClient:
    app = create_app(memory.services())
    return TestClient(app, base_url="http://127.0.0.1:8025", headers={"Authorization": "Bearer acme"})


def page(api: TestClient, memory: Memory, item: Item, **changes: Any) -> str:
    answer = api.get(f"/items/{memory.file(item, **changes).id}", headers=BROWSER)
    assert answer.status_code == 200
    return " ".join(re.sub("<[^>]*>", " ", answer.text).split())


def answer(api: TestClient, memory: Memory, item: Item, **changes: Any) -> Mapping[str, Any]:
    found = api.get(f"/v1/items/{memory.file(item, **changes).id}")
    assert found.status_code == 200
    values: dict[str, Any] = found.json()
    return values


def meeting() -> Invitation:
    entry = event(
        "SUMMARY:Abstimmung Grün", "LOCATION:Raum 5\\, Haus B", "ORGANIZER;CN=Petra:mailto:petra@supplier.test", "RRULE:FREQ=WEEKLY;COUNT=3",
        "DTSTART;TZID=W. Europe Standard Time:20251201T140000", "DTEND;TZID=W. Europe Standard Time:20251201T150000",
        "ATTENDEE;PARTSTAT=ACCEPTED:mailto:ann@acme.test", "DESCRIPTION:Budget",
    )  # fmt: skip
    [found] = parse_email(calendar_mail(entry)).invitations
    return found


def test_an_invitation_is_on_the_page_and_in_the_api(api: TestClient, memory: Memory) -> None:
    """When, where, how often and whose meeting, without opening the .ics file."""
    item = an_item(invitations=(meeting(),))

    text, values = page(api, memory, item), answer(api, memory, item)["invitations"][0]

    for said in (
        "Meeting, invitation", "Abstimmung Grün", "Mon 1 Dec 2025, 14:00 to 15:00, W. Europe Standard Time (13:00 to 14:00 UTC)",
        "Raum 5, Haus B", "Petra &lt;petra@supplier.test&gt;", "every week, 3 times", "ann@acme.test (accepted)", "Budget",
    ):  # fmt: skip
        assert said in text
    assert values["starts"] == {
        "local": "2025-12-01T14:00:00",
        "zone": "W. Europe Standard Time",
        "at": "2025-12-01T13:00:00Z",
    }
    assert (values["action"], values["location"], values["recurrence_rule"]) == (
        "request",
        "Raum 5, Haus B",
        "FREQ=WEEKLY;COUNT=3",
    )


def test_reply_to_the_thread_and_the_fields_are_shown(api: TestClient, memory: Memory) -> None:
    """Reply-To beside From, for a reply to the other goes astray."""
    item = an_item(
        reply_to=("Kundin <kundin@client.test>",), in_reply_to=("vorige@x.test",), references=("erste@x.test", "vorige@x.test"),
        header_fields=(HeaderField("x-ticket", "55"),), plus_token="lease", plus_tokens=("lease", "tax"), not_carried={"header_fields": 1_200},
    )  # fmt: skip

    text, values = page(api, memory, item), answer(api, memory, item)

    assert "Reply-To Kundin &lt;kundin@client.test&gt;" in text
    assert "In-Reply-To vorige@x.test" in text
    assert "References erste@x.test , vorige@x.test" in text
    assert "x-ticket 55" in text
    assert "Plus tokens lease , tax" in text
    assert "1,200 header fields (left out or cut) are over a limit. The raw e-mail (.eml) has them." in text
    assert {name: values[name] for name in ("reply_to", "in_reply_to", "references", "plus_tokens", "header_fields")} == {
        "reply_to": ["Kundin <kundin@client.test>"], "in_reply_to": ["vorige@x.test"], "references": ["erste@x.test", "vorige@x.test"],
        "plus_tokens": ["lease", "tax"], "header_fields": [{"name": "x-ticket", "value": "55"}],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("word", "said"),
    [
        (Protection.SMIME_ENCRYPTED, "Protection encrypted (S/MIME): cannot be read here"),
        (Protection.PGP_ENCRYPTED, "Protection encrypted (OpenPGP): cannot be read here"),
        (Protection.SMIME_SIGNED, "Protection signed (S/MIME); the signature is not verified here"),
        (Protection.PGP_SIGNED, "Protection signed (OpenPGP); the signature is not verified here"),
    ],
)
def test_protection_is_said_and_never_called_verified(
    api: TestClient, memory: Memory, word: Protection, said: str
) -> None:
    """A reader of the page must not take a signature for a proof."""
    item = an_item(protection=(word.value,))

    assert said in page(api, memory, item)
    assert answer(api, memory, item)["protection"] == [word.value]


def test_reports_and_automatic_replies_are_shown(api: TestClient, memory: Memory) -> None:
    """A bounce that somebody forwarded, or that came to an inbox, says which recipient was not reached."""
    report = Report(
        "delivery",
        {"reporting-mta": "dns; mx.x.test"},
        ({"final-recipient": "rfc822; gone@x.test", "status": "5.1.1"},),
    )
    item = an_item(
        reports=(report, Report("disposition", {"disposition": "displayed"}), Report("abuse", {})), automatic_reply=True
    )

    text, values = page(api, memory, item), answer(api, memory, item)

    for said in (
        "Delivery report",
        "Read receipt",
        "Complaint report",
        "rfc822; gone@x.test",
        "5.1.1",
        "Kind automatic reply",
    ):
        assert said in text
    assert values["reports"][0] == {
        "kind": "delivery",
        "fields": {"reporting-mta": "dns; mx.x.test"},
        "items": [dict(report.items[0])],
    }
    assert values["automatic_reply"] is True


def test_an_item_of_an_older_release_says_nothing(api: TestClient, memory: Memory) -> None:
    """It is not known whether it was signed or had a Reply-To, so the page says neither."""
    text, values = page(api, memory, an_item(plus_token="lease")), answer(api, memory, an_item())

    assert {name: values[name] for name in CARRIED} == dict.fromkeys(CARRIED)
    assert not re.search("Reply-To|References|Protection|Meeting|report|Header fields|automatic", text)
    assert "Plus token lease" in text


@pytest.mark.parametrize(
    ("sender", "said"),
    [
        ("petra@supplier.test", "From petra@supplier.test by the envelope: the mail has no From"),
        ("", "From unknown sender the mail has no From, and its envelope no sender, as of a bounce"),
        (None, "From unknown sender the mail has no From"),
    ],
)
def test_a_mail_without_from_is_shown_by_its_envelope(
    api: TestClient, memory: Memory, sender: str | None, said: str
) -> None:
    """The envelope says who sent it, and the page says that this is not From."""
    item = an_item(from_=None, recipient=f"in-{len(said)}@acme.test")

    assert said in page(api, memory, item, envelope_sender=sender)
    assert answer(api, memory, item, envelope_sender=sender)["envelope_sender"] == sender
    listed = api.get(f"/inboxes/{item.recipient}", headers=BROWSER).text
    assert ("by the envelope" in listed) == bool(sender)


def test_hostile_values_are_only_text(api: TestClient, memory: Memory) -> None:
    """Every one of them is the sender's."""
    time = CalendarTime(IMG, IMG)
    entry = Invitation(
        "event", IMG, IMG, IMG, IMG, IMG, time, time, False, IMG, IMG, time, IMG, IMG, 1, (Attendee(IMG, IMG),), 3
    )
    item = an_item(
        plus_tokens=(IMG, IMG), reply_to=(IMG,), in_reply_to=(IMG,), references=(IMG,), automatic_reply=True, protection=(IMG,),
        reports=(Report(IMG, {IMG: IMG, "items": "x"}, ({IMG: IMG},)),), invitations=(entry,), header_fields=(HeaderField(IMG, IMG),),
        not_carried={IMG: 1}, from_=None,
    )  # fmt: skip

    found = api.get(f"/items/{memory.file(item, envelope_sender=IMG).id}", headers=BROWSER)

    assert found.status_code == 200
    assert "<img src=x" not in found.text


def test_the_api_answers_every_field_of_an_invitation_and_says_what_it_means(api: TestClient) -> None:
    """A field that the shape forgets would be filed and never seen."""
    assert {one.name for one in fields(Invitation)} == InvitationResponse.model_fields.keys()
    shapes = api.get("/openapi.json").json()["components"]["schemas"]
    assert shapes["ItemResponse"]["properties"]["invitations"]["description"].startswith("Meetings")
    assert {name for name in CARRIED if "description" not in shapes["ItemResponse"]["properties"][name]} == set()
