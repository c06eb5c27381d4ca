"""Mails as bytes: a reader finds what the caller gave, and nothing else."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from email.utils import getaddresses
from typing import Any, cast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mailroom.domain.errors import Refused
from mailroom.domain.mail.mime import mime
from mailroom.domain.outbound.content_rules import is_clean, on_the_wire
from mailroom.domain.outbound.message import File, Outgoing, Party
from mailroom.domain.parsing import parse_email

MAIL = Outgoing(
    id="0b9e2f6e-1111-4222-8333-444455556666",
    batch_id="b",
    tenant="acme",
    from_=Party("billing@acme.example", "Acme Billing"),
    to=Party("bob@example.com", "Bob"),
    subject="Your invoice",
    text="Hello Bob",
    html=None,
)
AT = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
CLEAN = st.text(max_size=200).filter(is_clean)


def built(**changes: Any) -> bytes:
    return mime(replace(MAIL, **changes), message_id="1@acme.example", date=AT)


def read(raw: bytes) -> EmailMessage:
    return cast(EmailMessage, message_from_bytes(raw, policy=default))


def test_a_plain_mail_has_every_header_a_reader_needs() -> None:
    """SMTP servers add Date and Message-ID where they are missing; ours are set before."""
    found = read(built())

    assert found["From"] == "Acme Billing <billing@acme.example>"
    assert found["To"] == "Bob <bob@example.com>"
    assert found["Date"].datetime == AT
    assert found["Message-ID"] == "<1@acme.example>"
    assert found["X-Correlation-ID"] == MAIL.id
    assert found.get_content() == "Hello Bob"


def test_the_same_mail_gives_the_same_bytes() -> None:
    """A digest of a sent mail is useless if building the mail again gives another."""
    mail = {"html": "<b>x</b>", "attachments": (File(filename="a.pdf", content_type="application/pdf", content=b"x"),)}

    assert built(**mail) == built(**mail)


@given(subject=CLEAN, name=CLEAN)
def test_any_clean_subject_and_name_arrive_unchanged(subject: str, name: str) -> None:
    """The generator folds and encodes; a reader must show the original, and no address may change."""
    raw = built(subject=subject, to=Party("bob@example.com", name))

    found = parse_email(raw)

    assert " ".join((found.subject or "").split()) == " ".join(subject.split())
    assert [re.findall(r"<?([^<> ]+@[^<> ]+)>?$", to) for to in found.to] == [["bob@example.com"]]


@given(text=st.text(max_size=500).filter(lambda text: "\x00" not in text))
def test_any_text_arrives_unchanged(text: str) -> None:
    """Lines with dots, From at their start, trailing blanks: the transfer encoding preserves them all."""
    try:
        raw = built(text=text)
    except Refused:
        assert any("\ud800" <= char <= "\udfff" for char in text)
        return

    part = message_from_bytes(raw)
    payload = cast(bytes, part.get_payload(decode=True)).decode()

    assert payload.replace("\r\n", "\n") == text.replace("\r\n", "\n").replace("\r", "\n")


@given(text=st.text(max_size=300), subject=CLEAN)
def test_lines_end_in_crlf_and_stay_short(text: str, subject: str) -> None:
    """On some servers a bare line feed turns one mail into two; a line may have 998 octets."""
    try:
        raw = built(text=text, html=text, subject=subject)
    except Refused:
        return

    assert b"\r" not in raw.replace(b"\r\n", b"")
    assert b"\n" not in raw.replace(b"\r\n", b"")
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    assert raw.isascii()


@pytest.mark.parametrize("char", ["\r", "\n", "\r\n", "\x00", "\u2028", "\u2029", "\x85", "\x1b", "\ud800"])
@pytest.mark.parametrize("where", ["to", "to_name", "from_name", "subject", "reply_to", "header", "filename"])
def test_nothing_breaks_out_of_a_header(char: str, where: str) -> None:
    """Security row 62: CR, LF, NUL and the other separators in any header text are refused, wherever they are."""
    evil = f"x{char}Bcc: eve@evil.example"
    changes: dict[str, dict[str, Any]] = {
        "to": {"to": Party(f"bob@example.com{char}", "")},
        "to_name": {"to": Party("bob@example.com", evil)},
        "from_name": {"from_": Party("billing@acme.example", evil)},
        "subject": {"subject": evil},
        "reply_to": {"reply_to": Party("a@b.example", evil)},
        "header": {"headers": (("X-Note", evil),)},
        "filename": {"attachments": (File(filename=evil, content_type="text/plain", content=b""),)},
    }

    with pytest.raises(Refused) as refused:
        built(**changes[where])

    assert "evil" not in str(refused.value)


def _poisoned(field: str, evil: str) -> dict[str, Any]:
    """Return a mail's changes with `evil` in one of the texts that become a header."""
    file = {"filename": "a.pdf", "content_type": "application/pdf", "content": b"x", "content_id": "c"}
    if field in file:
        return {"attachments": (File(**file | {field: evil}),), "html": "x"}
    whole: dict[str, Any] = {
        "from name": {"from_": Party("billing@acme.example", evil)},
        "from address": {"from_": Party(f"billing{evil}@acme.example")},
        "to name": {"to": Party("bob@example.com", evil)},
        "to address": {"to": Party(f"bob{evil}@example.com", "Bob")},
        "to domain": {"to": Party(f"bob@example{evil}.com", "Bob")},
        "reply-to name": {"reply_to": Party("a@b.example", evil)},
        "subject": {"subject": evil},
        "header name": {"headers": ((f"X-{evil}", "x"),)},
        "header value": {"headers": (("X-Note", evil),)},
        "unsubscribe": {"unsubscribe": f"https://acme.example/u/{evil}"},
        "id": {"id": evil},
    }
    found: dict[str, Any] = whole[field]
    return found


