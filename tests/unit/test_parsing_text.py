"""How `parse_email` reads subjects, addresses, dates, and texts in their charsets."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from mailroom.domain.parsing import parse_email


def lines(*rows: str) -> bytes:
    return "\r\n".join(rows).encode()


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("=?utf-8?B?R3LDvMOfZQ==?=", "Grüße"),
        ("=?ISO-8859-1?Q?Caf=E9_au_lait?=", "Café au lait"),
        ("Re: =?utf-8?Q?a?= =?utf-8?Q?b?= c", "Re: ab c"),
        ("=?utf-8?B?w?= =?utf-8?B?w7w=?=", "ü"),
        ("=?utf-8?Q?=C3?= =?utf-8?Q?=BC?=", "ü"),
        ("=?utf-8*de?Q?=C3=BC?=", "ü"),
        ("=?windows-1251?B?z/Do4uXy?=", "Привет"),
        ("=?iso-2022-jp?B?GyRCRnxLXDhsGyhC?=", "日本語"),
        ("=?no-such-charset?Q?caf=C3=A9?=", "café"),
        ("=?utf-8?Q?never closed", "=?utf-8?Q?never closed"),
        ("=?utf-8?Q?broken =?utf-8?Q?whole?=", "=?utf-8?Q?broken whole"),
        ("one\r\n two\r\n\tthree", "one two three"),
    ],
)
def test_subject_is_decoded(written: str, read: str) -> None:
    """RFC 2047, and what mailers make of it."""
    assert parse_email(lines(f"Subject: {written}", "", "x")).subject == read


@pytest.mark.parametrize(
    ("written", "declared", "read"),
    [
        ("Grüße".encode(), "iso-8859-1", "Grüße"),
        ("Привет".encode("koi8-r"), "koi8-r", "Привет"),
        ("Grüße".encode("latin-1"), "us-ascii", "Grüße"),
    ],
)
def test_undeclared_bytes_in_a_header_are_read(written: bytes, declared: str, read: str) -> None:
    """UTF-8 is recognised by its form; otherwise the body's charset is the best guess."""
    raw = b"Subject: " + written + f"\r\nContent-Type: text/plain; charset={declared}\r\n\r\nx".encode()

    assert parse_email(raw).subject == read


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("a@x.org, B <b@x.org>", ("a@x.org", "B <b@x.org>")),
        ('"Doe, John" <j@x.org>', ('"Doe, John" <j@x.org>',)),
        ("j@x.org (John Doe)", ("John Doe <j@x.org>",)),
        ("=?utf-8?Q?J=C3=B6rg?= <j@x.org>", ("Jörg <j@x.org>",)),
        ("=?utf-8?Q?Doe=2C_John?= <j@x.org>", ('"Doe, John" <j@x.org>',)),
        ("=?utf-8?Q?=22evil=40x.org=22_?= <j@x.org>", ('"\\"evil@x.org\\"" <j@x.org>',)),
        ("undisclosed-recipients:;", ()),
        ("Team: a@x.org, B <b@x.org>; c@x.org", ("a@x.org", "B <b@x.org>", "c@x.org")),
        ('"john doe"@x.org', ('"john doe"@x.org',)),
        ("<@relay.org:a@x.org>", ("a@x.org",)),
        ("a@x.org; b@x.org", ("a@x.org", "b@x.org")),
        ("Pete(A \\) chap) <pete(his account)@silly.test(his host)>", ("Pete <pete@silly.test>",)),
        ("jdoe@test   . example, a @ x.org", ("jdoe@test.example", "a@x.org")),
        ("Open (comment <a@x.org>", ('"Open (comment" <a@x.org>',)),
    ],
)
def test_addresses_are_read(written: str, read: tuple[str, ...]) -> None:
    """RFC 5322 mailboxes and groups, and the usual slips; a name that could be taken for an address is quoted."""
    assert parse_email(lines(f"To: {written}", "", "x")).to == read


def test_second_sender_is_pointed_out() -> None:
    """A mail with two From headers shows one to the filter and the other to the reader."""
    parsed = parse_email(lines("From: boss@example.org", "From: thief@example.net", "", "x"))

    assert parsed.from_ == "boss@example.org"
    assert parsed.defects == ("sender_ambiguous",)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("Tue, 3 Mar 2026 10:00:00 +0100", datetime(2026, 3, 3, 10, tzinfo=timezone(timedelta(hours=1)))),
        ("3 Mar 26 10:00 EST", datetime(2026, 3, 3, 15, tzinfo=UTC)),
        ("Tue, 3 Mar 2026 10:00:00 GMT+0200", datetime(2026, 3, 3, 8, tzinfo=UTC)),
        ("Tue, 3 Mar 2026 19:00:00 JST", datetime(2026, 3, 3, 10, tzinfo=UTC)),
        ("Tue Mar  3 10:00:00 2026", datetime(2026, 3, 3, 10, tzinfo=UTC)),
        ("Tue, (c) 3 (c) Mar 2026 10:00:00 +0000", datetime(2026, 3, 3, 10, tzinfo=UTC)),
        ("Di, 3 Mrz 2026 10:00:00 +0000", datetime(2026, 3, 3, 10, tzinfo=UTC)),
        ("2026-03-03T10:00:00Z", datetime(2026, 3, 3, 10, tzinfo=UTC)),
        ("Tue, 3 Mar 2026 10:00:00", datetime(2026, 3, 3, 10, tzinfo=UTC)),
    ],
)
def test_date_is_read_and_aware(written: str, read: datetime) -> None:
    """A date without a zone is taken as UTC, so that all dates can be compared."""
    found = parse_email(lines(f"Date: {written}", "", "x")).date

    assert found == read
    assert found.tzinfo is not None


