"""Every fault of a mail is a sentence, with how much it left out."""

from html import unescape

import pytest

from mailroom.api.app import create_app
from mailroom.domain.inbox.notices import TEXTS, notices_of
from mailroom.domain.parsing import Defect, Limits, ParsedEmail, parse_email
from mailroom.domain.parsing.model import ENCRYPTED
from mailroom.domain.parsing.record import from_record, to_record
from mailroom.testing.api import BROWSER, TestClient, an_item, two_tenants
from tests.support.mail_parts import PDF, mail, part

TEXT = b"Content-Type: text/plain\r\n\r\nhello"
ARMOUR = "-----BEGIN PGP MESSAGE-----\r\n\r\nhQEMAx\r\n=abcd\r\n-----END PGP MESSAGE-----\r\n"
ENVELOPED = bytes.fromhex("308006092a864886f70d010703a0800000")
SIGNED = bytes.fromhex("308006092a864886f70d010702a0800000")


def sentences(parsed: ParsedEmail) -> list[str]:
    return [one.sentence for one in notices_of(parsed.defects, parsed.left_out)]


@pytest.mark.parametrize("word", [*Defect, *sorted(ENCRYPTED)])
def test_every_word_of_the_parser_is_a_sentence(word: str) -> None:
    """A word that somebody adds without one fails here; people read sentences, and programs the word."""
    [notice] = notices_of([word], None)

    assert word in TEXTS
    assert (notice.code, notice.count, notice.bytes) == (word, None, None)
    assert notice.sentence[0].isupper()
    assert notice.sentence.endswith(".")
    assert word not in notice.sentence or " " not in word
    assert (notice.what_to_do or "Download it.").endswith(".")


def test_page_and_api_have_the_sentence_of_every_word() -> None:
    """An item with all faults at once; the page's ways to draw them forget none."""
    memory = two_tenants()
    words = (*Defect, *sorted(ENCRYPTED))
    item_id = memory.file(
        an_item(defects=tuple(Defect), left_out={word: {"count": 7, "bytes": 2_000} for word in words})
    ).id
    client = TestClient(create_app(memory.services()), base_url="http://mail.example")

    page = unescape(client.get(f"/items/{item_id}", headers={"Authorization": "Bearer admin"} | BROWSER).text)
    notices = client.get(f"/v1/items/{item_id}", headers={"Authorization": "Bearer admin"}).json()["notices"]

    assert {one["code"] for one in notices} == set(words)
    assert [one["code"] for one in notices if one["sentence"] not in page] == []
    assert all("2.0 kB" in one["sentence"] for one in notices)


def test_an_unknown_word_is_shown_itself() -> None:
    """An item that a later release filed says what it can."""
    [notice] = notices_of(["too_blue"], {})

    assert "too_blue" in notice.sentence


def test_a_kind_of_loss_says_how_much_it_is() -> None:
    """Each limit, one step over it: what is counted is what is not in the result."""
    files = [part(PDF, "application/pdf", name=f"{number}.pdf") for number in range(5)]
    few = Limits(parts=3)

    assert sentences(parse_email(mail(TEXT, *files), limits=few)) == [
        f"The mail has more parts than are read. Left out: 3 parts, {3 * len(files[0])} B."
    ]
    assert sentences(parse_email(mail(TEXT, *files), limits=Limits(files=4))) == [
        f"The mail has more files than are listed. Left out: 1 file, {len(PDF)} B."
    ]
    assert sentences(parse_email(mail(TEXT, *files), limits=Limits(file_bytes=len(PDF)))) == [
        f"The mail's files are together larger than are taken. Left out: 4 files, {4 * len(PDF)} B."
    ]


@pytest.mark.parametrize(
    ("raw", "limits", "word", "amounts"),
    [
        (b"Subject: x\r\n\r\n0123456789", Limits(raw_bytes=20), "too_large", {"bytes": 4}),
        (b"Subject: x\r\n\r\n0123456789", Limits(text_bytes=4), "text_too_long", {"bytes": 6}),
        (b"A: 1\r\nB: 2\r\nC: 3\r\n\r\nx", Limits(headers=2), "too_many_headers", {"count": 1}),
        (b"A: 123456\r\n\r\nx", Limits(header_bytes=4), "header_too_long", {"count": 1, "bytes": 2}),
        (b"To: a@x.test, b@x.test, c@x.test,\r\n\r\nx", Limits(addresses=1), "too_many_addresses", {"count": 2}),
        (b"A: 1\r\n" + b" 2345\r\n" * 9 + b"\r\nx", Limits(header_block_bytes=50), "header_block_too_long", {"bytes": 21}),
        (mail(mail(TEXT)), Limits(depth=1), "too_deep", None),
        (mail(part(PDF, "image/png", name="n" * 50)), Limits(raw_name_bytes=8), "name_too_long", {"bytes": 42}),
        (b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n1\r\n--b\r\n\r\n2\r\n--b\r\n\r\n3", Limits(parts=1),
         "too_many_parts", {"count": 2, "bytes": 6}),
    ],
)  # fmt: skip
def test_what_a_limit_leaves_out_is_measured(
    raw: bytes, limits: Limits, word: str, amounts: dict[str, int] | None
) -> None:
    """To the byte, or by the number of what was dropped."""
    parsed = parse_email(raw, limits=limits)

    assert word in parsed.defects
    assert amounts is None or parsed.left_out[word] == amounts