FIELDS = ("from name", "from address", "to name", "to address", "to domain", "reply-to name", "subject", "header name",
          "header value", "unsubscribe", "id", "filename", "content_type", "content_id")  # fmt: skip
EVIL = st.lists(
    st.one_of(
        st.sampled_from(["\r\nBcc: eve@evil.test", "\n\n", "\r", "\x00", "\u2028", "\x85", "\x0b", "=?utf-8?q?=0D=0ABcc:?=", ">", "<",
                         ", eve@evil.test", '"', "\\", ";", ":", " ", "x" * 90, "=_", "--", "\ud800"]),
        st.text(max_size=20),
    ),
    max_size=6,
).map("".join)  # fmt: skip


@settings(max_examples=400)
@example(field="to address", evil="\xa0")
@example(field="to name", evil=", eve@evil.test" + "x" * 120)
@given(field=st.sampled_from(FIELDS), evil=EVIL)
def test_no_text_adds_a_header_a_part_or_a_recipient(field: str, evil: str) -> None:
    """Security row 62, for every text that we write into a header: it is refused, or it arrives unchanged."""
    changes = _poisoned(field, evil)
    try:
        raw = built(**changes)
    except Refused:
        return

    found = message_from_bytes(raw)

    own = [name for name, _ in changes.get("headers", ())]
    own += ["Reply-To"] * ("reply_to" in changes) + ["List-Unsubscribe", "List-Unsubscribe-Post"] * (
        "unsubscribe" in changes
    )
    usual = {"From", "To", "Subject", "Date", "Message-ID", "X-Correlation-ID", "MIME-Version", "Content-Type"}
    names = [name for name in found if name != "Content-Transfer-Encoding"]
    assert sorted(names) == sorted([*usual, *own])
    # Unfolded first, as RFC 5322 has it: a quoted name may be folded in its midst.
    unfolded = [value.replace("\r\n", "") for name, value in found.raw_items() if name == "To"]
    to = [value.encode("ascii", "surrogateescape").decode() for value in unfolded]
    assert [address for _, address in getaddresses(to)] == [on_the_wire(changes.get("to", MAIL.to).address)]
    assert len(list(found.walk())) == (5 if "attachments" in changes else 1)


@pytest.mark.parametrize(
    "name",
    [
        "X:Y",
        "X Y",
        "X-Ünï",
        "",
        "Bcc",
        "BCC",
        "DKIM-Signature",
        "Return-Path",
        "Content-Type",
        "X-SES-TENANT",
        "X-SMTPAPI",
    ],
)
def test_headers_of_others_are_refused(name: str) -> None:
    """Security row 64: a caller sets no malformed names, no recipients, and no header that the provider acts upon."""
    with pytest.raises(Refused):
        built(headers=((name, "x"),))