@pytest.mark.parametrize(
    "written", ["yesterday", "32 Mar 2026 10:00:00", "1 Jan 2026 24:61:00", "Fri, 31 Dec 9999 23:59:59 -2300"]
)
def test_impossible_date_is_no_date(written: str) -> None:
    """The time of receipt is used then; an invented date would be believed."""
    parsed = parse_email(lines(f"Date: {written}", "", "x"))

    assert parsed.date is None
    assert parsed.defects == ("date_unreadable",)


@pytest.mark.parametrize(
    ("charset", "encoded", "text"),
    [
        ("utf-8", "Grüße".encode(), "Grüße"),
        ("iso-8859-1", b"\x93quoted\x94", "“quoted”"),
        ("gb2312", "镕基".encode("gb18030"), "镕基"),
        ("ks_c_5601-1987", "안녕".encode("cp949"), "안녕"),
        ("us-ascii", "Grüße".encode(), "Grüße"),
        ("utf-8", "Grüße aus Köln".encode("latin-1"), "Grüße aus Köln"),
        ("made-up", "Grüße".encode(), "Grüße"),
        ("unicode_escape", rb"\x41", r"\x41"),
    ],
)
def test_text_is_decoded(charset: str, encoded: bytes, text: str) -> None:
    """The declared charset, as senders use its name; where that fails, UTF-8; then a guess."""
    assert parse_email(f"Content-Type: text/plain; charset={charset}\r\n\r\n".encode() + encoded).text == text


@pytest.mark.parametrize("charset", ["koi8-r", "cp1251", "cp932", "gb18030", "big5", "cp949", "cp1250"])
def test_text_without_a_charset_is_guessed(charset: str) -> None:
    """Old mailers name none; a reader would still recognise the language."""
    text = {
        "koi8-r": "Добрый день, посылаю вам договор за прошлый месяц, подтвердите получение.",
        "cp1251": "Добрый день, посылаю вам договор за прошлый месяц, подтвердите получение.",
        "cp932": "お世話になっております。添付の資料をご確認ください。よろしくお願いいたします。",
        "gb18030": "您好，请查收附件中的合同和发票，如有问题请与我们联系，谢谢合作。",
        "big5": "您好，請查收附件中的合約和發票，如有問題請與我們聯絡，謝謝合作。",
        "cp949": "안녕하세요. 첨부된 계약서와 청구서를 확인해 주시기 바랍니다. 감사합니다.",
        "cp1250": "Dobrý den, v příloze zasílám smlouvu a fakturu za minulý měsíc. Prosím, potvrďte přijetí.",
    }[charset]

    assert parse_email(b"Subject: x\r\n\r\n" + text.encode(charset)).text == text


def test_html_names_its_own_charset() -> None:
    """Without a declared charset a browser reads the page's meta element."""
    raw = b'Content-Type: text/html\r\n\r\n<meta charset="iso-8859-2"><p>\xb1</p>'

    assert parse_email(raw).html == '<meta charset="iso-8859-2"><p>ą</p>'


def test_flowed_lines_are_joined() -> None:
    """RFC 3676: a line that ends in a blank goes on in the next one; the signature mark does not."""
    raw = lines("Content-Type: text/plain; format=flowed", "", "one ", "two", "> quoted ", "> more", "-- ", "Ann")

    assert parse_email(raw).text == "one two\n> quoted more\n-- \nAnn"


def test_strings_can_be_stored() -> None:
    """PostgreSQL takes neither NUL nor half a surrogate pair."""
    raw = b"Subject: a\x00b =?utf-7?Q?+2AA-?=\r\nFrom: \x00 <a@x>\r\nContent-Type: text/plain; charset=utf-7\r\n\r\n+2AA- \x00 end"

    parsed = parse_email(raw)

    for text in (parsed.subject, parsed.from_, parsed.text):
        assert text is not None
        assert "\x00" not in text
        assert text.encode("utf-8")


def test_mail_saved_as_utf16_is_read() -> None:
    """Some programs export mail in the encoding of their own files."""
    raw = "Subject: Grüße\r\n\r\nhello".encode("utf-16")

    parsed = parse_email(raw)

    assert (parsed.subject, parsed.text) == ("Grüße", "hello")


def test_utf8_under_another_name_is_read_as_utf8() -> None:
    """Programs write UTF-8 under the name that their template had; no sender means `GrÃ¼Ã\x9fe`."""
    raw = b"Content-Type: text/plain; charset=iso-8859-1\r\n\r\n" + "Grüße für Änne".encode()

    parsed = parse_email(raw)

    assert parsed.text == "Grüße für Änne"
    assert parsed.defects == ("charset_mismatch",)
