"""The JSON routes, on services in memory."""

import hashlib
import logging
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from fastapi import FastAPI

from mailroom.api.app import create_app
from mailroom.domain.inbound.filing_policy import Finding, Scan
from mailroom.domain.inbound.received_email import Attachment, Item, State
from mailroom.domain.inbound.verdicts import Verdicts
from mailroom.ports.api_keys import Holder
from mailroom.ports.inbox_reader import EmailLine, InboxLine
from mailroom.testing.api import NOW, Memory, TestClient

ADMIN, ACME, OTHER = "key-of-admin", "key-of-acme", "key-of-other"
CONTENT = b"%PDF-1.7 one page"
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def memory() -> Memory:
    """Two tenants, each with an inbox; acme has a mail with one attachment."""
    memory = Memory()
    memory.keys.holders = {ADMIN: Holder("root"), ACME: Holder("acme app", "acme"), OTHER: Holder("other app", "other")}
    memory.reader.addresses = [
        InboxLine("ann@acme.test", "acme", "ann", 0, None),
        InboxLine("bob@other.test", "other", "bob", 0, None),
    ]
    memory.archive.deposit("acme", CONTENT)
    memory.file(an_item(), verdicts=Verdicts())
    return memory


@pytest.fixture
def client(memory: Memory) -> TestClient:
    """A client of the service, without a key."""
    return TestClient(create_app(memory.services()), base_url="http://mail.example")


def test_withdrawn_item_is_gone_with_its_reason(client: TestClient, memory: Memory) -> None:
    """It was filed before its virus was known: its text and attachments are no longer served, and it is not listed."""
    filed = memory.file(an_item(), withdrawn="virus")
    key = {"Authorization": f"Bearer {ACME}"}

    item = client.get(f"/v1/items/{filed.id}", headers=key)
    attachment = client.get(f"/v1/items/{filed.id}/attachments/1", headers=key)
    listed = client.get("/v1/inboxes/ann@acme.test/items", headers=key).json()["items"]

    assert (item.status_code, item.json()["detail"]) == (410, "This item was withdrawn: virus.")
    assert attachment.status_code == 404
    assert filed.id not in [line["id"] for line in listed]


def test_scan_is_returned_with_the_item(client: TestClient, memory: Memory) -> None:
    """A mail that could not be scanned is never called clean."""
    filed = memory.file(an_item(), scan=Scan(Finding.UNSCANNED, "ClamAV", "down"))

    output = client.get(f"/v1/items/{filed.id}", headers={"Authorization": f"Bearer {ACME}"}).json()

    assert output["scan"] == {"finding": "unscanned", "engine": "ClamAV", "why": "down", "signatures_of": None}


def an_item(**changes: object) -> Item:
    """Return an item of acme's Ann with one PDF."""
    part = Attachment(
        1, "invoice.pdf", "application/pdf", "application/pdf", len(CONTENT), DIGEST, False, None, f"acme/{DIGEST}"
    )
    item = Item(
        tenant="acme",
        recipient="ann@acme.test",
        user="ann",
        message_id="<1@x>",
        subject="Invoice",
        from_="Carl <carl@x.test>",
        to=("ann@acme.test",),
        cc=(),
        date=NOW,
        text="Hello",
        html='<p onclick="x()">Hi<script>alert(1)</script></p>',
        raw_archive_id="acme/" + "0" * 64,
        attachments=(part,),
    )
    return replace(item, **changes)  # type: ignore[arg-type]


def an_email(state: State, **changes: object) -> EmailLine:
    """Return a row of the ledger."""
    line = EmailLine(
        str(uuid4()), "msg-1", state, None, 1, None, NOW, None, sender="carl@x.test", recipients=("a@b.test",)
    )
    return replace(line, **changes)  # type: ignore[arg-type]


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_every_v1_route_needs_a_key(client: TestClient, memory: Memory) -> None:
    """A route that was forgotten would be open to all; the OpenAPI document lists them all."""
    app = client.app
    assert isinstance(app, FastAPI)
    item = memory.reader.filed[0].id
    values = {"{address}": "ann@acme.test", "{item_id}": item, "{number}": "1", "{email_id}": item}
    for path, methods in app.openapi()["paths"].items():
        if not path.startswith("/v1/"):
            continue
        for name, value in values.items():
            path = path.replace(name, value)
        for method in methods:
            for headers in ({}, bearer("wrong"), {"Authorization": "Bearer"}, {"Authorization": f"Basic {ACME}"}):
                answer = client.request(method, path, headers=headers)

                assert answer.status_code == 401, (method, path)
                assert answer.headers["www-authenticate"].startswith("Bearer")
                assert answer.headers["content-type"] == "application/problem+json"


