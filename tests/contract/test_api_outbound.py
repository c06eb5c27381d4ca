"""Submitting over HTTP on a real database: what is answered 202 is stored, and each fault names its place."""

import asyncio
import base64
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from mailroom.adapters.postgres.outbound.terms import SqlTerms
from mailroom.domain.outbound.message import LIMITS
from mailroom.domain.outbound.quotas import ProviderRate
from mailroom.testing.api import NOW, TestClient
from mailroom.testing.archive import MemoryArchive
from mailroom.testing.uploads import MemoryUploads
from tests.support.batch_requests import (
    ACME,
    batch,
    kept,
    message,
    provider_terms,
    refused,
    sent,
    submitted,
    template,
)


def test_several_addresses_get_a_mail_each(api: TestClient, engine: Engine) -> None:
    """No recipient sees the others, and each has its own status."""
    submitted(api, batch(message(to=["ada@users.test", "Bob <bob@users.test>"])))

    assert kept(engine) == 2


def test_the_same_key_and_body_is_one_batch_and_another_body_a_conflict(api: TestClient, engine: Engine) -> None:
    """Case 68: a client that lost the response repeats the request; a key used for two batches would lose one."""
    first = api.post("/v1/batches", json=batch(), headers={"Idempotency-Key": "invoices-7"})
    again = api.post("/v1/batches", json=batch(), headers={"Idempotency-Key": "invoices-7"})
    other = api.post("/v1/batches", json=batch(message(subject="Other")), headers={"Idempotency-Key": "invoices-7"})

    assert (again.status_code, again.json(), again.headers["idempotent-replayed"]) == (202, first.json(), "true")
    assert other.status_code == 409
    assert kept(engine) == 1


def test_the_same_request_twice_at_once_is_one_batch(api: TestClient, engine: Engine) -> None:
    """Case 68: a client that does not wait for the first response; another body in between is a conflict."""
    asked = [batch(message(subject=f"Number {at % 2}")) for at in range(8)]

    def submit(one: dict[str, Any]) -> tuple[int, str | None]:
        answer = api.post("/v1/batches", json=one, headers={"Idempotency-Key": "at-once"})
        return answer.status_code, answer.json().get("id")

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(submit, asked))

    assert {status for status, _ in answers} == {202, 409}
    assert len({batch_id for status, batch_id in answers if status == 202}) == 1
    assert kept(engine) == 1


def test_a_repeated_request_is_answered_when_its_time_has_passed(
    engine: Engine, archive: MemoryArchive, api: TestClient
) -> None:
    """What was valid when it came must not be refused when the lost response is requested again."""
    asked = batch(expires_at=(NOW + timedelta(hours=1)).isoformat())
    first = submitted(api, asked, **{"Idempotency-Key": "soon"})
    services = api.app.state.services  # type: ignore[attr-defined]
    api.app.state.services = replace(services, now=lambda: NOW + timedelta(hours=2))  # type: ignore[attr-defined]

    assert submitted(api, asked, **{"Idempotency-Key": "soon"}) == first


@pytest.mark.parametrize("key", ["", "x" * 257, "two words"])
def test_an_invalid_idempotency_key_is_refused(api: TestClient, key: str) -> None:
    """A key that is truncated or changed on the way would protect from nothing."""
    assert api.post("/v1/batches", json=batch(), headers={"Idempotency-Key": key}).status_code == 422


@pytest.mark.parametrize("break_", ["\r\nBcc: eve@evil.test", "\n", "\r", "\x00", "\u2028", "\u2029", "\x85", "\x0b"])
@pytest.mark.parametrize(
    ("place", "change"),
    [
        (["messages", "0", "to"], lambda bad: {"to": f"ada{bad}@users.test"}),
        (["messages", "0", "to"], lambda bad: {"to": f"Ada{bad} <ada@users.test>"}),
        (["messages", "0", "subject"], lambda bad: {"subject": f"Hello{bad}"}),
        (["messages", "0", "reply_to"], lambda bad: {"reply_to": f"Desk{bad} <desk@acme.test>"}),
        (["messages", "0", "headers", "0"], lambda bad: {"headers": {"X-Campaign": f"a{bad}"}}),
        (["messages", "0", "headers", "0"], lambda bad: {"headers": {f"X-Campaign{bad}": "a"}}),
        (["messages", "0", "unsubscribe"], lambda bad: {"unsubscribe": f"https://acme.test/{bad}"}),
        (["messages", "0", "attachments", "0"], lambda bad: {"attachments": [{"filename": f"a{bad}", "content": ""}]}),
    ],
    ids=["address", "name", "subject", "reply-to", "header", "header-name", "unsubscribe", "file-name"],
)
def test_a_line_break_gets_into_no_header(
    api: TestClient, engine: Engine, place: list[str], change: Callable[[str], dict[str, Any]], break_: str
) -> None:
    """Case 62: a line break in a header lets an attacker write the rest of the mail, its recipients included."""
    faults = refused(api, batch(message(**change(break_))))

    assert [where for where, _ in faults] == [place]
    assert kept(engine) == 0


