"""What `parse_email` finds in real mail: parts, files and their names."""

import hashlib
import json

import pytest

from mailroom.domain.parsing import ParsedAttachment, ParsedEmail, parse_email


def lines(*rows: str | bytes) -> bytes:
    return b"\r\n".join(row if isinstance(row, bytes) else row.encode() for row in rows)


def mixed(*parts: bytes) -> bytes:
    body = b"".join(b"--edge\r\n" + part + b"\r\n" for part in parts)
    return b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="edge"\r\n\r\n' + body + b"--edge--\r\n"


def part(headers: str | bytes, content: str | bytes) -> bytes:
    head = headers if isinstance(headers, bytes) else headers.encode()
    return (head + b"\r\n" if head else b"") + b"\r\n" + (content if isinstance(content, bytes) else content.encode())


def only(raw: bytes) -> ParsedAttachment:
    (attachment,) = parse_email(raw).attachments
    return attachment


def named(disposition: str | bytes) -> str:
    head = disposition if isinstance(disposition, bytes) else disposition.encode()
    return only(mixed(part(b"Content-Type: application/pdf\r\nContent-Disposition: " + head, "%PDF"))).filename


def test_whole_mail_reads_as_the_contract_says() -> None:
    """Tools outside the project read exactly these fields."""
    image = "Content-Type: image/png; name=logo.png\r\nContent-ID: <logo@x>\r\nContent-Disposition: inline"
    head = lines("Message-ID: <1@example.org>", "Subject: Order", "From: Ann <ann@example.org>", "To: b@example.com")
    raw = head + b"\r\nDate: Tue, 3 Mar 2026 10:00:00 +0100\r\n" + mixed(part("", "Hello"), part(image, b"\x89PNG"))

    found = parse_email(raw).as_dict()

    assert json.loads(json.dumps(found)) == {
        "message_id": "1@example.org",
        "subject": "Order",
        "from": "Ann <ann@example.org>",
        "to": ["b@example.com"],
        "cc": [],
        "date": "2026-03-03T10:00:00+01:00",
        "text": "Hello",
        "html": None,
        "attachments": [
            {
                "filename": "logo.png",
                "display_name": "logo.png",
                "original_name": "logo.png",
                "content_type": "image/png",
                "detected_type": "image/png",
                "size": 4,
                "sha256": hashlib.sha256(b"\x89PNG").hexdigest(),
                "inline": False,
                "content_id": "logo@x",
                "members": [],
            }
        ],
        "protection": [],
        "reports": [],
        "defects": [],
        "reply_to": [],
        "in_reply_to": [],
        "references": [],
        "invitations": [],
        "header_fields": [],
        "not_carried": {},
        "left_out": {},
    }


def test_nothing_is_an_empty_mail() -> None:
    """An object of no bytes is a case for quarantine, not for an exception."""
    assert parse_email(b"") == ParsedEmail(defects=("empty",))


@pytest.mark.parametrize(
    ("encoded", "decoded", "defects"),
    [
        ("aGVsbG8=", b"hello", ()),
        ("aGVsbG8", b"hello", ()),
        ("aGVs\r\nbG8=\r\n", b"hello", ()),
        ("aGVs*!bG8=", b"hello", ()),
        ("aGk=\r\naGk=\r\n", b"hihi", ()),
        ("aGVsbG8=\r\n-- \r\nthe list\r\n", b"hello", ("base64_damaged",)),
        ("aGVsb", b"hel", ("base64_damaged",)),
    ],
)
def test_damaged_base64_gives_what_there_is(encoded: str, decoded: bytes, defects: tuple[str, ...]) -> None:
    """Lists append footers and gateways cut lines; the rest of the file is still wanted."""
    parsed = parse_email(part("Content-Type: image/png\r\nContent-Transfer-Encoding: base64", encoded))

    assert parsed.attachments[0].content == decoded
    assert set(defects) <= set(parsed.defects)


def test_quoted_printable_is_decoded() -> None:
    """With the blanks that some servers leave after a soft line break."""
    raw = lines("Content-Transfer-Encoding: quoted-printable", "", "caf=C3=A9 = ", "au lait=20=")

    assert parse_email(raw).text == "café au lait "


