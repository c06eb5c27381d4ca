"""Kinds of mail about header blocks: where they end, subjects, addresses and dates."""

from typing import Any

from tests.support.mails.making import (
    DATE,
    LANGUAGES,
    PDF,
    Style,
    encoded,
    expect,
    file_part,
    kind,
    part,
    right,
    single,
    text_part,
    whole,
    word,
)

Made = tuple[bytes, dict[str, Any]]
_RUBBISH = (
    b" ", b"\t \t", b"* 1.5 SUBJ_ALL_CAPS subject in capitals", b"X Spam Report", b">From sender@supplier.example Tue Nov 25 10:00:00 2025",
    b"a line without a colon\r\n  that goes on", b"=====", b"\x00", b": no name",
)  # fmt: skip


def _after(raw: bytes, field: bytes, line: bytes) -> bytes:
    """Return a mail with a line put behind the field that begins with `field`."""
    eol = b"\r\n" if b"\r\n" in raw else b"\n"
    lines = raw.split(eol)
    at = next(number for number, one in enumerate(lines) if one.lower().startswith(field.lower()))
    at = next(number for number in range(at + 1, len(lines)) if lines[number][:1] not in (b" ", b"\t"))
    return eol.join([*lines[:at], *line.split(b"\r\n"), *lines[at:]])


@kind(9)
def line_among_fields(s: Style) -> Made:
    """A line of blanks, or one that is no field, does not end the header block while fields follow."""
    name = f"{s.stem}.pdf"
    raw = whole(s, "mixed", text_part(s), file_part(s, name, PDF, "application/pdf"))
    raw = _after(raw, b"Received:", _RUBBISH[s.n])
    return raw, right(s, attachments=[expect(name, PDF, "application/pdf")])


@kind(9)
def line_among_fields_of_part(s: Style) -> Made:
    """The same in a part: its file keeps its name, its type and its bytes."""
    file = part(
        ["X-First: 1", "Content-Type: application/pdf; name=a.pdf", "Content-Disposition: attachment; filename=a.pdf", "Content-Transfer-Encoding: base64"],
        encoded(PDF, "base64"),
    )  # fmt: skip
    raw = whole(s, "mixed", text_part(s), _after(file, (b"X-First", b"Content-Disposition")[s.n % 2], _RUBBISH[s.n]))
    return raw, right(s, attachments=[expect("a.pdf", PDF, "application/pdf")])


@kind(5)
def blank_line_in_field(s: Style) -> Made:
    """White space inside a folded field is folding (RFC 5322 4.2): spam reports, long lists of references."""
    field = (
        b"X-Spam-Report:\r\n \r\n\t* 0.0 HTML in message\r\n \r\n\t* 1.0 more", b"References: <a@x>\r\n\t\r\n <b@x>", b"X-Long: one\r\n    \r\n two",
        b"Received: from a\r\n \t\r\n\tby b; " + DATE.encode(), b"X-Empty:\r\n \r\n \r\n end",
    )[s.n]  # fmt: skip
    return _after(single(s, text_part(s)), b"Received:", field), right(s, sound=True)


@kind(5)
def long_field_name(s: Style) -> Made:
    """A name of hundreds of letters is the name of a field."""
    return _after(
        single(s, text_part(s)), b"Received:", b"X-" + b"Long-" * (15, 40, 60, 100, 180)[s.n] + b"Name: 1"
    ), right(s)


@kind(7)
def before_the_first_field(s: Style) -> Made:
    """mbox lines, empty lines, a byte order mark and blanks before the first field are no text."""
    before = (
        b"From sender@supplier.example Tue Nov 25 10:00:00 2025\r\n",
        b"\r\n\r\n",
        b"\xef\xbb\xbf",
        b" ",
        b">From x@y.example Tue Nov 25 10:00:00 2025\r\n",
        b"\xef\xbb\xbf\r\n",
        b"\t",
    )[s.n]
    raw = single(s, text_part(s))
    return before + (raw.replace(b"\r\n", b"\n") if s.n == 1 and s.encoding != "8bit" else raw), right(s)


