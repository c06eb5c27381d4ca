"""What a recipient got, over HTTP on a real database: as it was sent, by its digest, or a sentence that says why not."""

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any, cast

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, text

from mailroom.adapters.postgres.outbound.retention import FILES_KEPT, forget_outbound
from mailroom.api.app import create_app
from mailroom.api.sent_views import views
from mailroom.api.services import OutboundServices, Services
from mailroom.domain.errors import OutcomeUnknown, Refused, Throttled
from mailroom.domain.outbound.message import Lane, Outgoing
from mailroom.outbound.dispatching import Sender
from mailroom.ports.provider import Capabilities
from mailroom.testing.api import NOW, Memory, TestClient
from mailroom.testing.provider import MemoryProvider
from tests.support.batch_requests import ACME, ADMIN, HOLDERS, PORTS, UMBRELLA, batch, message, submitted, template
from tests.support.sending import Office, office_on

BASE = "https://mail.acme.test"
HTML = "<p>Dear {{ name }}, <a href='https://acme.test/offer'>look</a> <img src='https://acme.test/a.png'></p>"
ADA = {"to": "Ada <ada@users.test>", "data": {"name": "Ada", "total": 12}}
PDF = base64.b64encode(b"%PDF-1.7 bill").decode()
BILL = {"filename": "bill.pdf", "content_type": "application/pdf", "content": PDF}
GONE = "The content can no longer be shown as sent"
SEES = {"Accept": "text/html"}


@dataclass
class Installation:
    """The API and a worker of one installation: both sign links with one key."""

    engine: Engine
    office: Office
    services: Services
    clock: list[datetime] = field(default_factory=lambda: [NOW])

    def api(self, *, key: str | None = "a key of some length", **settings: Any) -> TestClient:
        """Return the API with this key and these settings; the worker gets the same key."""
        chosen = {"unsubscribe_key": SecretStr(key) if key else None, "public_url": BASE} | settings
        settings_now = self.services.settings.model_copy(update=chosen)
        made = replace(self.services, settings=settings_now, now=lambda: self.clock[0])
        assert made.sending is not None
        links = views(made, made.sending)
        self.office.outbound.leave_url, self.office.outbound.tracker = links.leave_url, links.tracker
        return TestClient(create_app(made), base_url=BASE, headers=ACME)

    def sent(self, api: TestClient, asked: dict[str, Any]) -> list[Outgoing]:
        """Submit a batch, send it, and return what the provider got."""
        self.send(submitted(api, asked)["id"])
        provider = cast(MemoryProvider, self.office.outbound.provider)
        mails, provider.mails = sorted(provider.mails, key=lambda mail: mail.to.address), []
        return mails

    def send(self, batch_id: str) -> None:
        Sender(batch_id, Lane.BULK, self.office.outbound, clock=lambda: self.clock[0]).send_some(100)

    def change(self, statement: str) -> None:
        with self.engine.begin() as connection:
            connection.execute(text(statement))

    def count(self, statement: str) -> int:
        return int(self.office.values(statement)[0])


@pytest.fixture
def installation(engine: Engine) -> Iterator[Installation]:
    memory = Memory()
    memory.keys.holders.update(HOLDERS)
    with office_on(engine) as office:
        services = replace(
            memory.services(),
            archive=office.outbound.archive,
            sending=OutboundServices(*(port(engine) for port in PORTS)),
        )
        yield Installation(engine, office, services)


def content(api: TestClient, message_id: str, **headers: str) -> dict[str, Any]:
    answer = api.get(f"/v1/messages/{message_id}/content", headers=headers)
    assert answer.status_code == 200, answer.text
    return cast(dict[str, Any], answer.json())


def refusal(api: TestClient, message_id: str, path: str = "content") -> tuple[int, str]:
    answer = api.get(f"/v1/messages/{message_id}/{path}")
    return answer.status_code, answer.json()["detail"]


def in_eml(api: TestClient, path: str, **headers: str) -> EmailMessage:
    answer = api.get(path, headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "message/rfc822"), answer.text
    return cast(EmailMessage, message_from_bytes(answer.content, policy=default))