def test_an_item_is_returned_with_text_safe_html_and_receipts(client: TestClient, memory: Memory) -> None:
    """The contract of GET /v1/items/{id}; field names are stable."""
    answer = client.get(f"/v1/items/{memory.reader.filed[0].id}", headers=bearer(ACME)).json()

    assert answer["from"] == "Carl <carl@x.test>"
    assert answer["html"] == "<p>Hi</p>"
    assert answer["archive"]["lock_mode"] == "GOVERNANCE"
    assert answer["archive"]["verified_at"] is not None
    assert answer["archive"]["damage"] is None
    [part] = answer["attachments"]
    assert (part["filename"], part["sha256"], part["archive"]["archive_id"]) == (
        "invoice.pdf",
        DIGEST,
        f"acme/{DIGEST}",
    )
    assert client.get(part["url"], headers=bearer(ACME)).content == CONTENT


def test_another_tenants_resources_are_not_found(client: TestClient, memory: Memory) -> None:
    """A guessed or leaked id must reveal nothing, not even that it exists."""
    item = memory.reader.filed[0]
    line = an_email(State.QUARANTINED)
    memory.reader.ledger.append((line, frozenset({"acme"})))
    paths = (
        f"/v1/items/{item.id}",
        f"/v1/items/{item.id}/attachments/1",
        "/v1/inboxes/ann@acme.test/items",
        "/v1/inboxes/bob@other.test/items?tenant=acme",
    )
    for path in paths:
        assert client.get(path, headers=bearer(OTHER)).status_code == 404, path
    assert client.post(f"/v1/inbound/{line.id}/replay", headers=bearer(OTHER)).status_code == 404
    assert client.get("/v1/inbound", headers=bearer(OTHER)).json()["items"] == []
    assert memory.runs.asked == []


def test_a_tenant_does_not_see_who_else_got_a_mail(client: TestClient, memory: Memory) -> None:
    """One e-mail may go to several tenants; the envelope names all of them."""
    memory.reader.ledger.append((an_email(State.FILED), frozenset({"acme", "other"})))

    [seen] = client.get("/v1/inbound", headers=bearer(ACME)).json()["items"]
    [all_seen] = client.get("/v1/inbound", headers=bearer(ADMIN)).json()["items"]

    assert (seen["sender"], seen["recipients"]) == (None, [])
    assert all_seen["recipients"] == ["a@b.test"]


def test_an_inbox_is_searched(client: TestClient, memory: Memory) -> None:
    """By subject, sender, names of files and text; in the tenant of the key only."""
    memory.file(an_item(subject="Lunch", attachments=()))
    path = "/v1/inboxes/ann@acme.test/items"

    def found(question: str, key: str = ACME) -> list[str]:
        answer = client.get(path, params={"q": question}, headers=bearer(key))
        return [line["subject"] for line in answer.json().get("items", [])]

    assert found("lunch") == ["Lunch"]
    assert found("invoice pdf") == ["Invoice"]
    assert sorted(found("carl")) == sorted(found("")) == ["Invoice", "Lunch"]
    assert found("lunch", OTHER) == []
    assert client.get(path, params={"q": "\0"}, headers=bearer(ACME)).status_code == 422


def test_pages_of_an_inbox_follow_each_other_without_gap_or_repeat(client: TestClient, memory: Memory) -> None:
    """Mail that arrives between two pages must not shift the second."""
    memory.reader.filed.clear()
    for minutes in range(5):
        memory.file(an_item(subject=str(minutes)), received_at=NOW - timedelta(minutes=minutes))
    path = "/v1/inboxes/ANN@acme.test/items"

    first = client.get(path, params={"limit": 2}, headers=bearer(ACME)).json()
    memory.file(an_item(subject="new"), received_at=NOW + timedelta(minutes=1))
    second = client.get(path, params={"limit": 2, "cursor": first["next"]}, headers=bearer(ACME)).json()
    third = client.get(path, params={"limit": 2, "cursor": second["next"]}, headers=bearer(ACME)).json()

    assert [line["subject"] for page in (first, second, third) for line in page["items"]] == ["0", "1", "2", "3", "4"]
    assert third["next"] is None


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "limit=1000000000", "cursor=%00", "cursor=Zm9v", "cursor=é"])
def test_unusable_paging_is_a_problem(client: TestClient, query: str) -> None:
    """Neither a huge page nor a made-up cursor may reach the database."""
    answer = client.get(f"/v1/inboxes/ann@acme.test/items?{query}", headers=bearer(ACME))

    assert answer.status_code == 422
    assert answer.json()["title"]