@kind(5)
def ends_of_lines(s: Style) -> Made:
    """CR, LF, CRLF, CR CR LF, and a mix of them."""
    name = "a.pdf"
    raw = whole(
        s,
        "mixed",
        part(
            [f"Content-Type: text/plain; charset={s.charset}", "Content-Transfer-Encoding: base64"],
            encoded(s.text.encode(s.charset), "base64"),
        ),
        file_part(s, name, PDF, "application/pdf"),
    )
    raw = raw.replace(b"\r\n", b"\n")
    head, _, body = raw.partition(b"\n\n")
    raw = (
        raw,
        raw.replace(b"\n", b"\r\n"),
        raw.replace(b"\n", b"\r"),
        raw.replace(b"\n", b"\r\r\n"),
        head.replace(b"\n", b"\r\n") + b"\n\n" + body,
    )[s.n]
    return raw, right(s, attachments=[expect(name, PDF, "application/pdf")])


@kind(5)
def no_header_at_all(s: Style) -> Made:
    """A mail without any field is a text; one of fields alone has none."""
    if s.n % 2:
        return f"From: {word(s.person, 'utf-8')} <a@x.example>\r\nSubject: only fields".encode(), {
            "subject": "only fields",
            "text_is": "",
            "count": 0,
        }
    return s.text.encode(), {"text_contains": [s.text], "subject": None}


@kind(13)
def subject_in_each_language(s: Style) -> Made:
    """Subjects as programs cut them: by letters, by bytes, in several charsets, with text around."""
    language = list(LANGUAGES)[s.n]
    subject, charset = LANGUAGES[language][0], LANGUAGES[language][4].split()[-1]
    half = len(subject) // 2
    data = subject.encode()
    written = (
        word(subject, charset), f"{word(subject[:half], 'utf-8', 'q')}\r\n {word(subject[half:], charset)}", f"Re: {word(subject, 'utf-8')}",
        "".join(f"=?UTF-8?Q?{''.join(f'={byte:02x}' for byte in data[at : at + 7])}?=\r\n\t" for at in range(0, len(data), 7)).strip(),
        word(subject, "utf-8") + word(subject, charset, "q"),
    )[s.n % 5]  # fmt: skip
    meant = (subject, subject, f"Re: {subject}", subject, subject * 2)[s.n % 5]
    return f"Subject: {written}\r\n\r\nx".encode(), {"subject": meant}


@kind(16)
def encoded_word_damage(s: Style) -> Made:
    """Encoded words as programs damage them: blanks, missing marks, wrong case, quotes, languages, folding inside."""
    written, meant = (
        ("=?utf-8?q?Gr=c3=bc=c3=9fe?=", "Grüße"), ("=?UTF-8?B?R3LDvMOfZQ?=", "Grüße"), ("=?utf-8?Q?Gr=C3=BC=C3=9Fe aus K=C3=B6ln?=", "Grüße aus Köln"),
        ("=?utf-8?Q?Gr=C3=BC=C3=9F?=e", "Grüße"), ("a=?utf-8?Q?=C3=BC?=b", "aüb"), ('"=?utf-8?Q?=C3=BC?="', '"ü"'), ("=?UTF-8*EN?Q?=C3=BC?=", "ü"),
        ("=?utf-8?Q?a_b=5Fc?=", "a b_c"), ("=?utf-8?Q?=C3=BC?= =?utf-8?Q?_=C3=BC?=", "ü ü"), ("=?utf-8?Q??= x", "x"), ("=?iso-8859-1?Q?=A4?=", "¤"),
        ("=?utf-8?B?R3LDvMOf\r\n ZQ==?=", "Grüße"), ("=?utf8?Q?=C3=BC?=", "ü"), ("=?Windows-1252?Q?=80_100?=", "€ 100"), ("=?utf-8?Q?100=?=", "100="),
        ("=?utf-8?B?8J+YgA==?= =?utf-8?B?8J+YgQ==?=", "😀😁"),
    )[s.n]  # fmt: skip
    return f"Subject: {written}\r\nFrom: a@x.example\r\n\r\nx".encode(), {"subject": meant}


