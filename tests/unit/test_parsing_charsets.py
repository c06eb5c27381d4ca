"""Charsets, from one letter on: what is declared and valid, what is broken, and what is declared wrongly."""

from base64 import b64encode
from urllib.parse import quote_from_bytes

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailroom.domain.parsing import parse_email
from mailroom.domain.parsing.charsets import codec

TEXTS = {
    "German": "Prüfung des Vertrags über größere Geräte in Österreich, schöne Grüße",
    "French": "Réunion à l’école décalée, déjà reçue où côté élève",
    "Polish": "Zażółć gęślą jaźń, zamówienie części w Łodzi",
    "Czech": "Příliš žluťoučký kůň úpěl ďábelské ódy, smlouva č. 5",
    "Turkish": "Sipariş onayı için teşekkürler, ödeme yapıldı İstanbul",
    "Russian": "Отчёт о продажах за март и май, её счёт ещё не оплачен",
    "Ukrainian": "Рахунок за їжу і квитки, дякуємо, євро",
    "Greek": "Επιβεβαίωση παραγγελίας, ευχαριστούμε πολύ",
    "Hebrew": "אישור הזמנה מספר שלום רב ותודה",
    "Arabic": "تأكيد الطلب شكرا جزيلا لكم",
    "Thai": "ใบเสนอราคา เกมเพลง ขอบคุณครับ เดกไทย",
    "Japanese": "ご注文の確認について、見積書テスト株式会社",
    "Chinese": "您好请查收附件中的合同和发票谢谢模联通",
    "Taiwanese": "您好請查收附件中的合約和發票謝謝聯絡",
    "Korean": "안녕하세요 주문 확인서를 보내드립니다 견적",
}
LATIN = "iso-8859-1 windows-1252 iso-8859-15 latin1 macintosh cp850 ansi windows-28591"
CHARSETS = {
    "German": LATIN + " ISO_8859-1:1987 iso8859_1",
    "French": LATIN.replace("iso-8859-1 ", "").replace(" iso-8859-15", "").replace("cp850 ", ""),
    "Polish": "iso-8859-2 windows-1250 cp852 x-mac-ce",
    "Czech": "iso-8859-2 windows-1250 latin2",
    "Turkish": "iso-8859-9 windows-1254",
    "Russian": "koi8-r windows-1251 iso-8859-5 cp866 koi8 x-mac-cyrillic cp20866",
    "Ukrainian": "koi8-u windows-1251 koi8-ru",
    "Greek": "iso-8859-7 windows-1253",
    "Hebrew": "iso-8859-8 iso-8859-8-i windows-1255",
    "Arabic": "iso-8859-6 windows-1256",
    "Thai": "tis-620 windows-874 iso-8859-11",
    "Japanese": "iso-2022-jp shift_jis x-sjis euc-jp x-euc-jp windows-31j cp932 cp50220 iso-2022-jp-ms",
    "Chinese": "gb2312 gbk gb18030 gb_2312-80 x-gbk euc-cn cp936",
    "Taiwanese": "big5 big5-hkscs cn-big5 cp950",
    "Korean": "ks_c_5601-1987 euc-kr cp949 ksc5601 iso-2022-kr",
}
EVERY = "utf-8 utf8 UTF-16 utf-16le utf-16be utf-7 unicode-1-1-utf-7"
PAIRS = [(language, charset) for language, some in CHARSETS.items() for charset in f"{some} {EVERY}".split()]


@st.composite
def piece(draw: st.DrawFn, language: str, least: int = 1) -> str:
    """Return 1 to 12 letters: a piece of the language's text, or its letters in any order."""
    text = TEXTS[language]
    start = draw(st.integers(0, len(text) - least))
    length = draw(st.integers(least, 12))
    chosen = draw(st.sampled_from([text[start:][:length], "".join(draw(st.permutations(text))[:length])]))
    return " ".join(chosen.split()) or text[0]


def written(text: str, charset: str) -> bytes:
    name = {"unicode-1-1-utf-7": "utf-7"}.get(charset, codec(charset))
    assert name, charset
    return text.encode(name)


def body(data: bytes, charset: str) -> str:
    raw = (
        f"Content-Type: text/plain; charset={charset}\r\nContent-Transfer-Encoding: base64\r\n\r\n".encode()
        + b64encode(data)
    )
    return parse_email(raw).text or ""