def test_a_line_break_in_a_templates_value_is_refused_before_anything_is_kept(api: TestClient, engine: Engine) -> None:
    """Case 62: the value of one recipient among many, known only when the template is filled."""
    faults = refused(
        api,
        template(
            {"to": "ada@users.test", "data": {"name": "Ada"}},
            {"to": "eve@users.test", "data": {"name": "Eve\r\nBcc: x@evil.test"}},
        ),
    )

    assert faults == [(["recipients", "1"], "a value inserts a line break or control character into a header")]
    assert kept(engine) == 0


@pytest.mark.parametrize(
    "name",
    ["X Y", "X:Y", "Größe", "Bcc", "bcc", "DKIM-Signature", "Return-Path", "Content-Type", "Sender", "X-SES-TENANT"],
)
def test_a_header_that_is_not_a_callers_is_refused(api: TestClient, name: str) -> None:
    """Case 64: such headers add recipients, impersonate the provider, or change the structure of the mail."""
    assert [where for where, _ in refused(api, batch(message(headers={name: "a"})))] == [
        ["messages", "0", "headers", "0"]
    ]


def test_the_same_header_in_two_spellings_is_refused(api: TestClient) -> None:
    """Mail programs differ in which of the two they use."""
    faults = refused(api, batch(message(headers={"X-Ref": "1", "x-ref": "2"})))

    assert faults == [(["messages", "0", "headers"], "duplicate header name")]


@pytest.mark.parametrize(
    "address",
    ["", "ada", "ada@", "@users.test", "ada@localhost", "ada@users..test", "a b@users.test", "ada@users.test, bob@users.test",
     "grün@users.test", "ada@[127.0.0.1]", "ada@10.0.0.1", "ada@" + "x" * 64 + ".test", "a" * 65 + "@users.test",
     "<ada@users.test", "group: ada@users.test;", '"a b"@users.test', "ada@users.test>"],
)  # fmt: skip
def test_an_invalid_address_is_reported_with_its_place(api: TestClient, engine: Engine, address: str) -> None:
    """One bad line of a list must be found, and the good ones wait until the caller has decided."""
    faults = refused(api, batch(message(), message(to=address)))

    assert [where for where, _ in faults] == [["messages", "1", "to"]]
    assert kept(engine) == 0


def test_an_international_domain_is_sent_to_by_its_ascii_name(api: TestClient) -> None:
    """DNS and providers know only the A-label."""
    submitted(api, batch(message(to="Ada <ada@bücher.test>")))

    [line] = api.get("/v1/messages", params={"recipient": "ADA@bücher.test"}).json()["items"]
    assert (line["to"], line["name"]) == ("ada@xn--bcher-kva.test", "Ada")


def test_all_faults_are_reported_at_once(api: TestClient) -> None:
    """A caller that learns of one fault per request needs as many requests as there are faults."""
    faults = refused(
        api,
        batch(
            message(to="nobody"),
            message(to="a@users.test", text=None),
            message(to="b@users.test", subject=" "),
            **{"from": "nobody", "expires_at": NOW.isoformat()},
        ),
    )

    places = [".".join(where) for where, _ in faults]
    assert places == ["from", "expires_at", "messages.0.to", "messages.1", "messages.2.subject"]