@pytest.mark.parametrize(
    "address", ["nobody@acme.test", "no-address", "a@b@c", "%27 or 1=1--@x", "%25@acme.test", "a%00@acme.test"]
)
def test_an_address_that_is_nobodys_is_not_found(client: TestClient, address: str) -> None:
    """An address comes from a URL and may be anything."""
    assert client.get(f"/v1/inboxes/{address}/items", headers=bearer(ADMIN)).status_code == 404


def test_an_attachment_is_always_a_file_to_save(client: TestClient, memory: Memory) -> None:
    """HTML that claims to be a picture must not be opened by a browser on our origin."""
    path = f"/v1/items/{memory.reader.filed[0].id}/attachments/1"

    answer = client.get(path, headers=bearer(ACME))
    again = client.get(path, headers={**bearer(ACME), "If-None-Match": answer.headers["etag"]})

    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith("attachment;")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["etag"] == f'"{DIGEST}"'
    assert (again.status_code, again.content) == (304, b"")


def test_bytes_that_left_the_store_are_gone_and_not_an_error(client: TestClient, memory: Memory) -> None:
    """The sandbox's store forgets at a restart; the receipt stays, and the answer says what happened."""
    memory.archive.contents.clear()

    answer = client.get(f"/v1/items/{memory.reader.filed[0].id}/attachments/1", headers=bearer(ACME))

    assert answer.status_code == 410
    assert "archive no longer has the bytes" in answer.json()["detail"]


@pytest.mark.parametrize("number", ["0", "2", "-1", "99999999999999999999", "one"])
def test_an_attachment_number_that_is_none(client: TestClient, memory: Memory, number: str) -> None:
    """A number from a URL may be out of every range."""
    answer = client.get(f"/v1/items/{memory.reader.filed[0].id}/attachments/{number}", headers=bearer(ACME))

    assert answer.status_code in (404, 422)


def test_the_ledger_is_filtered_by_state_reason_and_time(client: TestClient, memory: Memory) -> None:
    """`mailroom replay` must select what a person saw here."""
    old, new = NOW - timedelta(days=2), NOW
    for state, reason, at in (
        (State.FILED, None, new),
        (State.QUARANTINED, "no_route", new),
        (State.QUARANTINED, "virus", new),
        (State.QUARANTINED, "no_route", old),
        (State.FAILED, None, new),
    ):
        memory.reader.ledger.append((an_email(state, reason=reason, received_at=at), frozenset()))

    def count(query: str) -> int:
        return len(client.get(f"/v1/inbound?{query}", headers=bearer(ADMIN)).json()["items"])

    assert count("") == 5
    assert count("state=quarantined") == 3
    assert count("state=quarantined&state=failed") == 4
    assert count("reason=no_route&since=2026-03-13T00:00:00Z") == 1
    assert count("since=2026-03-13") == 4
    for query in ("state=nonsense", "reason=%00", "since=yesterday", "limit=1000000000"):
        assert client.get(f"/v1/inbound?{query}", headers=bearer(ADMIN)).status_code == 422, query


def test_a_replay_runs_the_same_run_again(client: TestClient, memory: Memory) -> None:
    """Prefect's retry keeps one history for one e-mail; a run that Prefect no longer has is started again."""
    known, forgotten = str(uuid4()), str(uuid4())
    memory.runs.known.add(known)
    lines = [an_email(State.QUARANTINED, run_id=run) for run in (known, forgotten, None)]
    memory.reader.ledger = [(line, frozenset()) for line in lines]

    answers = [client.post(f"/v1/inbound/{line.id}/replay", headers=bearer(ADMIN)) for line in lines]

    assert [answer.status_code for answer in answers] == [202, 202, 202]
    assert memory.runs.asked == [("retry", known), ("start", "in/msg-1"), ("start", "in/msg-1")]
    assert answers[0].json()["run"]["id"] == known