def subject(raw: bytes, hint: str) -> str:
    return (
        parse_email(b"Subject: " + raw + f"\r\nContent-Type: text/plain; charset={hint}\r\n\r\nx".encode()).subject
        or ""
    )


@pytest.mark.parametrize("language", TEXTS)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_what_is_valid_as_declared_is_read_as_declared(language: str, data: st.DataObject) -> None:
    """In a body, a subject, a display name and a file name, from one letter on: no guess knows better than the sender."""
    charset = data.draw(st.sampled_from([charset for one, charset in PAIRS if one == language]))
    text = data.draw(piece(language))
    encoded = written(text, charset)
    word = f"=?{charset}?B?".encode() + b64encode(encoded) + b"?="
    name = f"attachment; filename*={charset}''{quote_from_bytes(encoded)}.pdf".encode()

    head = b"Subject: " + word + b"\r\nTo: " + word + b" <a@x.test>\r\nContent-Disposition: "
    parsed = parse_email(head + name + b"\r\nContent-Type: application/pdf\r\n\r\nx")

    assert body(encoded, charset) == text
    assert parsed.subject == text
    assert parsed.to[0].replace('"', "") == f"{text} <a@x.test>"
    if not charset.lower().startswith(("utf", "unicode", "iso-2022")):
        assert parsed.attachments[0].original_name == f"{text}.pdf"


@pytest.mark.parametrize("language", TEXTS)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_one_broken_sequence_is_one_mark(language: str, data: st.DataObject) -> None:
    """A cut subject stays in its alphabet: each letter but the broken one is what it was."""
    letters = "".join(char for char in TEXTS[language] if char > "\xbf")
    text = data.draw(
        piece(language, 2).map(lambda text: text if any(char > "\xbf" for char in text) else text + letters[0])
    )
    at = data.draw(st.sampled_from([at for at, char in enumerate(text) if char > "\xbf"]))
    broken = text[at].encode()[:-1]
    raw = text[:at].encode() + broken + text[at + 1 :].encode()
    wanted = text[:at] + "\ufffd" + text[at + 1 :]
    others, after = text[:at] + text[at + 1 :], text[at + 1 : at + 2]
    if (
        broken in (b"\xc3", b"\xc4", b"\xc5")
        and others.isascii()
        and (after.isupper() or after.isalpha() > (broken == b"\xc3"))
    ):
        return  # the same bytes as `Ärger` or `ÄRGER` in Latin-1, which are read as that

    assert body(raw, "utf-8") == wanted
    assert subject(raw, "utf-8") == " ".join(wanted.split())
    assert parse_email(b"Subject: =?utf-8?B?" + b64encode(raw) + b"?=\r\n\r\nx").subject == " ".join(wanted.split())
    for hint in ("us-ascii", "no-such-charset"):
        assert subject(raw, hint) == " ".join(wanted.split())


WORDS = """
    Prüfung Grüße Größe Müller Köln Ärger ÜBUNG GRÖSSE Straße Gruß Fußball café élève déjà naïve à où garçon CITÉ Noël crème
    señor mañana ESPAÑA año São ação København smørrebrød blåbær Åse Málaga Ísland über Österreich
"""
ONE_LETTER = [word for word in WORDS.split() if sum(char > "\x7f" for char in word) == 1]


@pytest.mark.parametrize("word", ONE_LETTER)
@pytest.mark.parametrize("around", ["{}", "{} des Vertrags", "Re: {}!", "die {}"])
def test_one_latin_letter_in_declared_utf8_is_that_letter(word: str, around: str) -> None:
    """A template in UTF-8 with a name in Latin-1; every mail client shows the letter."""
    text = around.format(word)
    raw = text.encode("latin-1")

    assert body(raw, "utf-8") == text
    assert subject(raw, "utf-8") == text
    assert subject(raw, "us-ascii") == text
    assert subject(b"=?utf-8?Q?" + raw.replace(b" ", b"_") + b"?=", "utf-8") == text


@pytest.mark.parametrize("word", ONE_LETTER)
def test_latin_letter_among_letters_in_utf8_is_that_letter(word: str) -> None:
    """Both encodings in one text: only the invalid byte is read in another charset."""
    if word[0] in "ÄÅ" or len(word) == 1:
        return  # the first byte of other letters of Europe
    text = f"Für Sie – {word} und Äpfel in Öl"
    at = text.index(word)

    raw = text[:at].encode() + word.encode("latin-1") + text[at + len(word) :].encode()

    assert body(raw, "utf-8") == text