@pytest.mark.parametrize(
    "address",
    [
        "bob",
        "bob@",
        "@example.com",
        "a@b@c",
        "bob@exa mple.com",
        "bob@example.com>",
        "a,b@example.com",
        "bob@-x.example",
    ],
)
def test_what_is_no_address_is_refused(address: str) -> None:
    """An address that a server reads differently becomes a second recipient."""
    with pytest.raises(Refused) as refused:
        built(to=Party(address))

    assert refused.value.facts == {"where": "to"}


def test_a_domain_goes_out_as_a_labels() -> None:
    """DNS and most servers know nothing but ASCII."""
    raw = built(to=Party("bob@bücher.example"))

    assert b"\r\nTo: bob@xn--bcher-kva.example\r\n" in raw


def test_a_local_part_in_utf8_stays_unencoded() -> None:
    """An encoded word in place of an address is no address (RFC 6532)."""
    raw = built(to=Party("zoë@example.com", "Zoë"))

    assert '\r\nTo: "Zoë" <zoë@example.com>\r\n'.encode() in raw


def test_one_click_unsubscribe_has_both_headers_unencoded() -> None:
    """RFC 8058: receivers look for the literal words, however long the link."""
    link = "https://mail.acme.example/u/" + "t" * 400

    raw = built(unsubscribe=link)

    assert f"<{link}>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n".encode() in raw


@pytest.mark.parametrize(
    "link", ["http://x.example/u", "https://x.example/a b", "https://x.example/>,<mailto:eve@x>", ""]
)
def test_a_link_that_is_no_https_url_is_refused(link: str) -> None:
    """RFC 8058 asks for https, and a bracket in it would open a second link."""
    with pytest.raises(Refused):
        built(unsubscribe=link)


def test_text_html_inline_and_attachment_are_in_their_multiparts() -> None:
    """A reader shows the last alternative it can, its images with it, and lists the rest."""
    logo = File(filename="logo.png", content_type="image/png", content=b"png", content_id="logo")
    bill = File(filename="Rechnung März.pdf", content_type="application/pdf", content=b"pdf" * 99)

    found = parse_email(built(html='<img src="cid:logo">', attachments=(logo, bill)))

    assert (found.text, found.html) == ("Hello Bob", '<img src="cid:logo">')
    assert [(file.original_name, file.inline, file.content_id, file.content) for file in found.attachments] == [
        ("logo.png", True, "logo", b"png"),
        ("Rechnung März.pdf", False, None, b"pdf" * 99),
    ]


@pytest.mark.parametrize(
    "name", ["a.pdf", 'a"b\\c.pdf', "ä.pdf", "é" * 250 + ".pdf", "x" * 250, "a;b=c.pdf", "日本語 文書.pdf"]
)
def test_a_file_name_arrives_unchanged(name: str) -> None:
    """Long names go in pieces (RFC 2231), each of whole characters."""
    file = File(filename=name, content_type="application/pdf", content=b"x")

    [found] = read(built(attachments=(file,))).iter_attachments()

    assert found.get_filename() == name


def test_a_forwarded_message_goes_as_bytes() -> None:
    """A message part in base64 is malformed (RFC 2046): readers would not find what is in it."""
    file = File(filename="mail.eml", content_type="message/rfc822", content=b"Subject: x\n\ny")

    [found] = read(built(attachments=(file,))).iter_attachments()

    assert (found.get_content_type(), found.get_content()) == ("application/octet-stream", b"Subject: x\n\ny")


@pytest.mark.parametrize("kind", ["text", "text/", "a/b; c", "a/b; c=d; c=e", "a/b;\r\n c=d", "a/b\r\nX: y", "é/x"])
def test_a_type_that_is_none_is_refused(kind: str) -> None:
    """A parameter or a line break in the type would be one in the header."""
    with pytest.raises(Refused):
        built(attachments=(File(filename="a", content_type=kind, content=b""),))


@pytest.mark.parametrize("content_id", ["a>b", "a b", "ä", "", "<a>"])
def test_a_content_id_that_is_none_is_refused(content_id: str) -> None:
    """It stands between angle brackets."""
    with pytest.raises(Refused):
        built(attachments=(File(filename="a", content_type="a/b", content=b"", content_id=content_id),))


def test_an_empty_mail_is_refused() -> None:
    """An empty mail is always a mistake of the caller."""
    with pytest.raises(Refused):
        built(text=None)
