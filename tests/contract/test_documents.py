"""What is a document and what was left out: list, page, API and zip agree, on items in memory and in PostgreSQL."""

import io
import re
from html import unescape
from typing import Any
from uuid import UUID
from zipfile import ZipFile

import pytest
from sqlalchemy import Engine, text
from sqlmodel import Session

from mailroom.adapters.postgres.models import AttachmentRow
from mailroom.adapters.postgres.schema import migrations
from mailroom.testing.api import BROWSER, two_tenants
from tests.support.filed_documents import Case, case_in_memory, case_in_postgres
from tests.support.inboxes import SqlInstallation
from tests.support.mail_parts import PDF, PNG, html_part, mail, part

ACME = {"Authorization": "Bearer acme"}
TEXT = b"Content-Type: text/plain; charset=utf-8\r\n\r\nanbei die Rechnung"
DRAWN = html_part('<p>Hi <img src="cid:logo@x.test">')
LOGO = part(PNG, "image/png", name="logo.png", cid="logo@x.test", disposition="inline")
ARMOUR = b"-----BEGIN PGP MESSAGE-----\r\n\r\nhQEMAx\r\n=abcd\r\n-----END PGP MESSAGE-----\r\n"
PEC = (
    part(b"Subject: offerta\r\n\r\nx", "message/rfc822", name="postacert.eml", disposition="inline"),
    part(b"<postacert/>", "application/xml", name="daticert.xml", disposition="inline"),
)


@pytest.fixture(params=["memory", "postgres"])
def case(request: pytest.FixtureRequest) -> Case:
    if request.param == "memory":
        return case_in_memory(two_tenants())
    return case_in_postgres(two_tenants(), request.getfixturevalue("engine"))


def page_of(case: Case, item_id: str) -> str:
    answer = case.client.get(f"/items/{item_id}", headers=ACME | BROWSER)
    assert answer.status_code == 200
    return unescape(answer.text)


def json_of(case: Case, path: str) -> Any:
    answer = case.client.get(path, headers=ACME)
    assert answer.status_code == 200
    return answer.json()


MAILS = {
    "an inline PDF": ((TEXT, part(PDF, "application/pdf", name="r.pdf", disposition="inline")), ["r.pdf"], []),
    "an inline XML invoice": ((TEXT, part(b"<I/>", "application/xml", name="x.xml", disposition="inline")), ["x.xml"], []),
    "a photo that is not drawn": ((html_part("<p>see"), LOGO), ["logo.png"], []),
    "a PDF that a link names": (
        (html_part('<a href="cid:i@x">i</a>'), part(PDF, "application/pdf", name="i.pdf", cid="i@x", disposition="attachment")),
        ["i.pdf"],
        [],
    ),
    "a logo and a PDF": ((DRAWN, LOGO, part(PDF, "application/pdf", name="r.pdf")), ["r.pdf"], ["logo.png"]),
    "certified mail": ((TEXT, *PEC), ["postacert.eml", "daticert.xml"], []),
    "a scan without a name": ((TEXT, part(PDF, "application/octet-stream")), ["attachment-1.pdf"], []),
    "a name in the description": ((TEXT, part(PDF, "application/pdf", description="l.pdf")), ["l.pdf"], []),
    "a PDF as text": ((TEXT, part(PDF, "text/plain")), ["attachment-1.pdf"], []),
}  # fmt: skip


def test_list_page_api_and_zip_agree_about_documents(case: Case) -> None:
    """One rule decides, when the mail is parsed."""
    filed = {case.file(mail(*parts)): (name, documents, more) for name, (parts, documents, more) in MAILS.items()}

    lines = json_of(case, "/v1/inboxes/ann@acme.test/items")["items"]
    listed = case.client.get("/inboxes/ann@acme.test", headers=ACME | BROWSER).text
    icons = re.findall(r'class="visually-hidden">(\d+) attachments?: ', listed)

    assert {line["id"]: line["attachments"] for line in lines} == {
        one: len(names) for one, (_, names, _) in filed.items()
    }
    assert [int(icon) for icon in icons] == [line["attachments"] for line in lines if line["attachments"]]
    for item_id, (name, documents, decoration) in filed.items():
        page, files = page_of(case, item_id), json_of(case, f"/v1/items/{item_id}")["attachments"]
        zipped = ZipFile(io.BytesIO(case.client.get(f"/v1/items/{item_id}/files.zip", headers=ACME).content)).namelist()
        assert [one["filename"] for one in files if not one["inline"]] == documents, name
        assert [one["filename"] for one in files if one["inline"]] == decoration, name
        assert f'Attachments <span class="muted">{len(documents)}</span>' in page, name
        assert sorted(zipped) == sorted(documents + [f"inline/{one}" for one in decoration]), name