@pytest.mark.parametrize(("language", "charset"), [pair for pair in PAIRS if pair[1] not in EVERY.split()])
def test_raw_header_is_read_by_the_charset_of_the_body(language: str, charset: str) -> None:
    """Clients that write raw 8-bit headers write them as the body, short words too."""
    if charset == "iso-2022-kr":
        return
    for text in [TEXTS[language], *TEXTS[language].replace(",", " ").split(), TEXTS[language][:3]]:
        assert subject(written(text, charset), charset) == " ".join(text.split())


@pytest.mark.parametrize("hint", ["iso-2022-jp", "euc-jp", "shift_jis", "x-sjis"])
@pytest.mark.parametrize("charset", ["cp932", "euc_jp", "iso2022_jp", "utf-8"])
@pytest.mark.parametrize("text", ["ご注文の確認について", "お見積り", "株式会社テスト様", "会議のお知らせ 12"])
def test_japanese_hint_tries_japanese(hint: str, charset: str, text: str) -> None:
    """A Japanese mail with a raw subject in another of its encodings."""
    assert subject(text.encode(charset), hint) == text


@pytest.mark.parametrize("charset", ["iso-2022-jp", "iso-2022-jp-ms", "cp50222"])
@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"\x1b(I6E\x1b(B", "ｶﾅ"),
        (b'\xb6\xc5\x1b$B$"\x1b(B', "ｶﾅあ"),
        (b'\x0e6E\x0f\x1b$B$"\x1b(B', "ｶﾅあ"),
        (b"\x0e6E\x0f", "ｶﾅ"),
        (b'\x1b$B$"\x1b(I6E\x1b(B', "あｶﾅ"),
        (b"\x1b$B-!\x1b(I6E\x1b(B", "①ｶﾅ"),
    ],
    ids=["escape", "8 bit", "shift out", "shift out alone", "after kana", "with circled digits"],
)
def test_half_width_kana_in_iso_2022_jp(charset: str, raw: bytes, text: str) -> None:
    """RFC 1468 forbids them; Windows programs write them in three ways."""
    assert body(raw, charset) == text


@pytest.mark.parametrize("language", TEXTS)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_lost_byte_loses_one_letter(language: str, data: st.DataObject) -> None:
    """Any byte of a letter, among others that are whole: the other letters stay."""
    letters = "".join(char for char in TEXTS[language] if char > "\xbf")
    text = data.draw(piece(language).map(lambda text: text + letters[:3]))
    at = data.draw(st.sampled_from([at for at, char in enumerate(text) if char > "\xbf"]))
    lost = data.draw(st.integers(0, len(text[at].encode()) - 1))
    letter = text[at].encode()
    raw = text[:at].encode() + letter[:lost] + letter[lost + 1 :] + text[at + 1 :].encode()

    for read in (body(raw, "utf-8"), subject(raw, "utf-8"), subject(raw, "us-ascii")):
        assert "\ufffd" in read
        assert "".join(read.replace("\ufffd", "").split()) == "".join((text[:at] + text[at + 1 :]).split())


@pytest.mark.parametrize(
    ("raw", "charset", "text"),
    [
        ("Уважаемые коллеги".encode("koi8-r"), "us-ascii", "Уважаемые коллеги"),
        ("Уважаемые коллеги".encode("cp1251"), "utf-8", "Уважаемые коллеги"),
        ("Привет".encode("cp1251"), "utf-8", "Привет"),
        ("ご注文".encode("cp932"), "us-ascii", "ご注文"),
        ("яю".encode("cp1251"), "windows-1251", "яю"),
        ("юя".encode("cp1251"), "windows-1251", "юя"),
        (b"\x1b$B$4Cm\x1b(B", "us-ascii", "ご注"),
        (b"\x1b$B$4Cm\x1b(B", "shift_jis", "ご注"),
        ("①②".encode("cp932"), "shift_jis", "①②"),
        ("①".encode("euc_jis_2004"), "euc-jp", "①"),
        ("€".encode("cp950"), "big5", "€"),
        ("Ж".encode("utf-16-be"), "utf-16", "Ж"),
        ("Ж".encode("utf-16-le"), "utf-16", "Ж"),
        ("你好".encode("utf-16"), "utf-16", "你好"),
        ("Grüße".encode("utf-16-be")[:-1], "utf-16", "Grüß\ufffd"),
        ("Договор".encode("utf-16-le") + b"\x00\xd8!\x00", "ucs-2", "Договор\ufffd!"),
        ("Grüße".encode(), "default_charset", "Grüße"),
        ("Grüße".encode("latin-1"), "x-unknown", "Grüße"),
        ("镕基㐀".encode("gb18030"), "gb2312", "镕基㐀"),
        (b"it\x92s m\xb2 \x97 H\xb2O", "utf-8", "it’s m² — H²O"),
        (b"wait\x85what", "utf-8", "wait…what"),
        (b"+MEI-", "unicode-1-1-utf-7", "あ"),
        (b"l\xd5\x8ecole, d\xd5\x8ecole, l\xd5\x8eveil", "macintosh", "l’école, d’école, l’éveil"),
        (b"\x93caf\xe9\x94 \x96 5 \x80", "iso-8859-1", "“café” – 5 €"),
    ],
)
def test_charset_that_is_another_is_read(raw: bytes, charset: str, text: str) -> None:
    """Names that mean a larger set, or are wrong: the text is what a person of that language reads."""
    assert body(raw, charset) == text


