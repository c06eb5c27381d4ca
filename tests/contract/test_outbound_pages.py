"""The pages of outbound mail on a real database: what they show, to which tenant, and hostile fields as plain text."""

import json
import re
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text

from mailroom.adapters.postgres.outbound.dispatching import SqlDispatch
from mailroom.domain.errors import Refused
from mailroom.ports.dispatch import Outcome
from mailroom.ports.provider import ProviderReceipt
from mailroom.testing.api import NOW, TestClient
from mailroom.testing.archive import MemoryArchive
from tests.support.batch_requests import ADMIN, UMBRELLA, batch, message, sent, submitted

IMG = '"><img src=x onerror=alert(1)>'
SCRIPT = "<script>alert(1)</script>"
PATHS = ("/batches", "/suppressions", "/senders", "/recipients", "/recipients?address=ada@users.test")


@pytest.fixture
def pages(api: TestClient) -> TestClient:
    """A browser that signed in with a tenant's key."""
    api.headers["Accept"] = "text/html,application/xhtml+xml"
    return api


def only_message(engine: Engine) -> str:
    with engine.connect() as connection:
        return str(connection.execute(text("select id from message")).scalar_one())


def note(engine: Engine, message_id: str, kind: str, **facts: Any) -> None:
    """Write an activity as the provider's event would."""
    with engine.begin() as connection:
        connection.execute(
            text("insert into activity (message_id, at, kind, actor, facts) values (:id, :at, :kind, :kind, :facts)"),
            {"id": message_id, "at": NOW, "kind": kind, "facts": json.dumps(facts)},
        )


def park(engine: Engine, number: int, **changes: Any) -> None:
    row = {"provider": "ses", "event_id": f"e-{number}", "provider_message_id": "0100-x", "kind": "delivered"} | changes
    with engine.begin() as connection:
        connection.execute(
            text("""insert into parked_event (provider, event_id, provider_message_id, event, parked_at, next_at, tries)
                values (:provider, :event_id, :provider_message_id, :event, :now, :now, 1)"""),
            {**row, "event": json.dumps({"kind": row.pop("kind")}), "now": NOW},
        )


def test_hostile_fields_are_only_text_on_every_page(pages: TestClient, engine: Engine) -> None:
    """Names, subjects, file names and metadata come from the caller's customers, facts and ids from a provider."""
    file = {"filename": f"{IMG}.pdf", "content_type": "application/pdf", "content": "aGk="}
    hostile = message(
        to="Ada <ada@users.test>",
        subject=SCRIPT + IMG,
        text=f"</pre>{SCRIPT}",
        attachments=[file],
        metadata={"note": SCRIPT},
        reference="r1",
    )
    output = submitted(pages, batch(hostile, metadata={"campaign": SCRIPT + IMG}))
    message_id = only_message(engine)
    note(engine, message_id, IMG, **{IMG: SCRIPT})
    with engine.begin() as connection:
        values = {"bad": IMG, "party": json.dumps({"address": IMG, "name": SCRIPT})}
        connection.execute(
            text('update message set reason = :bad, provider = :bad, provider_message_id = :bad, "to" = :party'), values
        )
        connection.execute(text('update batch set "from" = :party'), values)
    pages.post("/v1/suppressions", json={"addresses": ["ada@users.test"]})
    park(engine, 1, provider=IMG, event_id=SCRIPT, provider_message_id=IMG, kind=SCRIPT)

    for path in (*PATHS, output["url"][3:], f"/messages/{message_id}", "/parked"):
        page = pages.get(path, headers=ADMIN if path == "/parked" else {})

        assert page.status_code == 200, path
        assert "<script" not in page.text.replace('<script src="/static/frame.js"', ""), path
        assert "<img src=x" not in page.text, path
    assert "&lt;img src=x onerror=alert(1)&gt;.pdf" in pages.get(f"/messages/{message_id}").text


def test_a_search_is_only_text_on_the_page_that_answers_it(pages: TestClient) -> None:
    """A URL may come from anybody: a link with a script in it is sent round by mail."""
    odd = '"<script>alert(1)</script>"@users.test'

    for path in ("/recipients", "/suppressions"):
        page = pages.get(path, params={"address": odd})

        assert page.status_code == 200
        assert "<script" not in page.text.replace('<script src="/static/frame.js"', "")
        assert pages.get(path, params={"address": f"x{IMG}"}).status_code == 422
        assert "<img src=x" not in pages.get(path, params={"address": f"x{IMG}"}).text