@kind(20)
def addresses(s: Style) -> Made:
    """Recipients as programs and people write them (RFC 5322 3.4 and 4.4)."""
    a, b = {"email": "a@x.example"}, {"email": "b@y.example"}
    written, meant = (
        ('"a b"@x.example, <"c,d"@x.example>', [{"email": '"a b"@x.example'}, {"email": '"c,d"@x.example'}]), ("a@x.example,b@y.example,", [a, b]),
        ('"Doe, Jane" <a@x.example>', [{"name": "Doe, Jane", **a}]), ("Doe, Jane <a@x.example>", [{"name": "Doe"}, {"name": "Jane", **a}]),
        ("a@x.example (Jane (J) Doe)", [{"name": "Jane (J) Doe", **a}]), ("<a@x.example>; B <b@y.example>", [a, {"name": "B", **b}]),
        ("Team: a@x.example, b@y.example;", [a, b]), ("=?utf-8?Q?M=C3=BCller=2C_J?= <a@x.example>", [{"name": "Müller, J", **a}]),
        ('"=?utf-8?Q?M=C3=BCller?=" <a@x.example>', [{"name": "Müller", **a}]), ("'Jane' <a@x.example>", [{"name": "'Jane'", **a}]),
        ('"Jane \\"JD\\" Doe" <a@x.example>', [{"name": 'Jane "JD" Doe', **a}]), ("<mailto:a@x.example>", [{"email": "mailto:a@x.example"}]),
        ("Jane<a@x.example>", [{"name": "Jane", **a}]), ("Jane  Doe\r\n\t<a@x.example>", [{"name": "Jane Doe", **a}]), ("<a@x.example", [a]),
        ("ä@bücher.example", [{"email": "ä@bücher.example"}]), ("Jane [Sales] <a@x.example>", [{"name": "Jane [Sales]", **a}]),
        ("<@relay.example,@two.example:a@x.example>", [a]), ('"a.b"@x.example', [{"email": '"a.b"@x.example'}]), ("J. R. Doe <a@x.example>", [{"name": "J. R. Doe", **a}]),
    )[s.n]  # fmt: skip
    if s.n == 11:
        meant = [a]
    return f"To: {written}\r\nCc: {written}\r\nSubject: x\r\n\r\nx".encode(), {"to": meant, "cc": meant}


@kind(6)
def blanks_in_a_quoted_local_part(s: Style) -> Made:
    """A quoted local part keeps its blanks, its commas and its signs, in brackets and without."""
    local = ('"test test"', '"a  b"', '"a,b"', '"a@b"', '"a<b>c"', '" lead"')[s.n]
    address = f"{local}@domain.example"
    written = (f"Test <{address}>", f"<{address}>", address)[s.n % 3]
    wanted = [{"email": address}] if s.n % 3 else [{"name": "Test", "email": address}]
    return f"From: x@x.example\r\nTo: {written}\r\n\r\nx".encode(), {"to": wanted}


@kind(6)
def two_senders(s: Style) -> Made:
    """Two addresses in From are a defect, however they are written."""
    written = (
        "Bank <attacker@evil.example>:<ceo@bank.example>", "<ceo@bank.example><attacker@evil.example>", '"ceo@bank.example" <attacker@evil.example>',
        "a@x.example, b@y.example", "ceo@bank.example <attacker@evil.example>", "a@x.example\r\nFrom: b@y.example",
    )[s.n]  # fmt: skip
    return f"From: {written}\r\nSubject: x\r\n\r\nx".encode(), {"defects": ["sender_ambiguous"], "subject": "x"}


@kind(5)
def no_sender(s: Style) -> Made:
    """A mail without a usable From is read; the sender is not invented from its other fields."""
    field = ("From: ", "From:  \r\n ", "X-Nothing: 1", "From: <>", "From: ,")[s.n]
    return f"{field}\r\nTo: in@mail.example\r\nSubject: x\r\n\r\ny".encode(), {
        "from": [],
        "to": [{"email": "in@mail.example"}],
        "text_contains": ["y"],
    }