def test_uuencoded_file_in_the_text_is_an_attachment() -> None:
    """Files were sent so before MIME, and some machines still do."""
    raw = lines("Subject: x", "", "before", "begin 644 hello.txt", "%:&5L;&\\", "`", "end", "after")

    parsed = parse_email(raw)

    assert parsed.text == "before\r\nafter"
    assert [(one.filename, one.content) for one in parsed.attachments] == [("hello.txt", b"hello")]


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ('attachment; filename="a b.pdf"', "a b.pdf"),
        ("attachment; filename=a b.pdf", "a b.pdf"),
        ("attachment; filename*=utf-8''na%C3%AFve.pdf", "naïve.pdf"),
        ("attachment; filename*1*=%AFve.pdf; filename*0*=utf-8''na%C3", "naïve.pdf"),
        ('attachment; filename*0="long "; filename*1="name.pdf"', "long name.pdf"),
        ("attachment; filename=plain.pdf; filename*=utf-8''b%C3%A4r.pdf", "bär.pdf"),
        ('attachment; filename="=?utf-8?B?YsOkci5wZGY=?="', "bär.pdf"),
        ('attachment; filename="=?utf-8?Q?b=C3=A4?= =?utf-8?Q?r.pdf?="', "bär.pdf"),
        ('attachment; filename="a "quoted" b.pdf"', 'a "quoted" b.pdf'),
        ('attachment; filename="a;b.pdf"; size=3', "a;b.pdf"),
        ("attachment filename=a.pdf", "a.pdf"),
        ("attachment (a comment); filename=a.pdf", "a.pdf"),
        ("attachment; filename=bär.pdf", "bär.pdf"),
    ],
)
def test_file_name_is_read(disposition: str, name: str) -> None:
    """RFC 2231, encoded words where RFC 2231 was meant, and missing quotes."""
    assert named(disposition) == name


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("..\\\\..\\\\x.exe", "x.exe"),
        ("/abs/file.txt", "file.txt"),
        ("C:\\\\dir\\\\file.txt", "file.txt"),
        ("\\\\\\\\host\\\\share\\\\a.doc", "a.doc"),
        ("invoice 1/2.pdf", "invoice 1_2.pdf"),
        ("CON", "_CON"),
        ("aux.txt", "_aux.txt"),
        ("a.", "a"),
        (".", "attachment-1.pdf"),
        ("..", "attachment-1.pdf"),
        ("\u200b.htaccess", "_htaccess"),
        ("invoice\u202efdp.exe", "invoicefdp.exe"),
        ("a\tb\x07.pdf", "a b.pdf"),
    ],
)
def test_shown_name_is_harmless(given: str, shown: str) -> None:
    """Names are shown in lists and used on disks; the sender's spelling is kept beside it."""
    attachment = only(mixed(part(f'Content-Type: application/pdf; name="{given}"', "%PDF")))

    assert attachment.filename == shown
    assert attachment.original_name is not None


def test_long_name_is_cut_before_its_ending() -> None:
    """200 bytes, never inside a letter, and still a PDF."""
    name = named(f'attachment; filename="{"ä" * 150}.pdf"')

    assert name.endswith("ä.pdf")
    assert len(name.encode()) <= 200


def test_equal_names_are_made_different() -> None:
    """Two files of one name would overwrite each other in a download folder."""
    one = part("Content-Type: image/png; name=Image.png", "1")
    other = part("Content-Type: image/png; name=image.png", "2")

    found = parse_email(mixed(one, other, one)).attachments

    assert [attachment.display_name for attachment in found] == ["Image.png", "image (2).png", "Image (3).png"]
    assert [attachment.filename for attachment in found] == ["Image.png", "image.png", "Image.png"]


def test_forwarded_message_is_one_attachment_with_its_exact_bytes() -> None:
    """Its signature and its archive digest hold only for the bytes that were sent."""
    inner = b"Subject: The plan\r\nX-Odd:   kept \r\n" + mixed(part("Content-Type: image/png; name=a.png", "png"))
    inner = inner.replace(b"edge", b"inner")

    attachment = only(mixed(part("", "see below"), part("Content-Type: message/rfc822", inner)))

    assert (attachment.filename, attachment.content_type) == ("The plan.eml", "message/rfc822")
    assert attachment.content == inner


def test_parts_of_a_digest_are_messages() -> None:
    """RFC 2046 section 5.1.5: the default type inside multipart/digest is message/rfc822."""
    raw = mixed(part("", "Subject: one\r\n\r\n1"), part("", "Subject: two\r\n\r\n2")).replace(b"/mixed", b"/digest")

    assert [one.filename for one in parse_email(raw).attachments] == ["one.eml", "two.eml"]


def test_texts_with_a_name_are_files_and_without_are_text() -> None:
    """Mail clients list the one as a file and show the other."""
    raw = mixed(
        part("Content-Type: text/plain", "first"),
        part("Content-Type: text/plain\r\nContent-Disposition: attachment; filename=notes.txt", "file"),
        part("Content-Type: text/plain", "second"),
    )

    parsed = parse_email(raw)

    assert parsed.text == "first\nsecond"
    assert [one.filename for one in parsed.attachments] == ["notes.txt"]


