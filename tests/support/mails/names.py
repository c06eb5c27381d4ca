"""Kinds of mail about names of files: RFC 2231, RFC 2047, raw bytes, mixtures and damage of them."""

from typing import Any

from tests.support.mails.making import (
    LANGUAGES,
    PDF,
    Style,
    encoded,
    expect,
    file_part,
    kind,
    part,
    right,
    text_part,
    whole,
    word,
)

Made = tuple[bytes, dict[str, Any]]


def _attached(s: Style, fields: list[str] | bytes, name: str | None, **more: Any) -> Made:
    """Return a mail with a PDF that has these `fields`, and its right name."""
    if isinstance(fields, bytes):
        file = fields + b"\r\nContent-Transfer-Encoding: base64\r\n\r\n" + encoded(PDF, "base64")
    else:
        file = part([*fields, "Content-Transfer-Encoding: base64"], encoded(PDF, "base64"))
    return whole(s, "mixed", text_part(s), file), right(s, attachments=[expect(name, PDF, **more)])


@kind(13)
def name_in_each_language(s: Style) -> Made:
    """A name in each language, in the form of each program."""
    name = list(LANGUAGES.values())[s.n][3] + ".pdf"
    form = ("words", "2231", "both", "raw")[s.n % 4]
    file = file_part(s, name, PDF, "application/pdf", form=form)
    return whole(s, "mixed", text_part(s), file), right(
        s, attachments=[expect(name, PDF, "application/pdf")], sound=form != "raw"
    )


@kind(24)
def name_in_continuations(s: Style) -> Made:
    """RFC 2231 pieces: in order or not, encoded or not, quoted or not, with gaps and doubles, with or without a charset."""
    written, name = (
        ("filename*0=foo; filename*1=.pdf", "foo.pdf"), ("filename*1=.pdf; filename*0=foo", "foo.pdf"), ('filename*0="foo "; filename*1="bar.pdf"', "foo bar.pdf"),
        ("filename*0*=utf-8''Pr%C3%BC; filename*1=fung.pdf", "Prüfung.pdf"), ("filename*0*=utf-8''Pr%C3; filename*1*=%BCfung.pdf", "Prüfung.pdf"),
        ("filename*0*=iso-8859-1''Pr%FC; filename*1*=fung.pdf", "Prüfung.pdf"), ("filename*=utf-8'de'Pr%C3%BCfung.pdf", "Prüfung.pdf"),
        ("filename*=UTF-8''Pr%c3%bcfung.pdf", "Prüfung.pdf"), ("filename*=\"utf-8''Pr%C3%BCfung.pdf\"", "Prüfung.pdf"), ("filename*=''plain.pdf", "plain.pdf"),
        ("filename*=Pr%C3%BCfung.pdf", "Prüfung.pdf"), ("filename*0=foo; filename*2=.exe", "foo"), ("filename*0=a; filename*1=b; filename*3=.pdf", "ab"),
        ("filename*0*=utf-8''Pr%C3%BCf; filename*2*=.exe", "Prüf"), ("filename*0=a.; filename*00=b; filename*01=pdf", "a."),
        ("filename=fallback.pdf; filename*=utf-8''Pr%C3%BCfung.pdf", "Prüfung.pdf"), ("filename*=utf-8''Pr%C3%BCfung.pdf; filename=fallback.pdf", "Prüfung.pdf"),
        ("filename*0=50%25.pdf", "50%25.pdf"), ("filename*0*=utf-8''50%25; filename*1=%25.pdf", "50%%25.pdf"), ("FILENAME*0*=utf-8''Pr%C3%BC;\r\n Filename*1*=fung.pdf", "Prüfung.pdf"),
        ("filename*1=foo; filename*2=.pdf; filename=whole.pdf", "whole.pdf"), ("filename*=koi8-r''%D3%DE%C5%D4.pdf", "счет.pdf"),
        ("filename*=utf-8''a%2Fb.pdf", "a/b.pdf"), ("filename*0*=utf-8''%E2%82; filename*1*=%AC%20; filename*2*=7.pdf", "€ 7.pdf"),
    )[s.n]  # fmt: skip
    return _attached(s, ["Content-Type: application/pdf", f"Content-Disposition: attachment; {written}"], name)


