"""What is inside attachments, and the parts of split mails: filed, found, shown and downloaded, in memory and in PostgreSQL."""

import base64
import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.dialects.postgresql import insert

from mailroom.adapters.parser.process import ParserProcess
from mailroom.adapters.postgres.inbox.filing import SqlInbox
from mailroom.adapters.postgres.inbox.inbox_reader import SqlInboxReader
from mailroom.adapters.postgres.models import DepositRow, table
from mailroom.adapters.postgres.tenants.directory import SqlDirectory
from mailroom.api.app import create_app
from mailroom.archive.depositing import deposit_all
from mailroom.domain.errors import Quarantined, Reason
from mailroom.domain.inbound.received_email import Arrival, Envelope, ObjectRef
from mailroom.domain.inbound.routing import Address, Route
from mailroom.domain.parsing import ParsedEmail, parse_email
from mailroom.inbound.filing import items_for
from mailroom.inbound.routing import RoutingDecision
from mailroom.testing.api import BROWSER, NOW, Memory, TestClient, two_tenants
from mailroom.testing.parser import MemoryParser
from tests.support.filed_mail import inbound_on
from tests.support.signed_mail import signed

ACME, OTHER, ADMIN = ({"Authorization": f"Bearer {key}"} for key in ("acme", "other", "admin"))
ANN = Route("ann@acme.test", "acme", "ann", "exact")
EVE = Route("eve@acme.test", "acme", "eve", "exact")
BOB = Route("bob@other.test", "other", "bob", "exact")
XML = b'<?xml version="1.0"?><Invoice/>'
PDF = b"%PDF-1.4\n"


@dataclass(frozen=True, slots=True)
class Case:
    """The service, its archive, and how a mail is filed in an inbox; `engine` is None in memory."""

    client: TestClient
    memory: Memory
    file: Callable[[bytes, Route], str]
    engine: Engine | None = None

    def item(self, item_id: str) -> dict[str, Any]:
        answer: dict[str, Any] = self.client.get(f"/v1/items/{item_id}", headers=ACME).json()
        return answer

    def found(self, words: str, address: str = ANN.recipient) -> int:
        query = {"q": words}
        return len(self.client.get(f"/v1/inboxes/{address}/items", params=query, headers=ADMIN).json()["items"])


@pytest.fixture(params=["memory", "postgres"])
def case(request: pytest.FixtureRequest) -> Case:
    memory = two_tenants()
    if request.param == "memory":
        return _in_memory(memory)
    return _in_postgres(memory, request.getfixturevalue("engine"))


def _in_memory(memory: Memory) -> Case:
    def file(raw: bytes, route: Route = ANN) -> str:
        parsed, decision = parse_email(raw), RoutingDecision((route,), (route.tenant,))
        contents = [raw, *(part.content for part in parsed.attachments)]
        receipts = [memory.archive.deposit(route.tenant, one) for one in contents]
        [item] = items_for(parsed, raw, decision, {(route.tenant, one.sha256): one for one in receipts})
        return memory.file(item).id

    return Case(TestClient(create_app(memory.services()), base_url="http://mail.example"), memory, file)


def _in_postgres(memory: Memory, engine: Engine) -> Case:
    for one in (ANN, EVE, BOB):
        SqlDirectory(engine).add(Address(one.recipient, one.tenant, one.user, one.processor))
    ledger, number = inbound_on(engine).ledger, iter(range(100))

    def file(raw: bytes, route: Route = ANN) -> str:
        envelope = Envelope((route.recipient,), "carl@sender.test", NOW)
        entry = ledger.register(Arrival(ObjectRef("inbound", f"in/{next(number)}"), envelope), now=NOW)
        assert entry is not None
        parsed, decision = parse_email(raw), RoutingDecision((route,), (route.tenant,))
        contents = [raw, *(part.content for part in parsed.attachments)]
        kept = deposit_all(entry, [route.tenant], contents, archive=memory.archive, ledger=ledger, now=NOW)
        rows = [asdict(receipt) | {"deposited_at": NOW} for receipt in kept.values()]
        with engine.begin() as connection:
            connection.execute(insert(table(DepositRow)).on_conflict_do_nothing(), rows)
        return SqlInbox(engine).file(entry.id, items_for(parsed, raw, decision, kept), now=NOW)[0]

    services = replace(memory.services(), reader=SqlInboxReader(engine), ledger=ledger)
    return Case(TestClient(create_app(services), base_url="http://mail.example"), memory, file, engine)