def test_named_text_is_shown_where_there_is_no_other() -> None:
    """Some mailers give the text itself a name."""
    parsed = parse_email(mixed(part("Content-Type: text/plain; name=body.txt\r\nContent-Disposition: inline", "hello")))

    assert parsed.text == "hello"
    assert [one.filename for one in parsed.attachments] == ["body.txt"]


@pytest.mark.parametrize(
    ("disposition", "inline"),
    [("", True), ("\r\nContent-Disposition: inline", True), ("\r\nContent-Disposition: attachment", False)],
)
def test_image_that_the_html_shows_is_inline(disposition: str, inline: bool) -> None:
    """A reader sees it in the text; what the sender attached is a file as well."""
    html = part("Content-Type: text/html", '<img src="cid:a@x">')
    image = part(f"Content-Type: image/png; name=a.png\r\nContent-ID: <a@x>{disposition}", "png")

    assert only(mixed(html, image)).inline is inline


def test_declared_and_detected_type_are_both_kept() -> None:
    """The declared type is shown; the detected one decides how the file is served."""
    attachment = only(mixed(part("Content-Type: image/png; name=a.png", b"%PDF-1.7 \r\n")))

    assert (attachment.content_type, attachment.detected_type) == ("image/png", "application/pdf")


@pytest.mark.parametrize(
    "raw",
    [
        lines("Content-Type: multipart/mixed", "", "--edge", "Content-Type: image/png", "", "x", "--edge--"),
        lines(
            "Content-Type: multipart/mixed; boundary=other",
            "",
            "--edge",
            "Content-Type: image/png",
            "",
            "x",
            "--edge--",
        ),
        lines(
            "Content-Type: multipart/mixed;",
            'boundary="edge"',
            "",
            "--edge",
            "Content-Type: image/png",
            "",
            "x",
            "--edge--",
        ),
        lines("Content-Type: multipart/mixed; boundary=edge", "", "--edge", "Content-Type: image/png", "", "x"),
        lines(
            "Content-Type: multipart/mixed; boundary=edge",
            "",
            "--edge  ",
            "Content-Type: image/png",
            " ",
            "x",
            "--edge-- ",
        ),
        b"Content-Type: multipart/mixed; boundary=edge\n\n--edge\nContent-Type: image/png\n\nx\n--edge--",
        b"Content-Type: multipart/mixed; boundary=edge\r\r--edge\rContent-Type: image/png\r\rx\r--edge--",
        lines(
            "From a@x Tue Mar 3 10:00:00 2026",
            "Content-Type: multipart/mixed; boundary=edge",
            "",
            "--edge",
            "Content-Type: image/png",
            "",
            "x",
            "--edge--",
        ),
    ],
    ids=["missing", "wrong", "not folded", "not closed", "blanks", "LF", "CR", "mbox"],
)
def test_parts_are_found_in_spite_of(raw: bytes) -> None:
    """Boundaries are lost, folded and misspelled on the way; the delimiter lines are still there."""
    assert only(raw).content == b"x"


def test_boundary_that_begins_another_is_not_taken_for_it() -> None:
    """`--edge` must not end at `--edge2`."""
    inner = mixed(part("Content-Type: image/png", "1"), part("Content-Type: image/png", "2")).replace(b"edge", b"edge2")

    assert len(parse_email(mixed(inner, part("Content-Type: image/png", "3"))).attachments) == 3


def test_multipart_without_parts_has_no_text() -> None:
    """Its delimiter lines are not what someone wrote."""
    assert parse_email(mixed()).text is None


def test_half_a_type_still_distinguishes_a_file_from_a_text() -> None:
    """`application` without its second half is no reason to take a file for a text."""
    attachment = only(mixed(part("Content-Type: application; name=a.zip", "PK")))

    assert attachment.content_type == "application/octet-stream"


def test_inner_multipart_with_the_same_boundary_hides_nothing() -> None:
    """The inner end is not the outer one."""
    inner = mixed(part("Content-Type: image/png", "1"))

    assert len(parse_email(mixed(inner, part("Content-Type: image/png", "2"))).attachments) == 2


def test_garbage_between_headers_is_skipped() -> None:
    """One bad line must not turn the rest of the header into text."""
    parsed = parse_email(lines("Subject: one", "this is no header", "To: a@x.org", "", "text"))

    assert (parsed.subject, parsed.to, parsed.text) == ("one", ("a@x.org",), "text")