def test_lists_show_the_subject_that_each_recipient_got(installation: Installation) -> None:
    """Support searches for the subject that the recipient reads out; `{{ name }}` is no help."""
    api = installation.api()
    bob = {"to": "bob@users.test", "data": {"name": "Bob <3"}}
    output = submitted(api, template(ADA, bob))

    lines = api.get("/v1/messages").json()["items"]
    page = api.get(f"/batches/{output['id']}", headers=SEES).text
    history = api.get("/recipients?address=bob@users.test", headers=SEES).text

    assert sorted(line["subject"] for line in lines) == ["Dear Ada", "Dear Bob <3"]
    assert api.get(f"/v1/messages/{lines[0]['id']}").json()["subject"] == lines[0]["subject"]
    assert "Dear Ada" in page
    assert "Dear Bob &lt;3" in page
    assert "Dear Bob &lt;3" in history
    assert "{{" not in page + history


def test_a_subject_that_all_share_is_stored_once(installation: Installation) -> None:
    """100,000 copies of one subject would be as many megabytes for nothing."""
    api = installation.api()
    submitted(api, template(ADA, subject="News"))
    submitted(api, batch())

    assert installation.office.values("select subject from message") == [None, None]
    assert {line["subject"] for line in api.get("/v1/messages").json()["items"]} == {"News", "Your invoice"}


def test_the_content_of_a_sent_message_is_what_the_provider_got(installation: Installation) -> None:
    """Filled again from template and data, with its tracked links, its unsubscribe link, headers and files."""
    api = installation.api()
    asked = template(
        ADA,
        html=HTML,
        text="Pay {{ total }}",
        attachments=[BILL],
        headers={"X-Note": "n"},
        reply_to="Desk <d@acme.test>",
        unsubscribe=True,
    )
    [mail] = installation.sent(api, asked | {"tracking": {"opens": True, "clicks": True}})

    shown = content(api, mail.id)

    assert (shown["state"], shown["sent_at"], shown["shown_until"]) == (
        "as_sent",
        "2026-03-14T09:30:00Z",
        "2026-04-13T09:30:00Z",
    )
    assert (shown["subject"], shown["text"], shown["html"]) == (mail.subject, mail.text, mail.html)
    assert f"{BASE}/c/" in shown["html"]
    assert f"{BASE}/o/" in shown["html"]
    assert shown["unsubscribe"] == mail.unsubscribe
    assert (shown["from"], shown["to"]) == (
        {"address": "desk@acme.test", "name": ""},
        {"address": "ada@users.test", "name": "Ada"},
    )
    assert shown["reply_to"] == {"address": "d@acme.test", "name": "Desk"}
    assert shown["headers"] == [{"name": "X-Note", "value": "n"}]
    [file] = shown["attachments"]
    assert (file["filename"], file["size"]) == ("bill.pdf", 13)
    assert installation.office.values("select sent_sha256 from message") == [shown["sha256"]]


@pytest.mark.parametrize("headers", [{}, {"Accept": "message/rfc822"}])
def test_the_file_is_the_mail_with_everything_in_it(installation: Installation, headers: dict[str, str]) -> None:
    """Opened in any mail program it looks as it did for the recipient; by its own address or by Accept."""
    api = installation.api()
    [mail] = installation.sent(api, template(ADA, html=HTML, attachments=[BILL], unsubscribe=True))
    path = f"/v1/messages/{mail.id}/content" + ("" if headers else ".eml")

    found = in_eml(api, path, **headers)

    assert (found["Subject"], found["To"], found["X-Correlation-ID"]) == ("Dear Ada", "Ada <ada@users.test>", mail.id)
    assert found["List-Unsubscribe"].strip() == f"<{mail.unsubscribe}>"
    assert found["Date"] == "Sat, 14 Mar 2026 09:30:00 +0000"
    body = found.get_body(("html",))
    assert body is not None
    assert "Dear Ada" in body.get_content()
    assert [part.get_content() for part in found.iter_attachments()] == [b"%PDF-1.7 bill"]
    assert 'filename="Dear Ada.eml"' in api.get(path, headers=headers).headers["content-disposition"]


def test_before_it_is_sent_a_message_shows_what_would_be_sent(installation: Installation) -> None:
    """A held or scheduled batch is looked at before it goes; nobody may take that for what was sent."""
    api = installation.api()
    submitted(api, template(ADA))
    [line] = api.get("/v1/messages").json()["items"]

    shown = content(api, line["id"])

    assert (shown["state"], shown["sent_at"], shown["shown_until"]) == ("not_sent", None, None)
    assert "has not been sent" in shown["what"]
    assert "Dear Ada" in shown["html"]
    assert "has not been sent" in api.get(f"/messages/{line['id']}", headers=SEES).text