def test_what_was_left_out_is_said_with_how_much(case: Case) -> None:
    """600 files: page, API and zip give the number and the size of those that are not listed."""
    files = [b'Content-Type: text/csv; name="t%04d.csv"\r\n\r\na;b\r\n1;2' % number for number in range(600)]
    item_id = case.file(mail(TEXT, *files))

    page, item = page_of(case, item_id), json_of(case, f"/v1/items/{item_id}")
    zipped = ZipFile(io.BytesIO(case.client.get(f"/v1/items/{item_id}/files.zip", headers=ACME).content))

    sentence = "The mail has more parts than are read. Left out: 101 parts, 5.3 kB."
    assert len(item["attachments"]) == 499
    assert f"499 of its files are listed here. {sentence}" in page
    assert [one["sentence"] for one in item["notices"]] == [sentence]
    assert item["left_out"] == {"too_many_parts": {"count": 101, "bytes": 5252}}
    assert sentence in zipped.read("NOT INCLUDED.txt").decode()


@pytest.mark.parametrize(
    ("parts", "kind", "files"),
    [
        ((part(b"Version: 1", "application/pgp-encrypted"), part(ARMOUR, "application/octet-stream")), "encrypted", 2),
        ((part(bytes.fromhex("308006092a864886f70d010703a0800000"), "application/pkcs7-mime", name="smime.p7m"),), "mixed", 1),
        ((b"Content-Type: text/plain\r\n\r\n" + ARMOUR,), "mixed", 0),
    ],
)  # fmt: skip
def test_an_encrypted_mail_says_that_it_cannot_be_read_here(
    case: Case, parts: tuple[bytes, ...], kind: str, files: int
) -> None:
    """On the page and in the API; its container, or the raw mail where it is the text, can be downloaded."""
    raw = mail(*parts, kind=kind)
    item_id = case.file(raw)

    page, item = page_of(case, item_id), json_of(case, f"/v1/items/{item_id}")

    assert "encrypted, cannot be read here" in page
    assert "encrypted, cannot be read here" in item["notices"][0]["sentence"]
    assert page.count("/attachments/") == files
    for number in range(1, files + 1):
        assert case.client.get(f"/items/{item_id}/attachments/{number}", headers=ACME | BROWSER).status_code == 200
    assert case.client.get(f"/items/{item_id}/raw", headers=ACME | BROWSER).content == raw


def test_a_fault_is_a_sentence_on_page_and_api(case: Case) -> None:
    """The word is beside it, for filters."""
    item_id = case.file(b"Subject: x\r\nDate: some day\r\nrubbish\r\nTo: a@x.test\r\n\r\nHi")

    page, item = page_of(case, item_id), json_of(case, f"/v1/items/{item_id}")

    assert {one["code"] for one in item["notices"]} == {"date_unreadable", "header_malformed"} == set(item["defects"])
    for notice in item["notices"]:
        assert notice["sentence"] in page


def test_items_of_an_earlier_release_work(engine: Engine) -> None:
    """They have no amounts: the sentence is there without them."""
    case = case_in_postgres(two_tenants(), engine)
    item_id = case.file(mail(TEXT, *[LOGO] * 600))
    with engine.begin() as connection:
        connection.execute(text("update inbox_item set left_out = null"))

    page, item = page_of(case, item_id), json_of(case, f"/v1/items/{item_id}")

    assert "The mail has more parts than are read. An earlier release filed it" in page
    assert (item["left_out"], item["notices"][0]["count"]) == (None, None)
    assert case.client.get(f"/v1/items/{item_id}/files.zip", headers=ACME).status_code == 200


#: Parts as an earlier release filed them, as decoration: declared type, detected type, Content-ID, and whether they stay it.
FILED_INLINE = [
    ("application/pdf", "application/pdf", "r@x", False),
    ("image/png", "application/pdf", "hidden@x", False),
    ("application/xml", None, None, False),
    ("message/rfc822", None, "m@x", False),
    ("image/png", "image/png", None, False),
    ("image/png", "image/png", "logo@x", True),
    ("application/octet-stream", "image/jpeg", "photo@x", True),
    ("image/svg+xml", None, "logo2@x", True),
]


def test_documents_that_an_earlier_release_hid_are_counted(engine: Engine) -> None:
    """Without HTML nothing is drawn; with it, what is no picture, or has no name to be drawn by, is a document."""
    installation = SqlInstallation(engine)
    drawn = installation.file("acme", "ann@acme.test", html='<img src="cid:logo@x">')
    plain = installation.file("acme", "ann@acme.test")
    [migration] = [one.module for one in migrations() if one.module.__file__.endswith("_documents.py")]
    with Session(engine) as session:
        for item_id in (drawn, plain):
            raw = session.execute(
                text("select raw_archive_id from inbox_item where id = :id"), {"id": item_id}
            ).scalar_one()
            for number, (declared, detected, cid, _) in enumerate(FILED_INLINE, 1):
                kinds = {"content_type": declared, "detected_type": detected, "content_id": cid, "archive_id": raw}
                part = {"item_id": UUID(item_id), "number": number, "filename": "f", "size": 5, "sha256": "0" * 64}
                session.add(AttachmentRow(**part, **kinds, inline=True))
        session.commit()
        session.execute(text(migration.DOCUMENTS))
        session.commit()

    inline = {
        item_id: [part.inline for part in filed.item.attachments]
        for item_id in (drawn, plain)
        if (filed := installation.reader.item("acme", item_id))
    }
    assert inline == {drawn: [stays for *_, stays in FILED_INLINE], plain: [False] * len(FILED_INLINE)}
