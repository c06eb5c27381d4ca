"""Parts of mails that are legitimate and were refused: read receipts, long links, media types, invitations; and blank mails."""

from datetime import timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from email.utils import getaddresses
from typing import Any, cast

import pytest
from pydantic import ValidationError

from mailroom.domain.mail.mime import mime, tagged_headers
from mailroom.domain.outbound.content_rules import mailboxes
from mailroom.domain.outbound.media_types import media_type, parameter
from mailroom.domain.outbound.message import Outgoing
from mailroom.outbound.batch_body import NewBatch
from mailroom.outbound.blank_mails import is_blank
from mailroom.outbound.preparing import EMPTY
from mailroom.testing.archive import MemoryArchive
from tests.support.requests_to_send import NOW, made, prepared

RECEIPT = "Disposition-Notification-To"
ICS = b"BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nEND:VCALENDAR\r\n"
INVITE = ("invite.ics", "text/calendar; method=REQUEST; charset=utf-8", None, ICS)


def mail_of(**changes: Any) -> Outgoing:
    archive = MemoryArchive()
    accepted = prepared(changes, archive)
    assert accepted.faults == []
    mail = made(accepted, archive)
    assert isinstance(mail, Outgoing), mail
    return mail


def received(**changes: Any) -> tuple[bytes, EmailMessage]:
    raw = mime(mail_of(**changes), message_id="1@acme.test", date=NOW)
    return raw, cast(EmailMessage, message_from_bytes(raw, policy=default))


def faults(**changes: Any) -> list[tuple[Any, str]]:
    return [(fault.where, fault.what) for fault in prepared(changes, MemoryArchive()).faults]


@pytest.mark.parametrize(
    ("written", "arrives"),
    [
        ("desk@mailroom.test", [("", "desk@mailroom.test")]),
        ("Desk <desk@acme.test>", [("Desk", "desk@acme.test")]),
        ('"Müller, Zoë" <z@acme.test>', [("Müller, Zoë", "z@acme.test")]),
        ("a@acme.test, B <b@bücher.test>", [("", "a@acme.test"), ("B", "b@xn--bcher-kva.test")]),
        (f"{'é' * 200} <z@acme.test>", [("é" * 200, "z@acme.test")]),
        ('"=?utf-8?q?x?=" <z@acme.test>', [("=?utf-8?q?x?=", "z@acme.test")]),
    ],
)
def test_a_read_receipt_is_asked_for_and_its_address_arrives(written: str, arrives: list[tuple[str, str]]) -> None:
    """An office wants to know that its notice was read; an address within an encoded word is one that nobody answers to."""
    raw, found = received(headers={RECEIPT: written})
    [line] = [str(value) for name, value in found.raw_items() if name == RECEIPT]

    assert [address for _, address in getaddresses([line.replace("\r\n", "")])] == [address for _, address in arrives]
    assert [(one.name, one.address) for one in mailboxes(written)] == arrives
    assert found[RECEIPT].isascii() or "z@acme.test" in found[RECEIPT]
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    assert dict(tagged_headers(mail_of(headers={RECEIPT: written})))[RECEIPT].isascii()


@pytest.mark.parametrize(
    "written",
    ["", "not an address", "a@acme.test; b@acme.test", "a@acme.test,", "a@acme.test\r\nBcc: e@evil.test", "zoë@acme.test",
     ", ".join(["a@acme.test"] * 11)],
)  # fmt: skip
def test_a_read_receipt_to_no_address_is_refused_with_its_place(written: str) -> None:
    """Nobody would ever get it, and nobody would know why."""
    [(where, _)] = faults(headers={RECEIPT: written})

    assert where == ("messages", 0, "headers", 0)


@pytest.mark.parametrize("length", [900, 901, 978, 1_500, 2_000])
def test_a_long_unsubscribe_link_arrives_in_lines_that_servers_take(length: int) -> None:
    """A line has 998 characters; RFC 2369 section 2 has receivers ignore white space within the angle brackets."""
    link = "https://acme.test/u?t=".ljust(length, "a")

    raw, found = received(unsubscribe=link)

    assert "".join(found["List-Unsubscribe"].split()) == f"<{link}>"
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    # As few breaks as there can be: not every receiver reads the RFC.
    assert len(found["List-Unsubscribe"].split()) == -(-length // 900)


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("text/calendar; method=REQUEST; charset=utf-8", "text/calendar; method=REQUEST; charset=utf-8"),
        (' Text/Calendar ;METHOD=reply;Charset="UTF-8"; ', 'text/calendar; method=reply; charset="UTF-8"'),
        ('application/pdf; name="in;voice \\"7\\".pdf"', 'application/pdf; name="in;voice \\"7\\".pdf"'),
        ("text/plain;format=flowed;delsp=yes", "text/plain; format=flowed; delsp=yes"),
        ("application/pdf", "application/pdf"),
        ("a/b; name*=utf-8''%C3%A9", "a/b; name*=utf-8''%C3%A9"),
    ],
)
def test_a_media_type_keeps_its_parameters(written: str, kept: str) -> None:
    """What the sender's own program writes; values keep their case, for `REQUEST` is not `request` to every calendar."""
    [content] = prepared({"files": [("a.bin", written, None, b"x")]}, MemoryArchive()).contents

    assert content.enclosures[0].content_type == kept == media_type(kept, "a.bin")
    assert received(files=[("a.bin", written, None, b"x")])