CHANGES = (
    """update message set data = '{"name": "Eve", "total": 12}'""",
    "update content set html = 'Dear {{ name }}'",
    "update content set text = 'x'",
    """update message set "to" = '{"address": "eve@users.test", "name": "Ada"}'""",
    """update batch set "from" = '{"address": "eve@acme.test", "name": ""}'""",
    """update content set headers = '[["X-Note", "other"]]'""",
    "update content set enclosures = '[]'",
    """update content set reply_to = '{"address": "eve@acme.test", "name": ""}'""",
    "update message set sent_sha256 = repeat('0', 64)",
)


def test_content_that_would_be_another_is_not_shown_as_sent(installation: Installation) -> None:
    """A page that is taken for evidence says nothing rather than something else; one changed letter is enough."""
    api = installation.api()
    for change in CHANGES:
        [mail] = installation.sent(api, template(ADA, html=HTML, text="Pay {{ total }}", attachments=[BILL]))
        assert content(api, mail.id)["state"] == "as_sent"

        installation.change(change)

        status, detail = refusal(api, mail.id)
        assert (status, detail.partition(":")[0]) == (410, GONE), change
    assert refusal(api, mail.id, "content.eml")[0] == 410
    page = api.get(f"/messages/{mail.id}", headers=SEES)
    assert (page.status_code, GONE in page.text, "Dear Eve" in page.text) == (200, True, False)


def test_links_signed_with_another_key_are_not_those_that_were_sent(installation: Installation) -> None:
    """After the key has changed, a mail without such links is still shown, and one with them is not."""
    api = installation.api()
    [plain] = installation.sent(api, template(ADA, html=HTML))
    [tracked] = installation.sent(api, template(ADA, html=HTML) | {"tracking": {"clicks": True}})
    [left] = installation.sent(api, template(ADA, html=HTML, unsubscribe=True))

    for key in ("another key of some length", None):
        later = installation.api(key=key)

        assert content(later, plain.id)["state"] == "as_sent"
        assert refusal(later, tracked.id)[0] == refusal(later, left.id)[0] == 410


def test_a_provider_that_tracks_by_itself_was_given_other_html(installation: Installation) -> None:
    """The HTML that we gave it has the sender's own links, and is shown so."""
    api = installation.api()
    provider = MemoryProvider(capabilities=Capabilities(tracks=True))
    installation.office.outbound.provider = provider
    [mail] = installation.sent(api, template(ADA, html=HTML) | {"tracking": {"clicks": True, "opens": True}})

    assert content(api, mail.id)["html"] == mail.html == HTML.replace("{{ name }}", "Ada")


def test_content_is_shown_for_some_days(installation: Installation) -> None:
    """What a mail said is personal data; the list keeps its subject and status."""
    [mail] = installation.sent(installation.api(), template(ADA, attachments=[BILL]))
    for days, after, status in ((30, 29.9, 200), (30, 30, 410), (0, 0, 410), (90, 89, 200)):
        api = installation.api(sent_content_days=days)
        installation.clock[0] = NOW + timedelta(days=after)

        assert api.get(f"/v1/messages/{mail.id}/content").status_code == status
        assert api.get(f"/messages/{mail.id}/html", headers=SEES).status_code == status
        page = api.get(f"/messages/{mail.id}", headers=SEES)
        assert (page.status_code, "https://acme.test" in page.text) == (200, status == 200)
        assert (f"for {days} days" in page.text) == (status == 410)
        assert ("bill.pdf" in page.text) == (status == 200)


def test_files_that_are_no_longer_kept_leave_the_text(installation: Installation) -> None:
    """Files go a day after a batch has ended; what the mail said is known for longer, and the digest needs no bytes."""
    api = installation.api()
    archived = installation.office.outbound.archive.deposit("acme", b"kept")
    [mail] = installation.sent(api, template(ADA, attachments=[BILL]))
    [other] = installation.sent(
        api, template(ADA, attachments=[{"filename": "a.pdf", "archive_id": archived.archive_id}])
    )
    installation.change("update file set created_at = created_at - interval '9 days'")
    forget_outbound(installation.engine, NOW + FILES_KEPT)

    assert content(api, mail.id)["attachments"][0]["filename"] == "bill.pdf"
    status, detail = refusal(api, mail.id, "content.eml")
    assert (status, "attachment of this message is no longer stored" in detail) == (410, True)
    [part] = in_eml(api, f"/v1/messages/{other.id}/content.eml").iter_attachments()
    assert part.get_content() == b"kept"


