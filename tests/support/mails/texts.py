"""Kinds of mail about texts: charsets, transfer encodings and their damage, flowed lines, alternatives."""

import base64
import quopri
from typing import Any

from tests.support.mails.making import (
    LANGUAGES,
    PDF,
    PNG,
    Style,
    encoded,
    expect,
    file_part,
    kind,
    multipart,
    part,
    right,
    single,
    text_part,
    whole,
)

Made = tuple[bytes, dict[str, Any]]
_CRLF = b"\r\n"


def _plain(charset: str, encoding: str, data: bytes, more: str = "") -> bytes:
    return part([f"Content-Type: text/plain; charset={charset}{more}", f"Content-Transfer-Encoding: {encoding}"], data)


@kind(39)
def language_and_charset(s: Style) -> Made:
    """Each language in each charset of its own, in all three encodings."""
    pairs = [(language, charset) for language, row in LANGUAGES.items() for charset in row[4].split()]
    language, charset = pairs[s.n % len(pairs)]
    text = LANGUAGES[language][1]
    encoding = "7bit" if charset == "iso-2022-jp" else s.encoding
    raw = single(s, _plain(charset, encoding, encoded(text.encode(charset), encoding)))
    return raw, right(s, text_contains=[text], sound=True)


@kind(7)
def charset_by_another_name(s: Style) -> Made:
    """Names that Windows, Java, old Macs and web forms write for a charset."""
    written, meant, language = (
        ("win-1251", "cp1251", "ru"), ("x-sjis", "cp932", "ja"), ("utf8", "utf-8", "el"), ("ks_c_5601-1987", "cp949", "ko"),
        ("gb2312", "gb18030", "zh"), ("latin1", "latin-1", "fr"), ("ISO-8859-8-I", "iso-8859-8", "he"),
    )[s.n]  # fmt: skip
    text = LANGUAGES[language][1]
    raw = single(s, _plain(written, "base64", base64.encodebytes(text.encode(meant))))
    return raw, right(s, text_contains=[text])


@kind(6)
def one_latin_letter_in_utf8(s: Style) -> Made:
    """One Latin-1 letter in text that declares UTF-8 is that letter."""
    text = (
        "die Prüfung der Anlage",
        "le relevé du mois",
        "mañana por la tarde",
        "Größe der Lieferung",
        "Straße und Hausnummer",
        "fattura già pagata",
    )[s.n]
    data = text.encode("latin-1").split(b"\xdf")  # one letter of it is enough
    raw = single(
        s,
        _plain(
            "utf-8",
            ("8bit", "quoted-printable", "base64")[s.n % 3],
            encoded(_mixed(text), ("8bit", "quoted-printable", "base64")[s.n % 3]),
        ),
    )
    return raw, right(s, text_contains=[text], defects=["charset_mismatch"]) if data else right(s)


def _mixed(text: str) -> bytes:
    """Return text as UTF-8, but its first letter beyond ASCII as Latin-1."""
    at = next(number for number, char in enumerate(text) if not char.isascii())
    return text[:at].encode() + text[at].encode("latin-1") + text[at + 1 :].encode()


@kind(6)
def utf8_cut_inside_a_letter(s: Style) -> Made:
    """UTF-8 with one broken sequence stays UTF-8 with one U+FFFD: subjects that were cut by bytes."""
    text = LANGUAGES[("ru", "el", "he", "ja", "ko", "zh")[s.n]][1]
    cut = (text.encode() + "ж".encode())[:-1]
    raw = b"Subject: " + cut + b"\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" + cut
    return raw, {"subject": text + "\ufffd", "text_contains": [text]}


@kind(6)
def utf8_under_another_name(s: Style) -> Made:
    """UTF-8 that declares Latin-1, Windows-1252 or ASCII is UTF-8."""
    text = LANGUAGES[("de", "fr", "pl", "ru", "ja", "tr")[s.n]][1]
    declared = ("iso-8859-1", "windows-1252", "us-ascii")[s.n % 3]
    return single(s, _plain(declared, s.encoding, encoded(text.encode(), s.encoding))), right(s, text_contains=[text])