def mail(*parts: bytes, boundary: bytes = b"b") -> bytes:
    top = b"From: Carl <carl@x.test>\r\nTo: ann@acme.test\r\nSubject: order\r\nMIME-Version: 1.0\r\n"
    body = b"".join(b"--" + boundary + b"\r\n" + one + b"\r\n" for one in parts)
    return top + b"Content-Type: multipart/mixed; boundary=" + boundary + b"\r\n\r\n" + body + b"--" + boundary + b"--"


def file(kind: bytes, data: bytes) -> bytes:
    return b"Content-Type: " + kind + b"\r\nContent-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(data)


FORWARDED = mail(b"\r\nthe quagga <b>order</b>", file(b"application/pdf; name=zebra.pdf", PDF), boundary=b"f")
RAW = mail(
    b"\r\noutside",
    file(b"application/pkcs7-mime; name=okapi.xml.p7m", signed(XML)),
    b"Content-Type: message/rfc822\r\n\r\n" + FORWARDED,
)


def test_members_are_listed_by_the_api_and_downloaded_by_their_address(case: Case) -> None:
    """A signed invoice without its signature, and the files of a forwarded mail."""
    item_id = case.file(RAW, ANN)
    invoice, forwarded = case.item(item_id)["attachments"]

    assert [(one["number"], one["name"], one["size"]) for one in invoice["members"]] == [(1, "okapi.xml", len(XML))]
    assert [one["name"] for one in forwarded["members"]] == ["message.txt", "zebra.pdf"]
    assert forwarded["members"][0]["text"].endswith("the quagga <b>order</b>")
    assert invoice["members"][0]["url"] == f"/v1/items/{item_id}/attachments/1/members/1"

    answers = {one["name"]: case.client.get(one["url"], headers=ACME) for one in (*invoice["members"], *forwarded["members"])}  # fmt: skip

    assert (answers["okapi.xml"].content, answers["zebra.pdf"].content) == (XML, PDF)
    assert answers["message.txt"].content.endswith(b"the quagga <b>order</b>")
    headers = answers["okapi.xml"].headers
    assert headers["content-type"] == "application/octet-stream"
    assert headers["content-disposition"].startswith('attachment; filename="okapi.xml"')
    assert headers["etag"] == f'"{hashlib.sha256(XML).hexdigest()}"'
    assert case.client.get(f"/v1/items/{item_id}/attachments/1", headers=ACME).content == signed(XML)


def test_members_are_on_the_page_with_their_downloads(case: Case) -> None:
    """The text of an attached mail is read on the page, as text and never as HTML."""
    item_id = case.file(RAW, ANN)

    page = case.client.get(f"/items/{item_id}", headers=ACME | BROWSER).text
    loaded = case.client.get(f"/items/{item_id}/attachments/2/members/2", headers=ACME | BROWSER)

    assert f'href="/items/{item_id}/attachments/1/members/1" download' in page
    assert "the quagga &lt;b&gt;order&lt;/b&gt;" in page
    assert "2 files inside" in page
    assert loaded.content == PDF
    assert loaded.headers["content-disposition"].startswith("attachment")


@pytest.mark.parametrize("words", ["quagga", "zebra.pdf", "filename:okapi.xml", "outside quagga"])
def test_an_item_is_found_by_what_is_inside_its_attachments(case: Case, words: str) -> None:
    """A customer remembers the forwarded sentence, or the name of the invoice."""
    case.file(RAW, ANN)

    assert (case.found(words), case.found("platypus")) == (1, 0)


def test_a_member_is_as_private_as_its_item(case: Case) -> None:
    """Another tenant's key, no key, a number that is not there, and one of an attachment without members: not found."""
    item_id = case.file(RAW, ANN)
    at = f"/v1/items/{item_id}/attachments"

    assert case.client.get(f"{at}/1/members/1", headers=OTHER).status_code == 404
    assert case.client.get(f"{at}/1/members/1").status_code == 401
    assert case.client.get(f"{at}/1/members/1", headers=ADMIN).content == XML
    for path in (f"{at}/1/members/2", f"{at}/9/members/1", f"{at}/1/members/{'9' * 400}", f"{at}/{2**31}/members/1"):
        assert case.client.get(path, headers=ACME).status_code == 404
    assert case.client.get(f"{at}/1/members/0", headers=ACME).status_code == 422


