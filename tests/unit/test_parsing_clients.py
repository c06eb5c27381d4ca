"""Mail as known programs write it, and what its reader expects to see."""

import base64

import pytest

from mailroom.domain.parsing import ParsedEmail, parse_email


def files(parsed: ParsedEmail) -> list[tuple[str, bool]]:
    return [(one.filename, one.inline) for one in parsed.attachments]


def parts(kind: bytes, *inside: bytes) -> bytes:
    body = b"".join(b"--=_b\n" + part + b"\n" for part in inside)
    return b"From: A <a@x.test>\nContent-Type: " + kind + b'; boundary="=_b"\n\n' + body + b"--=_b--\n"


OUTLOOK = parts(
    b"multipart/related; type=\"multipart/alternative\"",
    b"Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\nGr=FC=DFe",
    b"Content-Type: text/html\n\n<img src='cid:image001.png@01D5'>",
    b'Content-Type: image/png; name="image001.png"\nContent-ID: <image001.png@01D5>\n\n\x89PNG',
)  # fmt: skip
APPLE = parts(
    b"multipart/mixed",
    b"Content-Type: text/plain\n\nbefore",
    b"Content-Disposition: inline; filename*=utf-8''%C3%A9t%C3%A9.pdf\nContent-Type: application/pdf; x-unix-mode=0644\n\n%PDF",
    b"Content-Type: text/plain\n\nafter",
)
NOTES = parts(
    b"multipart/mixed",
    b"Content-type: text/plain; charset=ISO-8859-1\n\n(Embedded image moved to file: pic1.pcx)",
    b'Content-type: application/octet-stream; name="Bericht M=?ISO-8859-1?Q?=E4rz?=.doc"\n\nx',
)
KOREAN = (
    "From: 홍길동 <hong@ex.test>\nSubject: 견적서\nContent-Type: multipart/mixed; boundary=b\n\n--b\n"
    'Content-Type: text/html; charset=ks_c_5601-1987\n\n<p>본문</p>\n--b\nContent-Type: application/hwp; name="견적서.hwp"\n\nx\n--b--\n'
).encode("cp949")
SCANNER = b"To: scans@acme.test\nMIME-Version:1.0\nContent-Type:application/pdf;name=Scan.pdf\nContent-Transfer-Encoding:base64\n\nJVBERi0="
JOURNAL = parts(
    b"multipart/mixed",
    b"Content-Type: text/plain\n\nSender: a@x.test\nBcc: c@acme.test",
    b"Content-Type: message/rfc822\n\nSubject: Re: hello\n\ntext",
)
FILELINK = parts(
    b"multipart/mixed",
    b"Content-Type: text/html\n\n<div>see</div>",
    b'Content-Type: application/octet-stream; name="big.iso"\nX-Mozilla-Cloud-Part: cloudFile; url=https://x.test/1\n\n<html>',
)
MAILMAN = (
    b"Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n\n"
    + base64.encodebytes("Grüße".encode())
    + b"_______________________________________________\nlist mailing list\n"
)
EUDORA = b"Content-Type: text/plain; format=flowed\n\nOne line that \nflows.\nbegin 644 a.txt\n%:&5L;&\\\n`\nend\n"
DOCOMO = b"Content-Type: text/plain;charset=Shift_JIS\nContent-Transfer-Encoding: 8bit\n\n" + "こんにちは①".encode(
    "cp932"
)
GMAIL = parts(
    b"multipart/mixed",
    b"Content-Type: text/plain; charset=UTF-8; format=flowed; delsp=yes\nContent-Transfer-Encoding: base64\n\naGkgCnlvdQo=",
    b"Content-Type: text/calendar; method=REQUEST\n\nBEGIN:VCALENDAR\nMETHOD:REQUEST\nEND:VCALENDAR",
    b"Content-Type: application/ics; name=invite.ics\n\nBEGIN:VCALENDAR\nMETHOD:REQUEST\nEND:VCALENDAR",
)
QMAIL = b"From: MAILER-DAEMON@x.test\nSubject: failure notice\n\nHi. This is the qmail-send program.\n\n<a@y.test>:\nUser unknown"