@kind(6)
def bytes_without_a_charset(s: Style) -> Made:
    """Text and subject without any declaration are read in the language's charset."""
    language, charset = (
        ("de", "utf-8"),
        ("ru", "koi8-r"),
        ("ru", "cp1251"),
        ("ja", "cp932"),
        ("zh", "gb18030"),
        ("ko", "cp949"),
    )[s.n]
    text = LANGUAGES[language][1]
    return b"From: a@x.example\r\n\r\n" + text.encode(charset), {"text_contains": [text], "count": 0}


@kind(5)
def page_names_its_charset(s: Style) -> Made:
    """HTML without a declared charset is read by its meta element."""
    language, charset = (
        ("ru", "windows-1251"),
        ("pl", "iso-8859-2"),
        ("ja", "shift_jis"),
        ("el", "windows-1253"),
        ("de", "utf-8"),
    )[s.n]
    text = LANGUAGES[language][1]
    meta = (f'<meta charset="{charset}">', f'<meta http-equiv="Content-Type" content="text/html; charset={charset}">')[
        s.n % 2
    ]
    page = f"<html><head>{meta}</head><body>{text}</body></html>".encode(charset)
    raw = single(s, part(["Content-Type: text/html", "Content-Transfer-Encoding: 8bit"], page))
    return raw, right(s, text_contains=[], html_contains=[text])


@kind(8)
def quoted_printable_damage(s: Style) -> Made:
    """What is no escape stays as it is (RFC 2045 section 6.7, note 4), and nothing else changes."""
    written, meant = (
        (b"if a == b: token=3DZm9v=3D=3D end", "if a == b: token=Zm9v== end"), (b"x=y and z=", "x=y and z"), (b"50=25 =zz =4", "50% =zz =4"),
        (b"one =\r\ntwo=  \r\n three", "one two three"), (b"a=e4b =E4c", "aäb äc"), (b"==\r\nnext", "=next"), (b"q?a=1&b=2&c=GG", "q?a=1&b=2&c=GG"),
        (b"end=3D\r\n=\r\nnext", "end=\nnext"),
    )[s.n]  # fmt: skip
    return single(s, _plain("iso-8859-1", "quoted-printable", written)), right(s, text_contains=[], text_is=meant)


@kind(8)
def base64_damage(s: Style) -> Made:
    """What is there is decoded: missing padding, blanks, rubbish, a footer, padding in each line, lines of any length."""
    text = (s.text + " ") * 4
    clean = base64.b64encode(text.encode())
    written = (
        clean.rstrip(b"="), b" ".join(clean[at : at + 10] for at in range(0, len(clean), 10)), b"\r\n\r\n".join([clean[:20], clean[20:]]),
        clean[:40] + b"!*" + clean[40:], clean + b"\r\n_______________\r\nlist mailing list\r\n",
        b"\r\n".join(base64.b64encode(text.encode()[at : at + 31]) for at in range(0, len(text.encode()), 31)), clean[:8] + b"\r" + clean[8:], clean + b"=",
    )[s.n]  # fmt: skip
    return single(s, _plain("utf-8", "base64", written)), right(s, text_contains=[s.text])


@kind(6)
def base64_file_damage(s: Style) -> Made:
    """A file is byte for byte what was sent, whatever happened to its lines."""
    data = PDF * 3 + bytes(range(256))
    lines = base64.encodebytes(data)
    written = (
        lines.replace(b"\n", b"\r\n\r\n"), lines.replace(b"\n", b""), b"\t" + lines.replace(b"\n", b" \n\t"), lines.rstrip(b"=\n"),
        lines.replace(b"\n", b"\r"), lines.replace(b"\n", b"\x00\r\n"),
    )[s.n]  # fmt: skip
    fields = ["Content-Type: application/pdf; name=a.pdf", "Content-Transfer-Encoding: base64"]
    return whole(s, "mixed", text_part(s), part(fields, written)), right(s, attachments=[expect("a.pdf", data)])


@kind(8)
def encoding_field_damage(s: Style) -> Made:
    """The name of the transfer encoding with letters, blanks, comments and quotes around it."""
    written, data = (
        ("BASE64", base64.b64encode(PDF)), ("base64 (RFC 2045)", base64.b64encode(PDF)), ('"base64"', base64.b64encode(PDF)),
        ("Quoted-Printable;", quopri.encodestring(PDF)), (" (c) base64", base64.b64encode(PDF)), ("base-64", base64.b64encode(PDF)),
        ("quoted/printable", quopri.encodestring(PDF)), ("b", base64.b64encode(PDF)),
    )[s.n]  # fmt: skip
    fields = ["Content-Type: application/pdf; name=a.pdf", f"Content-Transfer-Encoding: {written}"]
    wanted = {"filename": "a.pdf"} if s.n > 5 else expect("a.pdf", PDF)
    return whole(s, "mixed", text_part(s), part(fields, data)), right(s, attachments=[wanted])