def test_a_batch_shows_how_far_it_is(pages: TestClient, engine: Engine) -> None:
    """How many were sent, how many not and why."""
    output = submitted(pages, batch(*(message(to=f"u{at}@users.test") for at in range(4))))
    dispatch = SqlDispatch(engine)
    first, second = dispatch.claim(output["id"], most=2, provider="ses", now=NOW)
    results = [
        Outcome(first.draft.id, 1, ProviderReceipt("ses", "0100")),
        Outcome(second.draft.id, 1, Refused("no", code=550)),
    ]
    dispatch.settle(results, now=NOW)

    page = pages.get(f"/batches/{output['id']}").text

    assert "<strong>2</strong> of 4 done" in page
    assert re.findall(r"</span>(\d [a-z]+)</a>", page) == ["2 accepted", "1 dispatched", "1 rejected"]
    assert re.findall(r'<rect class="(\w+)" x="([\d.]+)" y="0" width="([\d.]+)"', page) == [
        ("gone", "0.0", "25.0"),
        ("bad", "25.0", "25.0"),
        ("waiting", "50.0", "50.0"),
    ]
    assert second.draft.to.address in pages.get(f"/batches/{output['id']}", params={"status": "rejected"}).text
    assert first.draft.to.address not in pages.get(f"/batches/{output['id']}", params={"status": "rejected"}).text
    assert "1 dispatched" in pages.get("/batches").text


def test_a_page_loads_itself_again_while_something_moves(
    pages: TestClient, engine: Engine, archive: MemoryArchive
) -> None:
    """Progress without a script; often while mail is sent, seldom while it waits, never when all is done."""
    output = submitted(pages, batch())
    path = f"/batches/{output['id']}"

    def refresh() -> list[str]:
        return re.findall(r'<meta http-equiv="refresh" content="(\d+)">', pages.get(path).text)

    assert refresh() == ["2"]
    assert "http-equiv" not in pages.get(path, params={"still": "true"}).text
    sent(engine, output["id"], archive)
    assert refresh() == ["30"]
    with engine.begin() as connection:
        connection.execute(text("update message set status = 'delivered'"))
    assert refresh() == []


def test_a_batch_of_tomorrow_says_when_it_goes(pages: TestClient) -> None:
    """Nothing changes for a day, and that must not look like a fault."""
    output = submitted(pages, batch(send_at=(NOW + timedelta(days=1)).isoformat()))

    page = pages.get(f"/batches/{output['id']}").text

    assert "next due" in page
    assert "15 Mar 2026, 09:30 UTC" in page
    assert '<meta http-equiv="refresh" content="30">' in page


def test_a_message_shows_all_that_happened_to_it(pages: TestClient, engine: Engine, archive: MemoryArchive) -> None:
    """Each step of a message with its time, the provider's id, and for an administrator the run that sent it."""
    output = submitted(pages, batch(message(metadata={"invoice": "7"})))
    sent(engine, output["id"], archive)
    message_id, run = only_message(engine), str(uuid4())
    note(engine, message_id, "opened", user_agent_kind="proxy")
    note(engine, message_id, "sending", run_id=run)

    page = pages.get(f"/messages/{message_id}").text
    whole = pages.get(f"/messages/{message_id}", headers=ADMIN).text

    assert re.findall(r'class="step">(\w+)<', page) == ["accepted", "sending", "dispatched", "opened", "sending"]
    assert f"/runs/flow-run/{run}" in whole
    assert run not in page
    assert f"<bdi>{message_id}</bdi>" in page
    assert "invoice" in page
    assert "It is attached." in page


def test_a_recipients_page_has_everything_that_was_sent_to_them(pages: TestClient) -> None:
    """Support looks up a recipient who says that no mail came; later suppressions are part of the answer."""
    submitted(pages, batch(message(subject="First"), message(to="bob@users.test", subject="Not hers")))
    submitted(pages, batch(message(subject="Second")))
    pages.post("/v1/suppressions", json={"addresses": ["ada@users.test"], "reason": "complained"})

    page = pages.get("/recipients", params={"address": " Ada@USERS.test "}).text

    assert re.findall(r"<bdi>(First|Second|Not hers)</bdi>", page) in (["Second", "First"], ["First", "Second"])
    assert "suppressed</span> complained" in page
    assert "No messages to this address" in pages.get("/recipients", params={"address": "eve@users.test"}).text


