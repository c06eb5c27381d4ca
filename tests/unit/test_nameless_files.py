"""Files without a name: what people save them as, and which parts are files though they are sent as text."""

import pytest

from mailroom.domain.parsing import parse_email
from mailroom.domain.parsing.nameless import described_name
from tests.support.mail_parts import JPEG, PDF, PNG, mail, part

TEXT = b"Content-Type: text/plain\r\n\r\nSiehe"
TIFF = b"II*\x00" + bytes(60)


def names(*parts: bytes) -> list[str]:
    return [one.filename for one in parse_email(mail(*parts)).attachments]


@pytest.mark.parametrize(
    ("content", "kind", "name"),
    [
        (PDF, "application/octet-stream", "attachment-1.pdf"),
        (TIFF, "application/octet-stream", "attachment-1.tif"),
        (JPEG, "application/octet-stream", "attachment-1.jpg"),
        (PNG, "image/jpeg", "attachment-1.png"),
        (b"7z\xbc\xaf\x27\x1c" + bytes(40), "application/octet-stream", "attachment-1.7z"),
        (PDF, "application/pdf", "attachment-1.pdf"),
        (b"BM;1;2\r\n", "text/csv", "attachment-1.csv"),
        (b"PK\x03\x04" + bytes(60), "application/octet-stream", "attachment-1.zip"),
        (b"x", "application/octet-stream", "attachment-1"),
        (b"x", "application/xml", "attachment-1.xml"),
        (PDF, "text/csv", "attachment-1.pdf"),
    ],
)
def test_a_nameless_file_has_the_extension_of_its_content(content: bytes, kind: str, name: str) -> None:
    """Scanners name nothing and declare octet-stream; nobody can open a file without an extension."""
    assert names(TEXT, part(content, kind, disposition="attachment")) == [name]


@pytest.mark.parametrize(
    ("description", "name"),
    [
        ("lieferschein.pdf", "lieferschein.pdf"),
        ("Rechnung 4711 vom 3. März.PDF", "Rechnung 4711 vom 3. März.PDF"),
        ("  scan.tif ", "scan.tif"),
        ("invoice.xml.p7m", "invoice.xml.p7m"),
        ("S/MIME Cryptographic Signature", None),
        ("OpenPGP digital signature", None),
        ("Message from acme.com", None),
        ("see chapter 2.1", None),
        ("../../etc/passwd.txt", None),
        (".pdf", None),
        ("", None),
        ("a" * 400 + ".pdf", None),
    ],
)
def test_a_description_that_is_a_file_name_is_the_name(description: str, name: str | None) -> None:
    """Where the sender gave no other; a sentence is none."""
    assert described_name(description) == name


def test_a_description_names_a_file_and_no_text() -> None:
    """The name that is given as one comes first, and a text stays the text."""
    described = part(PDF, "application/pdf", disposition="attachment", description="=?utf-8?q?Pr=C3=BCfung.pdf?=")
    named = part(PDF, "application/pdf", name="a.pdf", description="b.pdf")
    body = b"Content-Type: text/plain\r\nContent-Description: body.txt\r\n\r\nhello"
    parsed = parse_email(mail(body, described, named))

    assert (parsed.text, [one.original_name for one in parsed.attachments]) == ("hello", ["Prüfung.pdf", "a.pdf"])


@pytest.mark.parametrize("content", [PDF, b"\r\n\r\n" + PDF, PNG, JPEG, TIFF, b"GIF89a\x01\x00\x01\x00" + bytes(20)])
@pytest.mark.parametrize("kind", ["text/plain", "text/html"])
def test_a_pdf_or_picture_sent_as_text_is_a_file(content: bytes, kind: str) -> None:
    """Printers and scripts forget the type; its bytes are no text, with other texts and without."""
    for others in ([TEXT], []):
        parsed = parse_email(mail(*others, part(content, kind)))
        assert [one.content for one in parsed.attachments] == [content]
        assert (parsed.text, parsed.html) == ("Siehe" if others else None, None)


@pytest.mark.parametrize(
    "text", ["%PDF-1.4 is what we need", "PDF-1.4", "GIF89a is a format", "BMW 320", "II*", "\x89PNG", "RIFF", "%PDF"]
)
def test_a_text_about_files_is_a_text(text: str) -> None:
    """A person who writes of formats is read."""
    parsed = parse_email(mail(part(text.encode(), "text/plain; charset=utf-8")))

    assert (parsed.text, parsed.attachments) == (text, ())


def test_a_mail_that_is_one_pdf_is_a_file() -> None:
    """A device without a mail program sends a type, or none."""
    for kind in ("text/plain", "application/pdf"):
        parsed = parse_email(b"Subject: scan\r\nMIME-Version: 1.0\r\n" + part(PDF, kind))
        assert ([one.filename for one in parsed.attachments], parsed.text) == (["attachment-1.pdf"], None)