@kind(8)
def flowed_lines(s: Style) -> Made:
    """RFC 3676: soft breaks, quotes, signatures, stuffed lines, DelSp."""
    written, meant, more = (
        ("one \r\ntwo", "one two", ""), ("one \r\n\r\ntwo", "one \ntwo", ""), ("> one \r\n> two\r\nthree", "> one two\nthree", ""),
        ("-- \r\nAnn", "-- \nAnn", ""), (" From here \r\non", "From here on", ""), ("日 \r\n本", "日本", "; delsp=yes"),
        (">> a \r\n> b", ">> a \n> b", ""), (" > no quote\r\nb", "> no quote\nb", ""),
    )[s.n]  # fmt: skip
    quoted = ("; format=flowed", '; format="flowed"', "; Format=Flowed")[s.n % 3]
    return single(s, _plain("utf-8", "8bit", written.encode(), quoted + more)), right(
        s, text_contains=[], text_is=meant
    )


@kind(5)
def page_only(s: Style) -> Made:
    """A mail of HTML alone, or with an empty text beside it, is read by its HTML."""
    page = text_part(s, f"<html><body><p>{s.text}</p></body></html>", "html")
    if s.n % 2:
        return single(s, page), right(s, text_contains=[], html_contains=[s.text])
    blank = text_part(s, " \r\n")
    return whole(s, "alternative", blank, page), right(s, text_contains=[], html_contains=[s.text])


@kind(6)
def named_alternatives(s: Style) -> Made:
    """A named text in multipart/alternative that is no attachment is the text, not a file."""
    plain = part(
        ["Content-Type: text/plain; charset=utf-8; name=a.txt", ("X-A: 1", "Content-Disposition: inline")[s.n % 2]],
        s.text.encode(),
    )
    page = part(['Content-Type: text/html; charset=utf-8; name="page.html"'], f"<p>{s.text}</p>".encode())
    one = (plain, text_part(s))[s.n % 3 == 2]
    return whole(s, "alternative", one, page), right(s, html_contains=[f"<p>{s.text}</p>"])


@kind(5)
def alternative_with_files(s: Style) -> Made:
    """A file inside multipart/alternative is an attachment: some programs put invitations and PDFs there."""
    name = f"{s.stem}.pdf"
    file = file_part(s, name, PDF, "application/pdf", disposition=("attachment", "inline", "")[s.n % 3])
    raw = whole(s, "alternative", text_part(s), text_part(s, f"<p>{s.text}</p>", "html"), file)
    return raw, right(s, html_contains=[s.text], attachments=[expect(name, PDF, "application/pdf")])


@kind(5)
def alternative_around_related(s: Style) -> Made:
    """Thunderbird and Apple Mail: alternative(text, related(html, picture)); Outlook: related(alternative(...), picture)."""
    page = text_part(s, f'<p>{s.text}</p><img src="cid:p{s.n}@x">', "html")
    picture = file_part(s, "p.png", PNG, "image/png", disposition="inline", cid=f"p{s.n}@x")
    if s.n % 2:
        raw = whole(s, "alternative", text_part(s), multipart(s, "related", page, picture, mark=2))
    else:
        raw = whole(s, "related", multipart(s, "alternative", text_part(s), page, mark=2), picture)
    return raw, right(s, html_contains=[s.text], attachments=[expect("p.png", PNG, decoration=True)], sound=True)


@kind(6)
def several_texts(s: Style) -> Made:
    """Every unnamed text of a mixed mail is read: notes of virus filters, footers of lists, text after a picture."""
    extra = ("Virus checked.", "-- \r\nlist footer", "Sent from my phone", "WARNING: external", "End", "Disclaimer")[
        s.n
    ]
    disposition = ("X-A: 1", "Content-Disposition: inline")[s.n % 2]
    more = part(["Content-Type: text/plain; charset=us-ascii", disposition], extra.encode())
    return whole(s, "mixed", text_part(s), more), right(s, text_contains=[s.text, extra], sound=True)