@pytest.mark.parametrize(
    ("asked", "place"),
    [
        ({"messages": [message()], "recipients": [], "template": {}}, "template.subject"),
        ({"messages": []}, ""),
        ({"from": "desk@acme.test"}, ""),
        (batch(message(subjekt="x")), "messages.0.subjekt"),
        (batch({"to": "ada@users.test", "text": "x"}), "messages.0.subject"),
        (batch(message(attachments=[{"filename": "a.pdf", "content": "%%%"}])), "messages.0.attachments.0.content"),
        (batch(lane="express"), "lane"),
        (batch(send_at="tomorrow"), "send_at"),
    ],
    ids=["both", "none", "neither", "misspelt", "missing", "base64", "lane", "time"],
)
def test_an_unknown_or_invalid_field_is_reported_with_its_place(api: TestClient, asked: Any, place: str) -> None:
    """An ignored misspelt field would silently not do what the caller wants."""
    assert place in [".".join(where) for where, _ in refused(api, asked)]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (batch(message(to=5)), "messages.0.to: must be one address, or a list of 1 to 50"),
        (batch(message(to=[])), "messages.0.to: must be one address, or a list of 1 to 50"),
        (batch(message(unsubscribe=5)), "messages.0.unsubscribe: must be an https URL, or true"),
        (batch(message(metadata={"str": 5})), "messages.0.metadata.str: Input should be a valid string"),
        (batch(message(subjekt="x")), "messages.0.subjekt: unknown field"),
        (batch({"to": "ada@users.test", "text": "x"}), "messages.0.subject: required"),
        ({"from": "desk@acme.test"}, ": set either messages, or a template with recipients"),
        (batch(send_at=1_764_000_000), "send_at: use a time such as 2026-11-23T08:00:00Z"),
        (batch(send_at="2025-03-14T09:00:00Z"), "send_at: the time is in the past; leave it out to send at once"),
        (batch(**{"from": ""}), "from: required: this installation has no default sender"),
        (
            template({"to": "ada@users.test", "data": {"name": "Ada"}}, text="{{ name }} {{ order.total }}"),
            "recipients.0: text: `order` is missing in the data, line 1; if it may be missing, use the filter `default`",
        ),
        (
            template({"to": "ada@users.test"}, text="\n{% if name %}"),
            "template: text: `{% if %}` is not closed, line 2; write {% endif %} where it ends",
        ),
    ],
)
def test_each_fault_is_reported_once_with_its_remedy(api: TestClient, asked: Any, said: str) -> None:
    """The place and the remedy, in words for the author of the request."""
    assert [f"{'.'.join(where)}: {what}" for where, what in refused(api, asked)] == [said]


def test_a_misspelt_dry_run_sends_nothing(api: TestClient, engine: Engine) -> None:
    """An ignored `?dryrun=true` would send ten thousand mails that were only to be previewed."""
    answer = api.post("/v1/batches", params={"dryrun": "true"}, json=batch())

    assert (answer.status_code, kept(engine)) == (422, 0)
    assert (
        answer.json()["detail"] == "Unknown query parameter 'dryrun'; this route has dry_run, preview, tenant, test_to."
    )


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"\xff", b'{"messages": "\\ud800"}', b"[" * 100_000])
def test_a_body_that_is_not_json_is_refused(api: TestClient, body: bytes) -> None:
    """Clients may post anything; the answer is a problem document, not a server error."""
    assert api.post("/v1/batches", content=body).status_code == 422


@pytest.mark.parametrize("declared", [[(b"content-length", b"50000000")], []], ids=["declared", "chunked"])
def test_a_request_that_is_too_large_is_not_read_to_its_end(
    api: TestClient, declared: list[tuple[bytes, bytes]]
) -> None:
    """Memory is bounded by the limit, not by the caller; a declared size over it is refused before the first byte."""
    piece, read, answered = b" " * 1_000_000, 0, list[Any]()
    headers = [*declared, (b"authorization", ACME["Authorization"].encode())]
    scope = {"type": "http", "method": "POST", "path": "/v1/batches", "query_string": b"", "headers": headers}

    async def receive() -> dict[str, Any]:
        nonlocal read
        read += len(piece)
        return {"type": "http.request", "body": piece, "more_body": read < 50_000_000}

    async def send(said: Any) -> None:
        answered.append(said)

    asyncio.run(api.app(scope, receive, send))

    assert answered[0]["status"] == 413
    assert read == 0 if declared else LIMITS.body < read <= LIMITS.body + len(piece)