def test_a_client_that_has_a_member_gets_it_only_once(case: Case) -> None:
    """Nothing is read from the archive, and nothing opened."""
    item_id = case.file(RAW, ANN)
    at = f"/v1/items/{item_id}/attachments/1/members/1"
    tag = case.client.get(at, headers=ACME).headers["etag"]
    case.memory.archive.contents.clear()

    assert case.client.get(at, headers=ACME | {"If-None-Match": tag}).status_code == 304
    gone = case.client.get(at, headers=ACME)
    assert (gone.status_code, gone.headers["content-type"]) == (410, "application/problem+json")


def test_a_member_that_cannot_be_derived_any_more_says_what_to_do(case: Case) -> None:
    """A later release may read it otherwise, or the bytes break the parser's process: the attachment is still there."""
    item_id = case.file(RAW, ANN)
    app: Any = case.client.app

    def breaks(_: bytes) -> ParsedEmail:
        raise Quarantined(Reason.UNPARSABLE)

    for opener in (MemoryParser(lambda _: ParsedEmail()), MemoryParser(breaks)):
        app.state.services = replace(app.state.services, opener=opener)
        answer = case.client.get(f"/v1/items/{item_id}/attachments/1/members/1", headers=ACME)

        assert answer.status_code == 410
        assert "Download the attachment itself." in answer.json()["detail"]


def test_an_item_of_an_older_release_has_no_members(engine: Engine) -> None:
    """Its rows have nothing in the new columns: not known, and no fault."""
    case = _in_postgres(two_tenants(), engine)
    item_id = case.file(RAW, ANN)
    with engine.begin() as connection:
        connection.execute(text("update attachment set members = null"))

    assert [one["members"] for one in case.item(item_id)["attachments"]] == [[], []]
    assert case.client.get(f"/items/{item_id}", headers=ACME | BROWSER).status_code == 200


def test_a_process_opens_what_a_process_filed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As installed: hostile bytes are opened in a process with limits; what breaks it breaks only that download."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    case = _in_memory(two_tenants())
    item_id = case.file(RAW, ANN)
    process = ParserProcess(function="mailroom.domain.parsing:parse_member")
    app: Any = case.client.app
    app.state.services = replace(app.state.services, opener=process)
    try:
        answers = [
            case.client.get(f"/v1/items/{item_id}/attachments/{part}/members/{member}", headers=ACME).content
            for part, member in ((1, 1), (2, 2))
        ]
    finally:
        process.close()

    assert answers == [XML, PDF]


def part_of(number: int, total: int | None, name: bytes = b"scan-77@printer.test") -> bytes:
    said = b"" if total is None else b"; total=%d" % total
    head = b'Content-Type: message/partial; id="' + name + b'"; number=%d' % number
    return b"From: c@x.test\r\nSubject: scan\r\n" + head + said + b"\r\n\r\nhalf %d" % number


def test_parts_of_a_split_mail_are_linked_within_their_inbox(case: Case) -> None:
    """Each says which part of how many it is; another inbox, another tenant and another mail are none of its parts."""
    first, second = case.file(part_of(1, None), ANN), case.file(part_of(2, 2), ANN)
    for raw, route in ((part_of(2, 2), EVE), (part_of(2, 2), BOB), (part_of(2, 2, b"other"), ANN)):
        case.file(raw, route)

    shown = case.item(first)
    page = case.client.get(f"/items/{first}", headers=ACME | BROWSER).text

    assert (shown["partial_id"], shown["partial_number"]) == ("scan-77@printer.test", 1)
    assert shown["partials"] == [{"id": second, "number": 2, "total": 2, "url": f"/v1/items/{second}"}]
    assert [one["id"] for one in case.item(second)["partials"]] == [first]
    assert "This is part 1 of 2." in page
    assert f'<a href="/items/{second}">part 2</a>' in page


def test_part_without_the_others_says_so(case: Case) -> None:
    """The other parts may still come; an ordinary mail has none."""
    page = case.client.get(f"/items/{case.file(part_of(1, None), ANN)}", headers=ACME | BROWSER).text

    assert "This is part 1 of an unknown number." in page
    assert "This inbox has no other part of it yet." in page
    assert "Split mail" not in case.client.get(f"/items/{case.file(RAW, ANN)}", headers=ACME | BROWSER).text
