"""Kinds of mail for programs as well as people: bounces, receipts, complaints, invitations, encrypted and certified mail."""

from typing import Any

from tests.support.mails.making import (
    DATE,
    PDF,
    Style,
    encoded,
    expect,
    file_part,
    kind,
    mail,
    multi,
    part,
    right,
    single,
    text_part,
    whole,
)

Made = tuple[bytes, dict[str, Any]]


@kind(6)
def delivery_report(s: Style) -> Made:
    """A bounce of Postfix, Exchange, Exim, Gmail, qmail-like and sendmail programs: text, report, the mail that bounced."""
    recipient = f"user{s.n}@there.example"
    status = (
        f"Reporting-MTA: dns; mx.example\r\n\r\nFinal-Recipient: rfc822;{recipient}\r\nAction: failed\r\nStatus: 5.1.1\r\n"
        f"Diagnostic-Code: smtp; 550 5.1.1\r\n no such user\r\n"
    ).encode()
    kinds = ("message/delivery-status", "message/delivery-status", "message/global-delivery-status")
    returned = (
        ("message/rfc822", b"Subject: sent\r\n\r\nbody"),
        ("text/rfc822-headers", b"Subject: sent\r\nTo: x@y.example\r\n"),
    )[s.n % 2]
    parts = [
        text_part(s),
        part([f"Content-Type: {kinds[s.n % 3]}"], status),
        part([f"Content-Type: {returned[0]}"], returned[1]),
    ]
    raw = whole(s, "report", *parts, more="; report-type=delivery-status")
    return raw, right(s, reports=["delivery"], complete=False)


@kind(5)
def read_receipt(s: Style) -> Made:
    """A read receipt (RFC 8098) of Outlook, Thunderbird and iOS."""
    mode = ("automatic-action/MDN-sent-automatically; displayed", "manual-action/MDN-sent-manually; deleted")[s.n % 2]
    fields = f"Reporting-UA: x\r\nFinal-Recipient: rfc822;a@x.example\r\nOriginal-Message-ID: <{s.n}@x>\r\nDisposition: {mode}\r\n".encode()
    raw = whole(
        s,
        "report",
        text_part(s),
        part(["Content-Type: message/disposition-notification"], fields),
        more="; report-type=disposition-notification",
    )
    return raw, right(s, reports=["disposition"], complete=False)


@kind(5)
def abuse_report(s: Style) -> Made:
    """A complaint in the format of feedback loops (RFC 5965)."""
    fields = f"Feedback-Type: abuse\r\nUser-Agent: x/{s.n}\r\nVersion: 1\r\n".encode()
    original = part(["Content-Type: message/rfc822", "Content-Disposition: inline"], b"Subject: spam\r\n\r\nbuy")
    raw = whole(
        s,
        "report",
        text_part(s),
        part(["Content-Type: message/feedback-report"], fields),
        original,
        more="; report-type=feedback-report",
    )
    return raw, right(s, reports=["abuse"], complete=False)


@kind(6)
def invitation(s: Style) -> Made:
    """An invitation as Google, Outlook, Exchange, Apple and Zimbra send it: in the alternatives, beside them, or alone."""
    calendar = "\r\n".join([
        "BEGIN:VCALENDAR", "METHOD:REQUEST", "BEGIN:VEVENT", f"SUMMARY:{s.subject}", "DTSTART:20261201T090000Z", "DTEND:20261201T100000Z",
        "LOCATION:Room 1", "ORGANIZER;CN=Ann:mailto:ann@x.example", f"UID:{s.n}@x", "END:VEVENT", "END:VCALENDAR", "",
    ]).encode()  # fmt: skip
    encoding = ("base64", "quoted-printable", "8bit")[s.n % 3]
    event = part(
        ["Content-Type: text/calendar; charset=utf-8; method=REQUEST", f"Content-Transfer-Encoding: {encoding}"],
        encoded(calendar, encoding),
    )
    if s.n < 3:
        raw = whole(s, "alternative", text_part(s), text_part(s, f"<p>{s.text}</p>", "html"), event)
    elif s.n < 5:
        raw = whole(s, "mixed", text_part(s), event)
    else:
        raw = single(s, event)
    meeting = {
        "summary": s.subject,
        "at": "2026-12-01T09:00:00+00:00",
        "location": "Room 1",
        "organiser": "Ann <ann@x.example>",
    }
    text = [s.text] if s.n < 5 else []
    return raw, right(s, text_contains=text, reports=["calendar"], complete=False, meeting=meeting)