def test_an_attachment_over_the_limit_is_refused_up_front(api: TestClient, engine: Engine) -> None:
    """Case 70: no provider would take it, and later there is no caller left to notify."""
    large = base64.b64encode(bytes(LIMITS.mail * 3 // 4)).decode()

    faults = refused(api, batch(message(attachments=[{"filename": "a.bin", "content": large}])))

    assert faults == [(["messages", "0"], f"mail too large: at most {LIMITS.mail} bytes, with attachments in base64")]
    assert kept(engine) == 0


def test_what_the_provider_would_not_take_is_refused_up_front(api: TestClient, engine: Engine) -> None:
    """Case 70: Postmark's limit is ten megabytes; a batch that cannot be sent is not stored."""
    SqlTerms(engine).publish(provider_terms(ProviderRate(), max_bytes=10_000_000))
    files = [{"filename": f"{at}.bin", "content": base64.b64encode(bytes(2_600_000)).decode()} for at in range(3)]

    faults = refused(api, batch(message(attachments=files)))
    submitted(api, batch(message(attachments=files[:2])))

    assert faults == [(["messages", "0"], "mail too large: at most 10000000 bytes, with attachments in base64")]
    assert kept(engine) == 1


def test_attachments_come_inline_from_the_archive_and_from_s3(
    api: TestClient, engine: Engine, archive: MemoryArchive, uploads: MemoryUploads
) -> None:
    """Content from the archive is not copied; content from S3 is read at submission: what is checked is sent."""
    deposit = archive.deposit("acme", b"the contract")
    uploads.contents["acme/price-list.csv"] = b"1;2"
    attachments = [
        {"filename": "hello.txt", "content": base64.b64encode(b"hello").decode()},
        {"filename": "contract.pdf", "archive_id": deposit.archive_id},
        {"filename": "prices.csv", "s3": {"bucket": "files", "key": "acme/price-list.csv"}},
        {"filename": "logo.png", "content": base64.b64encode(b"png").decode(), "content_id": "<logo@acme>"},
    ]
    output = submitted(api, batch(message(html="<img src='cid:logo@acme'>", attachments=attachments)))
    uploads.contents["acme/price-list.csv"] = b"changed"

    [mail] = sent(engine, output["id"], archive)

    assert [(file.filename, file.content_type, file.content, file.content_id) for file in mail.attachments] == [
        ("hello.txt", "text/plain", b"hello", None),
        ("contract.pdf", "application/pdf", b"the contract", None),
        ("prices.csv", "text/csv", b"1;2", None),
        ("logo.png", "image/png", b"png", "logo@acme"),
    ]


def test_another_tenants_files_are_not_there(api: TestClient, archive: MemoryArchive, uploads: MemoryUploads) -> None:
    """A reference must not be a way to mail another tenant's document to oneself."""
    theirs = archive.deposit("umbrella", b"secret")
    uploads.contents["umbrella/secret.pdf"] = b"secret"
    attachments = [
        {"filename": "a.pdf", "archive_id": theirs.archive_id},
        {"filename": "b.pdf", "s3": {"bucket": "files", "key": "umbrella/secret.pdf"}},
        {"filename": "c.pdf", "s3": {"bucket": "archive", "key": "acme/secret.pdf"}},
        {"filename": "d.pdf"},
        {"filename": "e.pdf", "archive_id": theirs.archive_id, "content": ""},
    ]

    faults = refused(api, batch(message(attachments=attachments)))

    assert [where[3] for where, _ in faults] == ["0", "1", "2", "3", "4"]


def test_a_template_is_stored_once_and_filled_for_each_recipient(
    api: TestClient, engine: Engine, archive: MemoryArchive
) -> None:
    """A value is text: its HTML is escaped, and template syntax in it is not evaluated (case 65)."""
    people = [("ada@users.test", "Ada"), ("eve@users.test", "<b>{{7*7}} {{config}}</b>")]
    output = submitted(api, template(*({"to": to, "data": {"name": name}} for to, name in people)))

    mails = sent(engine, output["id"], archive)

    assert [mail.subject for mail in mails] == ["Dear Ada", "Dear <b>{{7*7}} {{config}}</b>"]
    assert "Dear &lt;b&gt;{{7*7}} {{config}}&lt;/b&gt;" in mails[1].html
    assert mails[0].text == "Dear Ada, look (https://acme.test)"
    with engine.connect() as connection:
        assert connection.execute(text("select count(*) from content")).scalar_one() == 1


def test_a_template_that_lacks_a_value_is_refused_with_the_recipient(api: TestClient) -> None:
    """No recipient is greeted by a blank."""
    faults = refused(api, template({"to": "ada@users.test", "data": {"name": "Ada"}}, {"to": "eve@users.test"}))

    assert [where for where, _ in faults] == [["recipients", "1"]]


def test_a_recipient_that_is_there_twice_gets_one_mail_and_the_answer_says_so(api: TestClient, engine: Engine) -> None:
    """Lists are merged from lists; an address on two of them is one person."""
    output = submitted(api, batch(message(), message(to="ADA@Users.test"), message(to="bob@users.test")))

    assert (output["messages"], output["duplicates"]) == (2, [1])
    assert kept(engine) == 2


def test_two_different_mails_to_one_recipient_need_references(api: TestClient, engine: Engine) -> None:
    """Two invoices to one customer are two mails: neither is silently dropped as a duplicate."""
    two = [message(), message(text="Another one.")]

    faults = refused(api, batch(*two))
    submitted(api, batch(two[0], two[1] | {"reference": "invoice-8"}))

    assert [where for where, _ in faults] == [["messages", "1"]]
    assert kept(engine) == 2


@pytest.mark.parametrize("dry_run", [False, True])
def test_an_unsubscribe_link_of_ours_is_refused_where_there_is_none(
    api: TestClient, engine: Engine, dry_run: bool
) -> None:
    """Without an https URL or a key there is none; it is refused before anything is queued, also in a preview."""
    answer = api.post(
        "/v1/batches",
        json=batch(message(), message(to="bob@users.test", unsubscribe=True)),
        params={"dry_run": dry_run},
    )

    assert answer.status_code == 422
    assert [fault["where"] for fault in answer.json()["errors"]] == [["messages", "1", "unsubscribe"]]
    assert kept(engine) == 0