@pytest.mark.parametrize(
    ("raw", "text", "html", "attached"),
    [
        (OUTLOOK, "Grüße", "<img src='cid:image001.png@01D5'>", [("image001.png", True)]),
        (APPLE, "before\nafter", None, [("été.pdf", False)]),
        (NOTES, "(Embedded image moved to file: pic1.pcx)", None, [("Bericht März.doc", False)]),
        (KOREAN, None, "<p>본문</p>", [("견적서.hwp", False)]),
        (SCANNER, None, None, [("Scan.pdf", False)]),
        (JOURNAL, "Sender: a@x.test\nBcc: c@acme.test", None, [("Re: hello.eml", False)]),
        (FILELINK, None, "<div>see</div>", [("big.iso", False)]),
        (MAILMAN, "Grüße", None, []),
        (EUDORA, "One line that flows.", None, [("a.txt", False)]),
        (DOCOMO, "こんにちは①", None, []),
        (GMAIL, "hiyou", None, [("attachment-1.ics", False), ("invite.ics", False)]),
        (QMAIL, "Hi. This is the qmail-send program.\n\n<a@y.test>:\nUser unknown", None, []),
    ],
    ids=[
        "Outlook", "Apple Mail", "Lotus Notes", "Korean 8-bit", "scanner", "Exchange journal", "Thunderbird FileLink", "Mailman",
        "Eudora", "DoCoMo", "Google Calendar", "qmail",
    ],
)  # fmt: skip
def test_mail_reads_as_its_reader_expects(
    raw: bytes, text: str | None, html: str | None, attached: list[tuple[str, bool]]
) -> None:
    """The text that was written, and the files that were attached, each once."""
    parsed = parse_email(raw)

    assert ((parsed.text or "").strip(), parsed.html, files(parsed)) == (text or "", html, attached)


@pytest.mark.parametrize(
    ("kind", "fields", "expected"),
    [
        (
            b"message/delivery-status",
            b"Reporting-MTA: dns; mx.x.test\n\nFinal-Recipient: rfc822;a@y.test\nAction: failed\nStatus: 5.1.1\n"
            b"Diagnostic-Code: smtp; 550-5.1.1 no such\n 550 5.1.1 user",
            ("delivery", {"action": "failed", "diagnostic-code": "smtp; 550-5.1.1 no such 550 5.1.1 user"}),
        ),
        (
            b"message/global-delivery-status",
            "Reporting-MTA: dns; mx\n\nFinal-Recipient: utf-8; jörg@bücher.test\nAction: failed".encode(),
            ("delivery", {"final-recipient": "utf-8; jörg@bücher.test"}),
        ),
    ],
)
def test_bounce_names_who_was_not_reached(kind: bytes, fields: bytes, expected: tuple[str, dict[str, str]]) -> None:
    """As Gmail, Exim and Exchange write it, and Postfix for addresses beyond ASCII."""
    raw = parts(
        b"multipart/report", b"Content-Type: text/plain\n\nnot delivered", b"Content-Type: " + kind + b"\n\n" + fields
    )

    (report,) = parse_email(raw).reports

    assert report.kind == expected[0]
    assert expected[1].items() <= report.items[0].items()


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (b"11/22/2026 09:15:00 PM", "2026-11-22T21:15:00+00:00"),
        (b"Sat, 3 Jul 99 12:01:02 EST5EDT", "1999-07-03T12:01:02-05:00"),
        (b"Sun, 22 Nov 2026 09:15:00 +0900 (JST)", "2026-11-22T09:15:00+09:00"),
        (b"11/12/2026 09:15:00", None),
    ],
)
def test_dates_of_old_programs_are_read(written: bytes, meant: str | None) -> None:
    """Notes and Eudora; a day that could be a month is not guessed at."""
    date = parse_email(b"Date: " + written + b"\n\nx").date

    assert (date.isoformat() if date else None) == meant