@kind(36)
def dates(s: Style) -> Made:
    """Dates as people's programs write them, in their languages."""
    written, meant = (
        ("Tue, 25 Nov 2025 24:00:00 +0100", "2025-11-26T00:00:00+01:00"), ("mar., 25 nov. 2025 10:00:00 +0100", MEANT), ("Di, 25 Nov 2025 10:00:00 +0100", MEANT),
        ("mardi 25 novembre 2025 10:00:00 +0100", MEANT), ("25.11.2025 10:00:00 +0100", MEANT), ("Dienstag, 25. November 2025 10:00 +0100", MEANT),
        ("25 déc. 2025 10:00:00 +0100", "2025-12-25T10:00:00+01:00"), ("25 décembre 2025 10:00:00 +0100", "2025-12-25T10:00:00+01:00"),
        ("25 août 2025 10:00:00 +0200", "2025-08-25T10:00:00+02:00"), ("Mo, 3 März 2025 10:00:00 +0100", "2025-03-03T10:00:00+01:00"),
        ("25 juin 2025 10:00:00 +0200", "2025-06-25T10:00:00+02:00"), ("25 juil. 2025 10:00:00 +0200", "2025-07-25T10:00:00+02:00"),
        ("25 févr. 2025 10:00:00 +0100", "2025-02-25T10:00:00+01:00"), ("Di, 7 Okt 2025 10:00:00 +0200", "2025-10-07T10:00:00+02:00"),
        ("25 Dezember 2025 10:00:00 +0100", "2025-12-25T10:00:00+01:00"), ("Tue, 25 Nov 2025 10:00:00 CET", MEANT), ("Tue, 25 Nov 2025 10:00 +0100", MEANT),
        ("25 Nov 25 10:00:00 +0100", MEANT), ("Tue, 25-Nov-2025 10:00:00 +0100", MEANT), ("2025-11-25 10:00:00 +0100", MEANT), ("2025-11-25T10:00:00.000+01:00", MEANT),
        ("Tue Nov 25 10:00:00 2025 +0100", MEANT), ("Tue,25 Nov 2025 10:00:00 +0100", MEANT), ("Tue, 25 Nov 2025 10:00:00 +0100 (CET)", MEANT),
        ("Tue, 25 Nov 2025 09:00:00 GMT", MEANT), ("Tue, 25 Nov 2025 09:00:00 -0000", MEANT), ("Tuesday, November 25, 2025 10:00:00 AM +0100", MEANT),
        ("25 Nov 2025 10.00.00 +0100", MEANT), ("Tue, 25 Nov 2025 10:00:60 +0100", None), ("mié, 25 nov 2025 10:00:00 +0100", MEANT),
        ("25 stycznia 2025 10:00:00 +0100", None), ("Wed, 31 Feb 2025 10:00:00 +0100", None), ("Tue, 25 Nov 2025 25:00:00 +0100", None), ("not a date", None),
        ("25/11/2025 10:00:00 +0100", MEANT), ("Tue, 25 Nov 2025 24:00:01 +0100", None),
    )[s.n]  # fmt: skip
    wanted: dict[str, Any] = {"date": meant}
    if written == "Tue, 25 Nov 2025 10:00:60 +0100":
        wanted = {"date": "2025-11-25T10:00:59+01:00"}
    return f"Date: {written}\r\nSubject: x\r\n\r\nx".encode(), wanted | (
        {"defects": ["date_unreadable"]} if wanted["date"] is None else {}
    )


MEANT = "2025-11-25T10:00:00+01:00"


@kind(5)
def date_of_great_length(s: Style) -> Made:
    """A date with a comment of any length, or folded, is that date (zammad 4584)."""
    written = (
        DATE + " (" + "x" * 150 + ")",
        DATE + " " * 200,
        DATE.replace(" ", "\r\n "),
        "(" + "y" * 40 + ") " + DATE,
        DATE + "; " + "z" * 300,
    )[s.n]
    return f"Date: {written}\r\nSubject: x\r\n\r\nx".encode(), {"date": MEANT}


@kind(7)
def message_ids(s: Style) -> Made:
    """Message-IDs as programs write them; none is invented."""
    written, meant = (
        ("<a@x>", "a@x"), ("a@x", "a@x"), ("<a b@x>", "ab@x"), ("<a@x> (comment)", "a@x"), ("", None), ("<>", "<>"), ("\r\n <a@x.example>", "a@x.example"),
    )[s.n]  # fmt: skip
    return f"Message-ID: {written}\r\nSubject: x\r\n\r\nx".encode(), {"message_id": meant} if written != "<>" else {
        "subject": "x"
    }


@kind(5)
def field_names_in_any_case(s: Style) -> Made:
    """SUBJECT, subject, a blank before the colon: one field."""
    change = (str.upper, str.lower, str.title, lambda one: one + " ", lambda one: one + "\t")[s.n]
    raw = "\r\n".join(
        [
            f"{change('Subject')}: s",
            f"{change('From')}: a@x.example",
            f"{change('Content-Type')}: text/html",
            "",
            "<p>x</p>",
        ]
    )
    return raw.encode(), {"subject": "s", "from": [{"email": "a@x.example"}], "html_contains": ["<p>x</p>"]}