@kind(5)
def many_continuations(s: Style) -> Made:
    """A long name in pieces of any number, ten and more in any order."""
    count = (3, 9, 12, 20, 40)[s.n]
    stem = f"{s.stem} " * (count // 3 + 1)
    name = stem.strip()[: 2 * count] + ".pdf"
    data = name.encode()
    size = -(-len(data) // count)
    pieces = [
        f"filename*{at}*={('', chr(39).join(['utf-8', '', '']))[at == 0]}"
        + "".join(f"%{b:02X}" for b in data[at * size : at * size + size])
        for at in range(count)
    ]
    pieces = [one for one in pieces if not one.endswith("*=")]
    if s.n % 2:
        pieces.reverse()
    return _attached(
        s, ["Content-Type: application/pdf", "Content-Disposition: attachment;\r\n " + ";\r\n ".join(pieces)], name
    )


@kind(16)
def name_in_words(s: Style) -> Made:
    """Encoded words in a parameter, which RFC 2047 forbids and most programs write: quoted or not, folded, cut between bytes."""
    full = word("Prüfung.pdf", "utf-8")
    written, name = (
        (f'filename="{full}"', "Prüfung.pdf"), (f"filename={full}", "Prüfung.pdf"), ('filename="=?iso-8859-1?Q?Pr=FCfung=2Epdf?="', "Prüfung.pdf"),
        ('filename="=?utf-8?Q?Pr=C3=BC?= =?utf-8?Q?fung.pdf?="', "Prüfung.pdf"), ('filename="=?utf-8?Q?Pr=C3=BC?=\r\n =?utf-8?Q?fung.pdf?="', "Prüfung.pdf"),
        ('filename="=?utf-8?Q?Pr=C3?= =?utf-8?Q?=BCfung.pdf?="', "Prüfung.pdf"), ('filename="=?utf-8?B?UHLDvGZ1bmc=?=.pdf"', "Prüfung.pdf"),
        ('filename="a =?utf-8?Q?=C3=BC?= b.pdf"', "a ü b.pdf"), ("filename*0=\"=?utf-8?B?UHLDvGZ1\"; filename*1=\"bmcucGRm?=\"", "Prüfung.pdf"),
        (f"filename*=utf-8''{full.replace('=', '%3D').replace('?', '%3F')}", "Prüfung.pdf"), ('filename="=?utf-8?Q?Rechnung 7.pdf?="', "Rechnung 7.pdf"),
        ('filename="=?utf-8?Q?a=3Bb=22c.pdf?="', 'a;b"c.pdf'), ('filename="=?UTF-8?Q?Pr=C3=BCfung=5F1.pdf?="', "Prüfung_1.pdf"),
        ('filename="=?windows-1252?Q?50=80.pdf?="', "50€.pdf"), ('filename="=?gb2312?B?us/NrC5wZGY=?="', "合同.pdf"), ("filename='=?utf-8?Q?Pr=C3=BCfung.pdf?='", "'Prüfung.pdf'"),
    )[s.n]  # fmt: skip
    wanted = {"filename_alt": ["Prüfung.pdf"]} if s.n == 15 else {}
    return _attached(
        s, ["Content-Type: application/pdf", f"Content-Disposition: attachment; {written}"], name, **wanted
    )


@kind(8)
def name_in_raw_bytes(s: Style) -> Made:
    """Names in raw bytes: UTF-8, and the charset of the text or of the language."""
    name, charset = (
        ("Prüfung.pdf", "utf-8"), ("Prüfung.pdf", "latin-1"), ("договор.pdf", "utf-8"), ("請求書.pdf", "utf-8"), ("合同三月份.pdf", "utf-8"),
        ("umowa spółki.pdf", "utf-8"), ("relevé d'août.pdf", "cp1252"), ("συμβόλαιο.pdf", "utf-8"),
    )[s.n]  # fmt: skip
    quote = ('"', "")[s.n % 2] if " " not in name else '"'
    field = (
        b"Content-Type: application/pdf\r\nContent-Disposition: attachment; filename="
        + quote.encode()
        + name.encode(charset)
        + quote.encode()
    )
    if charset == "utf-8":
        return _attached(s, field, name)
    text = part(["Content-Type: text/plain; charset=iso-8859-1"], b"see the file")
    file = field + b"\r\nContent-Transfer-Encoding: base64\r\n\r\n" + encoded(PDF, "base64")
    return whole(s, "mixed", text, file), right(s, text_contains=["see the file"], attachments=[expect(name, PDF)])


@kind(18)
def parameter_damage(s: Style) -> Made:
    """Parameters as programs write them wrongly: no quotes, missing or double semicolons, escapes, comments, blanks."""
    written, name = (
        ("attachment; filename=my file.pdf", "my file.pdf"), ("attachment; filename=my file.pdf; size=7", "my file.pdf"), ('attachment; filename="a;b.pdf"', "a;b.pdf"),
        ('attachment;; filename="a.pdf";', "a.pdf"), ('attachment filename="a.pdf"', "a.pdf"), ('attachment; filename = "a.pdf"', "a.pdf"),
        ('attachment; filename="a \\"b\\".pdf"', 'a "b".pdf'), ('attachment; filename="C:\\dir\\a.pdf"', "C:\\dir\\a.pdf"), ('attachment; filename="a.pdf', "a.pdf"),
        ('attachment; filename=a.pdf (the file)', "a.pdf"), ('attachment;\r\n\tfilename="a\r\n b.pdf"', "a b.pdf"), ("attachment; size=7; filename=a.pdf", "a.pdf"),
        ('attachment; filename=""; name="b.pdf"', "b.pdf"), ("attachment; filename='a b.pdf'", "'a b.pdf'"), ('"attachment"; filename="a.pdf"', "a.pdf"),
        ('ATTACHMENT; FILENAME="a.pdf"', "a.pdf"), ('attachment; filename="a.pdf" size=7', "a.pdf"), ("attachment; filename=a=b.pdf", "a=b.pdf"),
    )[s.n]  # fmt: skip
    more = {"filename_alt": {7: ["a.pdf", "C:dira.pdf"], 13: ["a b.pdf"], 9: ["a.pdf (the file)"]}.get(s.n, [])}
    return _attached(s, ["Content-Type: application/pdf", f"Content-Disposition: {written}"], name, **more)


@kind(8)
def name_in_either_field(s: Style) -> Made:
    """The disposition's name comes before the type's; a blank one is none."""
    type_name, file_name, name = (
        ("a.pdf", None, "a.pdf"), (None, "b.pdf", "b.pdf"), ("a.pdf", "b.pdf", "b.pdf"), ("a.pdf", "", "a.pdf"), ("a.pdf", " ", "a.pdf"),
        ("=?utf-8?Q?=C3=BC.pdf?=", None, "ü.pdf"), (None, "=?utf-8?Q?=C3=BC.pdf?=", "ü.pdf"), ("ä.pdf", "b.pdf", "b.pdf"),
    )[s.n]  # fmt: skip
    fields = ["Content-Type: application/pdf" + (f'; name="{type_name}"' if type_name is not None else "")]
    fields += [f'Content-Disposition: attachment; filename="{file_name}"'] if file_name is not None else []
    return _attached(s, fields, name)


@kind(7)
def content_type_damage(s: Style) -> Made:
    """A type with blanks, comments, quotes or two of them is the type; its name is not lost."""
    written, content_type = (
        ("application/pdf;name=a.pdf", "application/pdf"), ("APPLICATION/PDF; NAME=a.pdf", "application/pdf"), ("application / pdf ; name=a.pdf", "application/pdf"),
        ('"application/pdf"; name=a.pdf', "application/pdf"), ("application/pdf name=a.pdf", "application/pdf"), ("(c) application/pdf; name=a.pdf", "application/pdf"),
        ("application/pdf; charset=; name=a.pdf", "application/pdf"),
    )[s.n]  # fmt: skip
    return _attached(
        s, [f"Content-Type: {written}", "Content-Disposition: attachment"], "a.pdf", content_type=content_type
    )


@kind(6)
def name_that_is_no_name(s: Style) -> Made:
    """A name that would be a path, hidden, a device or empty is made safe, and the sender's own is kept."""
    written = ("../../etc/passwd", ".htaccess", "con.pdf", "a\u202efdp.exe", "a" * 300 + ".pdf", "a/b/c.pdf")[s.n]
    return _attached(
        s, ["Content-Type: application/pdf", f'Content-Disposition: attachment; filename="{written}"'], written
    )


@kind(5)
def files_of_one_name(s: Style) -> Made:
    """Files of one name are all there, each with its bytes."""
    files = [file_part(s, "image001.pdf", PDF + bytes([one]), "application/pdf") for one in range(s.n + 2)]
    wanted = [expect("image001.pdf", PDF + bytes([one])) for one in range(s.n + 2)]
    return whole(s, "mixed", text_part(s), *files), right(s, attachments=wanted, sound=True)