def test_six_hundred_files_are_counted() -> None:
    """What cannot be listed is named with number and size."""
    files = [b'Content-Type: text/csv; name="t.csv"\r\n\r\na;b\r\n%d;2' % number for number in range(600)]
    parsed = parse_email(mail(TEXT, *files))

    assert len(parsed.attachments) + parsed.left_out["too_many_parts"]["count"] == 600


def test_amounts_pass_through_the_parsers_process() -> None:
    """The worker parses in a process of its own."""
    parsed = parse_email(mail(TEXT, TEXT), limits=Limits(parts=1))

    assert (
        from_record(to_record(parsed), []).left_out == parsed.left_out == {"too_many_parts": {"count": 1, "bytes": 33}}
    )


@pytest.mark.parametrize(
    ("raw", "word"),
    [
        (mail(part(b"Version: 1", "application/pgp-encrypted"), part(ARMOUR.encode(), "application/octet-stream"),
              kind="encrypted", more='; protocol="application/pgp-encrypted"'), "pgp_encrypted"),
        (mail(TEXT, part(b"Version: 1", "application/pgp-encrypted"), part(ARMOUR.encode(), "application/octet-stream",
              name="encrypted.asc")), "pgp_encrypted"),
        (b"Subject: x\r\n\r\n" + ARMOUR.encode(), "pgp_encrypted"),
        (b"Subject: x\r\nContent-Type: text/html\r\n\r\n<pre>" + ARMOUR.encode() + b"</pre>", "pgp_encrypted"),
        (b"Subject: x\r\n" + part(ENVELOPED, "application/pkcs7-mime; smime-type=enveloped-data", name="smime.p7m"),
         "smime_encrypted"),
        (b"Subject: x\r\n" + part(ENVELOPED, "application/octet-stream", name="smime.p7m"), "smime_encrypted"),
        (b"Subject: x\r\n" + part(SIGNED, "application/pkcs7-mime", name="smime.p7m"), None),
        (mail(TEXT, part(b"-----BEGIN PGP SIGNATURE-----", "application/pgp-signature"), kind="signed"), None),
        (b"Subject: x\r\n\r\n> -----BEGIN PGP MESSAGE-----\r\nwhat is that?", None),
        (b"Subject: x\r\n\r\n-----BEGIN PGP SIGNED MESSAGE-----\r\n\r\nhi", None),
    ],
)  # fmt: skip
def test_an_encrypted_mail_says_so(raw: bytes, word: str | None) -> None:
    """Without it the page would show an empty mail; the container is a file, or the text itself."""
    parsed = parse_email(raw)
    found = [one for one in notices_of(parsed.defects, parsed.left_out) if one.code in ENCRYPTED]

    assert [one.code for one in found] == ([word] if word else [])
    assert all("encrypted, cannot be read here" in one.sentence and one.left_out for one in found)
    assert parsed.attachments or parsed.text or parsed.html


def test_the_container_of_a_pgp_mail_has_its_usual_name() -> None:
    """Programs for OpenPGP open it by a double click."""
    container = part(ARMOUR.encode(), "application/octet-stream", disposition="inline")
    parsed = parse_email(mail(part(b"Version: 1", "application/pgp-encrypted"), container, kind="encrypted"))

    assert [(one.filename, one.inline) for one in parsed.attachments][1] == ("encrypted.asc", False)


@pytest.mark.parametrize(
    "line", [b"X Odd name: value\r\n folded value\r\n", b"rubbish\r\n", b"X part hdr: a\r\n b\r\n"]
)
def test_a_line_that_is_no_field_is_a_sentence(line: bytes) -> None:
    """It is skipped, in the mail and in a part, and the item says so."""
    broken = mail(TEXT, part(PDF, "application/pdf", name="a.pdf"))
    for raw in (
        broken.replace(b"MIME-Version", line + b"MIME-Version"),
        mail(TEXT, line + part(PDF, "application/pdf")),
    ):
        parsed = parse_email(raw)
        assert [one.content for one in parsed.attachments] == [PDF]
        assert sentences(parsed) == ["A line between the header fields is no field; it is skipped."]


def test_two_addresses_in_one_from_are_a_sentence() -> None:
    """Mail programs show different ones."""
    parsed = parse_email(b"From: Bank <attacker@evil.example>:<ceo@bank.example>\r\n\r\nx")

    assert "more than one address" in sentences(parsed)[0]