@kind(6)
def thread_fields(s: Style) -> Made:
    """Where to answer, and what the mail answers: one or several, folded, with comments and names."""
    fields, reply_to, answered, before = (
        (["Reply-To: a@x.example", "In-Reply-To: <1@x>", "References: <0@x> <1@x>"], ["a@x.example"], ["1@x"], ["0@x", "1@x"]),
        (["Reply-To: Ann <a@x.example>, b@x.example", "References: <0@x>\r\n <1@x>\r\n\t<2@x>"], ["Ann <a@x.example>", "b@x.example"], [], ["0@x", "1@x", "2@x"]),
        (["reply-to: <a@x.example>", "in-reply-to: Your mail of Monday <1@x>"], ["a@x.example"], ["1@x"], []),
        (["Reply-To: =?utf-8?Q?J=C3=B6rg?= <a@x.example>", "In-Reply-To:\r\n <1@x>"], ["Jörg <a@x.example>"], ["1@x"], []),
        (["Reply-To:", "In-Reply-To: ", "References: <0@x><1@x>"], [], [], ["0@x", "1@x"]),
        (["X-A: 1"], [], [], []),
    )[s.n]  # fmt: skip
    wanted = {"reply_to": reply_to, "in_reply_to": answered, "references": before}
    head = text_part(s).partition(b"\r\n\r\n")
    return mail(s, [*fields, *head[0].decode().split("\r\n")], head[2]), right(s, thread=wanted)


@kind(5)
def pgp_mime(s: Style) -> Made:
    """PGP/MIME that is encrypted: named as such, its container can be downloaded."""
    armour = b"-----BEGIN PGP MESSAGE-----\r\n\r\nhQEMA0Y=\r\n=abcd\r\n-----END PGP MESSAGE-----\r\n"
    name = ("encrypted.asc", "msg.asc", "openpgp-encrypted-message.asc")[s.n % 3]
    version = part(
        ["Content-Type: application/pgp-encrypted", "Content-Description: PGP/MIME version identification"],
        b"Version: 1\r\n",
    )
    file = part(
        [f'Content-Type: application/octet-stream; name="{name}"', f'Content-Disposition: inline; filename="{name}"'],
        armour,
    )
    raw = whole(s, "encrypted", version, file, more='; protocol="application/pgp-encrypted"')
    return raw, right(
        s, text_contains=[], attachments=[{"filename": name}], complete=False, protection=["pgp_encrypted"]
    )


@kind(5)
def pgp_inline(s: Style) -> Made:
    """PGP in the text itself: the text stays as it is, and says so."""
    armour = "-----BEGIN PGP MESSAGE-----\r\n\r\nhQEMA0Y=\r\n=abcd\r\n-----END PGP MESSAGE-----\r\n"
    if s.n % 2:
        armour = f"-----BEGIN PGP SIGNED MESSAGE-----\r\nHash: SHA256\r\n\r\n{s.text}\r\n-----BEGIN PGP SIGNATURE-----\r\n\r\nx=\r\n-----END PGP SIGNATURE-----\r\n"
    wanted = "pgp_signed" if s.n % 2 else "pgp_encrypted"
    return single(s, text_part(s, armour)), right(s, text_contains=["-----BEGIN PGP"], protection=[wanted])


