"""The unsubscribe page, on PostgreSQL: the sender and the kind of mail that it names, its language, and what its button does."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, text

from mailroom.adapters.postgres.delivery.events import SqlEvents
from mailroom.api.app import create_app
from mailroom.domain.delivery.unsubscribe import sign, unsubscribe_url
from mailroom.domain.errors import TransientError
from mailroom.testing.api import BROWSER, TestClient
from mailroom.testing.archive import MemoryArchive
from tests.support.batch_requests import ACME, batch, message, refused, sent, submitted

KEY = "k" * 32


@pytest.fixture
def sender(api: TestClient, engine: Engine) -> Iterator[TestClient]:
    services = api.app.state.services  # type: ignore[attr-defined]
    settings = services.settings.model_copy(
        update={"unsubscribe_key": SecretStr(KEY), "public_url": "https://mail.acme.test"}
    )
    with TestClient(create_app(replace(services, settings=settings, events=SqlEvents(engine))), headers=ACME) as client:
        yield client


@pytest.fixture
def browser(sender: TestClient) -> TestClient:
    return TestClient(sender.app, headers=BROWSER)


def link(sender: TestClient, engine: Engine, archive: MemoryArchive, **changes: Any) -> str:
    [mail] = sent(engine, submitted(sender, batch(message(), **changes))["id"], archive)
    return f"/u/{sign(mail.id, key=KEY.encode())}"


def suppressed(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        return list(connection.execute(text("select scope from suppression order by scope")).scalars())


def test_the_page_names_the_sender_and_what_is_left(
    sender: TestClient, browser: TestClient, engine: Engine, archive: MemoryArchive
) -> None:
    """A button "Unsubscribe" of nobody from nothing is what phishing looks like."""
    page = browser.get(link(sender, engine, archive, stream="weekly-offers")).text

    assert "Unsubscribe from Acme?" in page
    assert "acme.test" in page
    assert "Only this kind of mail: weekly offers" in page
    assert re.findall(r'value="(\w+)"( checked)?', page) == [("stream", " checked"), ("not_transactional", "")]
    assert "ada@users.test" not in page


def test_the_page_speaks_the_readers_language(
    sender: TestClient, browser: TestClient, engine: Engine, archive: MemoryArchive
) -> None:
    """Before and after the button; a cache in between keeps the languages apart."""
    url = link(sender, engine, archive, stream="weekly")
    for accepted, language, words, after in (
        ("fr-FR,fr;q=0.9", "fr", "Se désabonner de Acme", "Vous êtes désabonné"),
        ("de-CH", "de", "Von Acme abmelden?", "Sie sind abgemeldet"),
        ("ja", "en", "Unsubscribe from Acme?", "You are unsubscribed"),
    ):
        headers = {"Accept-Language": accepted}

        page, done = browser.get(url, headers=headers), browser.post(url, headers=headers)

        assert f'<html lang="{language}">' in page.text
        assert words in page.text
        assert after in done.text
        assert (page.headers["vary"], page.headers["content-language"]) == ("Accept-Language", language)


def test_the_page_has_the_tenants_own_words_as_text(
    sender: TestClient, browser: TestClient, engine: Engine, archive: MemoryArchive
) -> None:
    """Its lines stay lines; what looks like HTML is text, also in the name."""
    policy = {
        "name": "Acme <b>Sh\u202eop</b>",
        "text": "We are sorry.\n\n<script>alert(1)</script>",
        "covers": "not_transactional",
    }
    assert sender.put("/v1/streams", json=policy).status_code == 200

    page = browser.get(link(sender, engine, archive, stream="weekly")).text

    assert "Acme &lt;b&gt;Shop&lt;/b&gt;" in page
    assert "We are sorry.\n\n&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert re.findall(r'value="(\w+)"( checked)?', page) == [("stream", ""), ("not_transactional", " checked")]


def test_words_and_choices_that_are_no_policy_are_refused(sender: TestClient) -> None:
    """Nothing of it is stored; the page is read by strangers."""
    wrong: list[dict[str, Any]] = [
        {"text": "x" * 1001}, {"text": "a\x00"}, {"text": "a\u2028b"}, {"name": "a\nb"}, {"name": "n" * 101},
        {"covers": "all"}, {"groups": {"x": "weekly"}}, {"groups": {"1": "No Stream"}}, {"surprise": 1},
        {"transactional": [f"s{at}" for at in range(51)]}, {"text": None}, {"transactional": "receipts"},
    ]  # fmt: skip
    answers = {str(policy)[:40]: sender.put("/v1/streams", json=policy).status_code for policy in wrong}

    assert set(answers.values()) == {422}, answers
    assert sender.get("/v1/streams").json() == {
        "tenant": "acme", "covers": "stream", "transactional": [], "name": "", "text": "", "groups": {}
    }  # fmt: skip


def test_the_button_does_what_was_chosen(
    sender: TestClient, browser: TestClient, engine: Engine, archive: MemoryArchive
) -> None:
    """Any other word of a form is as if nothing was chosen: the tenant's default."""
    url = link(sender, engine, archive, stream="weekly")

    done = browser.post(url, data={"scope": "everything; drop table"})
    assert suppressed(engine) == ["stream:weekly"]
    assert "no more mail of this kind from Acme: weekly" in done.text
    whole = browser.post(url, data={"scope": "not_transactional"})

    assert suppressed(engine) == ["not_transactional", "stream:weekly"]
    assert "no more mail from Acme, except what is necessary" in whole.text