def test_suppressions_are_walked_and_searched(pages: TestClient) -> None:
    """Every one is reached by following one link; an address leads to what was sent to it."""
    addresses = [f"u{at:03}@users.test" for at in range(120)]
    pages.post("/v1/suppressions", json={"addresses": addresses})

    assert walk(pages, "/suppressions", r"(u\d+@users\.test)</bdi>") == addresses
    found = pages.get("/suppressions", params={"address": "u007@users.test"}).text
    assert re.findall(r"(u\d+@users\.test)</bdi>", found) == ["u007@users.test"]
    assert 'href="/recipients?address=u007%40users.test"' in found


def test_long_lists_go_on_at_older(pages: TestClient, engine: Engine) -> None:
    """Every batch, message and parked event is reached by following one link, each once."""
    for _ in range(45):
        output = submitted(pages, batch())
    big = submitted(pages, batch(*(message(to=f"u{at}@users.test") for at in range(120))))
    for at in range(70):
        park(engine, at)
    parked = walk(pages, "/parked", r"<bdi>e-(\d+)</bdi>", headers=ADMIN)

    assert len(set(walk(pages, "/batches", r'href="/batches/([0-9a-f-]{36})"'))) == 46
    assert len(walk(pages, f"/batches/{big['id']}?status=accepted", r'href="/messages/([0-9a-f-]{36})"')) == 120
    assert len(walk(pages, "/recipients?address=ada@users.test", r'href="/messages/([0-9a-f-]{36})"')) == 45
    assert parked == [str(at) for at in reversed(range(70))]
    assert output["id"] != big["id"]


def test_nothing_of_another_tenant_is_shown(pages: TestClient, engine: Engine) -> None:
    """The pages restrict every query to the tenant of the key, as the JSON routes do."""
    output = submitted(pages, batch(metadata={"campaign": "secret-campaign"}))
    pages.post("/v1/suppressions", json={"addresses": ["ada@users.test"]})
    message_id = only_message(engine)
    park(engine, 1)

    for path in (
        f"/batches/{output['id']}",
        f"/messages/{message_id}",
        "/parked",
        "/recipients?address=ada@users.test&tenant=acme",
    ):
        assert pages.get(path, headers=UMBRELLA).status_code == 404, path
    for path in PATHS:
        page = pages.get(path, headers=UMBRELLA).text
        assert output["id"] not in page
        assert message_id not in page
    assert "ada@users.test" not in pages.get("/suppressions", headers=UMBRELLA).text
    assert pages.get(f"/batches/{output['id']}", headers=ADMIN).status_code == 200


def test_the_pages_need_a_key(pages: TestClient) -> None:
    """Where they are not open, a browser must sign in before anything is looked up."""
    output = submitted(pages, batch())

    for path in (*PATHS, "/parked", f"/batches/{output['id']}", f"/messages/{uuid4()}", "/batches/no-id"):
        assert pages.get(path, headers={"Authorization": "Basic !!!"}).status_code == 401


def test_what_is_not_there_has_a_page_that_says_so(pages: TestClient) -> None:
    """A link of last year, a truncated cursor, an unknown status."""
    output = submitted(pages, batch())
    statuses = {
        path: pages.get(path).status_code
        for path in (
            "/batches/no-id",
            f"/messages/{uuid4()}",
            "/batches?cursor=x",
            "/suppressions?cursor=AAAA",
            f"/batches/{output['id']}?status=lost",
            f"/batches/{output['id']}?status=bounced",
        )
    }

    assert list(statuses.values()) == [404, 404, 422, 422, 422, 200]


def test_empty_pages_say_what_to_do_next(pages: TestClient) -> None:
    """An empty page is the first thing a new user sees."""
    assert "mailroom send people.csv" in pages.get("/batches").text
    assert "No suppressed addresses" in pages.get("/suppressions").text
    assert "Enter an address to see the messages" in pages.get("/recipients").text
    assert "No parked events" in pages.get("/parked", headers=ADMIN).text


def test_an_installation_that_only_receives_has_no_such_pages(pages: TestClient) -> None:
    """Its addresses lead to a page that says so."""
    state = pages.app.state  # type: ignore[attr-defined]
    state.services = replace(state.services, sending=None)

    assert "Sending is not enabled" in pages.get("/batches").text


def walk(pages: TestClient, path: str, pattern: str, **options: Any) -> list[str]:
    """Return what is found on a page and on those that its link to the next leads to."""
    found: list[str] = []
    while path:
        page = pages.get(path, **options).text
        found += re.findall(pattern, page)
        older = re.search(r'href="([^"]*(?:cursor|before)=[^"]+)" rel="next"', page)
        path = older[1].replace("&amp;", "&") if older else ""
    return found