def test_an_email_in_progress_is_not_replayed(client: TestClient, memory: Memory) -> None:
    """One e-mail never has two runs at the same time."""
    line = an_email(State.PROCESSING)
    memory.reader.ledger.append((line, frozenset()))

    assert client.post(f"/v1/inbound/{line.id}/replay", headers=bearer(ADMIN)).status_code == 409


def test_all_errors_are_problem_details(client: TestClient, memory: Memory) -> None:
    """A program reads one form for all errors, and it quotes nothing of the request."""
    memory.archive.contents[f"acme/{DIGEST}"] = b"altered"
    broken = f"/v1/items/{memory.reader.filed[0].id}/attachments/1"
    wanted = {
        ("GET", "/nowhere"): 404,
        ("GET", "/v1/nowhere"): 404,
        ("DELETE", "/v1/inbound"): 405,
        ("GET", "/v1/inbound?state=secret@x.test"): 422,
        ("GET", broken): 502,
    }
    for (method, path), status in wanted.items():
        answer = client.request(method, path, headers=bearer(ACME))

        assert (answer.status_code, answer.json()["status"]) == (status, status)
        assert answer.headers["content-type"] == "application/problem+json"
        assert "secret@x.test" not in answer.text
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")


def test_an_unforeseen_error_says_nothing_but_its_number(
    client: TestClient, memory: Memory, caplog: pytest.LogCaptureFixture
) -> None:
    """The message of an exception may quote a mail; logs and responses contain none of it."""
    memory.reader.fault = RuntimeError("ann@acme.test wrote: secret")

    with caplog.at_level(logging.DEBUG):
        answer = client.get("/v1/items/1", headers=bearer(ACME))

    assert answer.status_code == 500
    number = answer.json()["detail"].split()[-1].rstrip(".")
    assert f"request {number} failed with RuntimeError" in caplog.text
    assert "ann@acme.test" not in caplog.text + answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_an_unreachable_database_is_answered_with_503_and_retry_after(client: TestClient, memory: Memory) -> None:
    """503 with Retry-After: the client repeats the request, and nothing is lost."""
    memory.reader.down = True

    answer = client.get("/v1/items/1", headers=bearer(ACME))

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")


def test_ready_names_what_is_unreachable(client: TestClient, memory: Memory) -> None:
    """An operator must see at once which of the two it is; the process itself stays healthy."""
    assert client.get("/readyz").json()["checks"] == {"database": "ok", "prefect": "ok"}

    memory.runs.down = True
    assert client.get("/readyz").json()["checks"] == {"database": "ok", "prefect": "unreachable"}
    # Batches are accepted and inboxes are read without Prefect: no load balancer may stop routing to it for that.
    assert client.get("/readyz").status_code == 200

    memory.reader.down = True
    answer = client.get("/readyz")

    assert (answer.status_code, answer.json()["checks"]) == (503, {"database": "unreachable", "prefect": "unreachable"})
    assert client.get("/healthz").status_code == 200


def test_metrics_count_states_and_the_oldest_that_waits(client: TestClient, memory: Memory) -> None:
    """An alarm on the oldest waiting e-mail finds a stuck worker; a finished e-mail does not wait."""
    old = NOW - timedelta(hours=5)
    memory.reader.ledger = [
        (an_email(State.FILED, received_at=old), frozenset()),
        (an_email(State.RECEIVED, received_at=NOW - timedelta(seconds=90)), frozenset()),
        (an_email(State.QUARANTINED, reason='a"b\\c\nd', received_at=old), frozenset()),
    ]

    answer = client.get("/metrics")

    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = answer.text.splitlines()
    assert 'mailroom_inbound_emails{state="filed",reason="",route=""} 1' in lines
    assert 'mailroom_inbound_emails{state="quarantined",reason="a\\"b\\\\c\\nd",route=""} 1' in lines
    assert "mailroom_inbox_items 1" in lines
    assert "mailroom_inbound_oldest_waiting_seconds 90" in lines
    assert "mailroom_inbound_received_total 3" in lines


def test_the_docs_page_needs_nothing_from_elsewhere(client: TestClient) -> None:
    """The stock page loads scripts from a CDN, which our policy forbids and a closed network cannot reach."""
    page = client.get("/docs")

    assert page.status_code == 200
    assert "/v1/items/{item_id}" in page.text
    assert "<script" not in page.text
    assert "//" not in page.text.replace("http://www.w3.org", "")