def test_bytes_of_a_file_that_changed_are_not_what_was_sent(installation: Installation) -> None:
    """The digest of the file that is downloaded is that of its bytes, not the one that stands in a row."""
    api = installation.api()
    [mail] = installation.sent(api, template(ADA, attachments=[BILL]))

    installation.change("update file set content = 'something else'")

    assert refusal(api, mail.id, "content.eml")[0] == 410


def test_each_outcome_shows_what_can_be_said(installation: Installation) -> None:
    """Lost answers are of mails that may have arrived; a refused mail was given to the provider; a throttled one was not."""
    api = installation.api()
    provider = cast(MemoryProvider, installation.office.provider)
    outcomes = [OutcomeUnknown("lost", provider="memory"), Refused("no", code=550), Throttled("slow down"), None]
    provider.answers.extend(outcomes)
    people = [{"to": f"{name}@users.test", "data": {"name": name}} for name in ("a", "b", "c", "d")]
    installation.send(submitted(api, template(*people))["id"])

    states = {
        line["status"]: content(api, line["id"])["state"]
        for line in api.get("/v1/messages").json()["items"]
        if line["attempts"]
    }

    assert states["unknown"] == states["rejected"] == states["dispatched"] == "as_sent"
    assert states.get("queued", "not_sent") == "not_sent"


def test_without_a_digest_nothing_is_shown_as_sent(installation: Installation) -> None:
    """An earlier release took none, and neither did a worker that died before the answer; a mail under way is not settled yet."""
    api = installation.api()
    [mail] = installation.sent(api, batch())

    installation.change("update message set sent_sha256 = null")
    without = refusal(api, mail.id)
    installation.change("update message set status = 'sending'")
    under_way = content(api, mail.id)
    installation.change("update message set status = 'failed'")
    failed = content(api, mail.id)["state"]

    assert (without[0], "no digest" in without[1]) == (410, True)
    assert (under_way["state"], under_way["sent_at"]) == ("being_sent", None)
    assert failed == "not_sent"


def test_another_tenants_content_is_not_there(installation: Installation) -> None:
    """By none of its addresses; an administrator sees every tenant's."""
    api = installation.api()
    [mail] = installation.sent(api, batch())

    for path in (
        "/v1/messages/{}/content",
        "/v1/messages/{}/content.eml",
        "/messages/{}/html",
        "/messages/{}/content.eml",
    ):
        assert api.get(path.format(mail.id), headers=UMBRELLA).status_code == 404
        assert api.get(path.format(mail.id), headers=ADMIN).status_code == 200


def test_a_view_counts_as_nothing_and_leads_nowhere(installation: Installation) -> None:
    """The frame has the sender's links as numbers and no pixel; no page names the link that unsubscribes the recipient."""
    api = installation.api()
    html = HTML + "<script>alert(1)</script><a href='https://mail.acme.test/u/own'>x</a>"
    asked = template(ADA, html=html, text="Leave: https://mail.acme.test/u/own.", unsubscribe=True)
    [mail] = installation.sent(api, asked | {"tracking": {"opens": True, "clicks": True}})

    page = api.get(f"/messages/{mail.id}", headers=SEES).text
    frame = api.get(f"/messages/{mail.id}/html", headers=SEES)

    for shown in (page, frame.text):
        assert "/c/" not in shown
        assert "/o/" not in shown
        assert "/u/own" not in shown
        assert "<script" not in shown.replace('<script src="/static/frame.js"', "")
    assert 'sandbox="allow-same-origin"' in page
    assert "https://acme.test/offer" in page
    assert '<a href="https://acme.test' not in page
    assert '<a href="#1"' in frame.text
    assert "sandbox" in frame.headers["content-security-policy"]
    assert (
        in_eml(api, f"/messages/{mail.id}/content.eml", **SEES)["List-Unsubscribe"].strip() == f"<{mail.unsubscribe}>"
    )
    assert installation.count("select count(*) from activity where kind in ('opened', 'clicked', 'unsubscribed')") == 0


def test_a_digest_is_of_the_bytes_of_files(installation: Installation) -> None:
    """Two files of one name are two mails."""
    api = installation.api()
    digests = set()
    for bytes_ in (b"one", b"two"):
        file = BILL | {"content": base64.b64encode(bytes_).decode()}
        [mail] = installation.sent(api, batch(message(attachments=[file])))
        shown = content(api, mail.id)
        assert shown["attachments"][0]["sha256"] == hashlib.sha256(bytes_).hexdigest()
        installation.change("update message set reference = id::text")
        digests.add(shown["sha256"])

    assert len(digests) == 2