@pytest.mark.parametrize(
    "written",
    ["text/plain; charset", "text/plain; charset=", "text/plain; charset=a b", 'text/plain; name="é"', 'a/b; c="d', "a/b;;c=d",
     "a/b; c=d; C=e", "a/b; c=d\r\nX: y", "a/b;\r\n c=d", "a/b; c=" + "d" * 500, 'a/b; name="=?utf-8?q?x?="', "; charset=utf-8",
     "multipart/mixed; boundary=x", "a/b" + "".join(f"; p{at}=x" for at in range(11))],
)  # fmt: skip
def test_a_media_type_that_is_none_is_refused_with_its_place(written: str) -> None:
    """Nothing breaks out of the header, and nothing is guessed."""
    [(where, what)] = faults(files=[("a.bin", written, None, b"x")])

    assert where == ("messages", 0, "attachments", 0)
    assert "media type" in what


def test_an_invitation_is_the_last_form_of_the_text_and_keeps_its_method() -> None:
    """Calendars offer `accept` for that; an attachment that is called invitation is a file to be saved."""
    other = ("other.ics", "text/calendar; method=PUBLISH", None, b"BEGIN:VCALENDAR")
    plain = ("plain.ics", "text/calendar", None, b"BEGIN:VCALENDAR")

    _, found = received(html="<p>Hello", files=[plain, INVITE, other])

    assert found.get_content_type() == "multipart/mixed"
    alternative, *attached = found.iter_parts()
    forms = list(cast(EmailMessage, alternative).iter_parts())
    assert [part.get_content_type() for part in forms] == ["text/plain", "text/html", "text/calendar"]
    assert (forms[-1].get_param("method"), forms[-1].get_param("charset")) == ("REQUEST", "utf-8")
    assert (forms[-1].get_filename(), forms[-1].get_payload(decode=True)) == ("invite.ics", ICS)
    assert [part.get_filename() for part in attached] == ["plain.ics", "other.ics"]


def test_an_invitation_alone_needs_no_envelope_for_other_files() -> None:
    """A text and a meeting: nothing else is in the mail."""
    _, found = received(files=[INVITE])

    assert [part.get_content_type() for part in found.walk()] == [
        "multipart/alternative",
        "text/plain",
        "text/calendar",
    ]
    assert parameter(INVITE[1], "method") == "REQUEST"
    assert parameter('a/b; c="x \\"y\\""', "c") == 'x "y"'


BLANK = [
    ("", None), (" \n\t", None), ("\u200b\ufeff\xa0\u00ad", None), (None, ""), (None, "<p>&nbsp;</p><br>"),
    (None, "<html><head><title>x</title><style>p{background:red}</style></head><body> </body></html>"),
    ("", "<!-- nothing --><div>\u200b</div>"), ("\u2028", "<p></p>"), (None, "<script>alert(1)</script>"),
]  # fmt: skip
SEEN = [
    ("x", None), ("…", None), ("👍", None), ("+", ""), (None, "<img src='cid:logo'>"), ("", "<p>Hi"),
    (None, "<td style='background:url(x)'></td>"), (None, "&hellip;"), (None, "<p>x</p><!-- end -->"), (None, "<hr>"),
    (None, "<style>p{}</style><p>&euro;</p>"), (None, "日本"),
]  # fmt: skip


@pytest.mark.parametrize(("written", "html"), BLANK)
def test_a_mail_in_which_nothing_is_seen_is_refused_with_its_place(written: str | None, html: str | None) -> None:
    """Thousands of empty mails are a template's mistake; with a file the mail is its file."""
    assert is_blank(written, html)
    place = "html" if written is None else "text"
    assert faults(text=written, html=html) == [(("messages", 0, place), EMPTY)]
    assert faults(text=written, html=html, files=[("a.pdf", None, None, b"x")]) == []


@pytest.mark.parametrize(("written", "html"), SEEN)
def test_a_mail_in_which_anything_is_seen_is_accepted(written: str | None, html: str | None) -> None:
    """A picture, a sign, a word in any alphabet."""
    assert not is_blank(written, html)
    assert faults(text=written, html=html) == []


def test_data_that_leaves_a_template_blank_is_a_fault_of_its_recipient() -> None:
    """The template is right, and one row of the list has no text."""
    said = {"subject": "x", "text": "{{ body }}"}

    assert [where for where, _ in faults(**said, data={"body": " "})] == [("messages", 0)]
    assert faults(**said, data={"body": "Hello"}) == []


def test_blankness_of_hostile_html_is_found_in_time() -> None:
    """Each of these is some hundred kilobytes of what regular expressions and parsers are slow at."""
    for piece in ("<!--", "<p>", "&nbsp;", "<style>", " " * 50, "<a href='"):
        is_blank(None, piece * 30_000)


def body(**changes: Any) -> dict[str, Any]:
    return {"from": "desk@acme.test", "messages": [{"to": "a@b.test", "subject": "s", "text": "t"}]} | changes


@pytest.mark.parametrize(("written", "span"), [("90s", 90), ("15m", 900), ("2h", 7_200), ("3d", 259_200), ("0s", 0)])
def test_a_relative_time_counts_from_when_the_batch_is_accepted(written: str, span: int) -> None:
    """The body has what was typed, so that the same body again is the same batch."""
    request = NewBatch.model_validate(body(send_in=written)).request("")

    assert request.sends_at(NOW) == NOW + timedelta(seconds=span)
    assert NewBatch.model_validate(body()).request("").sends_at(NOW) is None


@pytest.mark.parametrize(
    "changes",
    [{"send_in": "2 h"}, {"send_in": "-2h"}, {"send_in": "2w"}, {"send_in": 7200}, {"send_in": "9" * 8 + "d"},
     {"send_in": "٣h"}, {"send_in": "2h", "send_at": "2026-11-23T08:00:00Z"}],
)  # fmt: skip
def test_a_relative_time_of_another_form_is_refused(changes: dict[str, Any]) -> None:
    """Or it would be sent at a time that nobody meant."""
    with pytest.raises(ValidationError):
        NewBatch.model_validate(body(**changes))