@kind(5)
def pgp_signed(s: Style) -> Made:
    """A mail with a detached PGP signature: its text, its file, the signature as a file."""
    signature = b"-----BEGIN PGP SIGNATURE-----\r\n\r\nx=\r\n-----END PGP SIGNATURE-----\r\n"
    file = part(
        [
            'Content-Type: application/pgp-signature; name="OpenPGP_signature.asc"',
            "Content-Description: OpenPGP digital signature",
        ],
        signature,
    )
    raw = whole(s, "signed", text_part(s), file, more='; micalg=pgp-sha256; protocol="application/pgp-signature"')
    return raw, right(s, attachments=[{"filename": "OpenPGP_signature.asc"}], protection=["pgp_signed"])


@kind(5)
def smime_encrypted(s: Style) -> Made:
    """S/MIME that is encrypted: named as such, its container can be downloaded."""
    enveloped = bytes.fromhex("3080060a2a864886f70d01070300"[:4]) + bytes.fromhex(
        "06092a864886f70d010703a0800000000000"
    )
    content_type = ("application/pkcs7-mime", "application/x-pkcs7-mime")[s.n % 2]
    fields = [
        f"Content-Type: {content_type}; smime-type=enveloped-data; name=smime.p7m",
        "Content-Transfer-Encoding: base64",
        "Content-Disposition: attachment; filename=smime.p7m",
    ]
    wanted = expect("smime.p7m", enveloped, content_type)
    return single(s, part(fields, encoded(enveloped, "base64"))), right(
        s, text_contains=[], attachments=[wanted], protection=["smime_encrypted"]
    )


@kind(5)
def mailing_list(s: Style) -> Made:
    """Mailing-list software adds a footer as a part, as text, or wraps the mail."""
    footer = part(
        ['Content-Type: text/plain; charset="us-ascii"', "MIME-Version: 1.0", "Content-Disposition: inline"],
        b"_____\r\nlist@lists.example",
    )
    name = f"{s.stem}.pdf"
    inside = [text_part(s), file_part(s, name, PDF, "application/pdf"), footer]
    fields, body = multi(s, "mixed", *inside)
    fields = [
        f"List-Id: <list.{s.n}.example>",
        "List-Post:\r\n <mailto:list@lists.example>",
        "Precedence: list",
        *fields,
    ]
    return mail(s, fields, body, subject=f"[list] {s.subject}"), right(
        s, subject=f"[list] {s.subject}", text_contains=[s.text, "list@lists.example"], attachments=[expect(name, PDF)]
    )


@kind(5)
def exchange_journal(s: Style) -> Made:
    """A journal report: an envelope as text, the mail as a forwarded one."""
    inner = f"From: a@x.example\r\nSubject: inner {s.n}\r\nDate: {DATE}\r\n\r\ntext".encode()
    report = part(
        ["Content-Type: text/plain"],
        b"Sender: a@x.example\r\nSubject: x\r\nMessage-Id: <1@x>\r\nRecipient: b@y.example\r\n",
    )
    raw = whole(s, "mixed", report, part(["Content-Type: message/rfc822"], inner))
    return raw, right(s, text_contains=["Recipient: b@y.example"], attachments=[{"filename": f"inner {s.n}.eml"}])


@kind(6)
def ticket_system(s: Style) -> Made:
    """Mail of ticket systems: HTML first, a text of blanks, a marker line, files between."""
    marker = "##- Please type your reply above this line -##"
    page = text_part(s, f"<div>{marker}</div><div>{s.text}</div>", "html")
    name = f"{s.stem}.pdf"
    file = file_part(s, name, PDF, "application/pdf")
    inside = ([page, file], [text_part(s, f"{marker}\r\n{s.text}"), page, file], [file, page])[s.n % 3]
    return whole(s, "mixed", *inside), right(
        s, text_contains=[], html_contains=[marker, s.text], attachments=[expect(name, PDF)]
    )