def test_a_body_that_is_no_form_leaves_all_the_same(
    sender: TestClient, browser: TestClient, engine: Engine, archive: MemoryArchive
) -> None:
    """RFC 8058: the POST is the wish; mail programs differ in what they put into it."""
    parts = b'--x\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--x--\r\n'
    url = link(sender, engine, archive, stream="weekly")
    for body in (
        b"\xff" * 100,
        b"scope=" + b"x" * 60_000,
        b"&" * 900,
        b"scope=stream&scope=not_transactional",
        b"",
        parts,
    ):
        sender.delete("/v1/suppressions", params={"address": "ada@users.test"})

        assert browser.post(url, content=body).status_code == 200
        assert suppressed(engine) == ["stream:weekly"]


def test_looking_changes_nothing(
    sender: TestClient, browser: TestClient, engine: Engine, archive: MemoryArchive
) -> None:
    """Scanners open every link, with words of theirs behind it."""
    url = link(sender, engine, archive, stream="weekly")

    for query in ("", "?scope=not_transactional", "?List-Unsubscribe=One-Click"):
        assert browser.get(f"{url}{query}").status_code == 200

    assert suppressed(engine) == []


def test_mail_that_cannot_be_left_by_itself_offers_what_can_be_left(
    sender: TestClient, browser: TestClient, engine: Engine, archive: MemoryArchive
) -> None:
    """A link from a receipt: there is no choice, and the page says what will be left."""
    sender.put("/v1/streams", json={"transactional": ["receipts"]})
    url = link(sender, engine, archive, stream="receipts")

    page = browser.get(url).text
    browser.post(url, data={"scope": "stream"})

    assert 'type="radio"' not in page
    assert "except what is necessary" in page
    assert suppressed(engine) == ["not_transactional"]


def test_the_page_is_there_while_its_words_are_not(sender: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database is away, or the message was removed: the page is as it always was, and names nobody."""
    services = sender.app.state.services  # type: ignore[attr-defined]
    url = f"/u/{sign('0190a1b2-0000-7000-8000-00000000000a', key=KEY.encode())}"
    browser = TestClient(sender.app, headers=BROWSER)
    assert "this sender" in browser.get(url).text

    def away(_message_id: str) -> None:
        raise TransientError("away")

    monkeypatch.setattr(services.sending.unsubscribing, "offer", away)

    assert "this sender" in browser.get(url).text


def test_the_link_in_the_body_is_that_of_the_header_and_works(
    sender: TestClient, browser: TestClient, engine: Engine, archive: MemoryArchive
) -> None:
    """A reader without a button of the mail program clicks in the text; in a template and in a plain message."""
    plain = batch(message(text="Leave: {{ unsubscribe_url }}", unsubscribe=True))
    words = {"subject": "s", "html": "<a href='{{ unsubscribe_url }}'>Leave</a>", "unsubscribe": True}
    filled = {"template": words, "recipients": [{"to": "bob@users.test"}], "from": "a@acme.test"}

    def leave_url(message_id: str) -> str:
        return unsubscribe_url("https://mail.acme.test", message_id, key=KEY.encode())

    mails = [
        mail
        for requested in (plain, filled)
        for mail in sent(engine, submitted(sender, requested)["id"], archive, leave_url=leave_url)
    ]

    assert mails[0].text == f"Leave: {mails[0].unsubscribe}"
    assert mails[1].html == f"<a href='{mails[1].unsubscribe}'>Leave</a>"
    for mail in mails:
        assert browser.get(mail.unsubscribe.removeprefix("https://mail.acme.test")).status_code == 200


def test_a_mail_that_names_the_link_and_offers_none_is_refused_with_the_way_out(sender: TestClient) -> None:
    """A reader would see braces; the fault stands at the text, or at the recipient of a template."""
    words = {"subject": "s", "text": "{{ unsubscribe_url }}"}
    filled = {"template": words, "recipients": [{"to": "bob@users.test"}], "from": "a@acme.test"}

    faults = [*refused(sender, batch(message(html="{{unsubscribe_url}}"))), *refused(sender, filled)]

    assert [where for where, _ in faults] == [["messages", "0", "html"], ["recipients", "0"]]
    assert all("set it to true" in what for _, what in faults)