@pytest.mark.parametrize(
    ("language", "charset"),
    [
        ("Japanese", "shift_jis"),
        ("Japanese", "euc-jp"),
        ("Chinese", "gb2312"),
        ("Taiwanese", "big5"),
        ("Korean", "euc-kr"),
    ],
)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_cut_letter_of_two_bytes_is_one_mark(language: str, charset: str, data: st.DataObject) -> None:
    """A cut text in the declared charset stays in it."""
    text = data.draw(piece(language, 3).map(lambda text: text.replace(" ", "") + TEXTS[language][:3]))

    for read in (body(written(text, charset)[:-1], charset), subject(written(text, charset)[:-1], charset)):
        assert read == text[:-1] + "\ufffd"


@pytest.mark.parametrize(
    ("declared", "meta", "charset", "text"),
    [
        ("", "windows-1251", "cp1251", "Договор"),
        ("; charset=utf-8", "windows-1251", "cp1251", "Договор"),
        ("; charset=us-ascii", "koi8-r", "koi8-r", "Договор"),
        ("; charset=koi8-r", "utf-8", "koi8-r", "Договор"),
        ("; charset=x-mac-cyrillic", "utf-8", "utf-8", "© 2019"),
        ("", "iso-8859-1", "utf-8", "Договор"),
        ("", "utf-8", "latin-1", "Prüfung"),
        ("", "utf-16", "latin-1", "Prüfung"),
        ("; charset=x-unknown", "shift_jis", "cp932", "見積書"),
        ("", "gb2312", "gb18030", "合同镕"),
    ],
)
def test_page_is_read_by_its_header_then_by_its_meta_element(declared: str, meta: str, charset: str, text: str) -> None:
    """RFC 2854: the header decides; where it is missing, wrong or unknown, the page does, as far as its bytes agree."""
    page = f'<meta http-equiv=Content-Type content="text/html; charset={meta}"><p>{text}</p>'

    raw = f"Content-Type: text/html{declared}\r\n\r\n".encode() + page.encode(charset)

    assert parse_email(raw).html == page


@pytest.mark.parametrize(
    ("charset", "text"),
    [
        ("windows-1251", "Договор"),
        ("x-sjis", "見積書"),
        ("gb2312", "合同"),
        ("big5", "合約"),
        ("euc-kr", "견적서"),
        ("iso-8859-2", "Łódź"),
    ],
)
def test_raw_names_are_read_by_the_charset_of_the_body(charset: str, text: str) -> None:
    """Names of people and of files, as raw bytes, in quotes or bare."""
    raw = written(text, charset)
    head = (
        b"To: "
        + raw
        + b' <a@x.test>, "'
        + raw
        + b'" <b@x.test>\r\nContent-Type: multipart/mixed; boundary=q\r\n\r\n--q\r\n'
    )
    parts = (
        f'Content-Type: text/plain; charset={charset}\r\n\r\nx\r\n--q\r\nContent-Type: application/pdf; name="'.encode()
    )

    parsed = parse_email(head + parts + raw + b'.pdf"\r\n\r\nx\r\n--q--')

    assert parsed.to == (f"{text} <a@x.test>", f"{text} <b@x.test>")
    assert parsed.attachments[0].original_name == f"{text}.pdf"
