"""Builds raw mails as known programs write them: the field order, folding, boundaries and names of files of each.

A kind of mail is a function of a `Style`. Its siblings differ in every incidental detail, so that no rule is learned from
one file. Everything is chosen by the kind's name and the sibling's number: the same mails every time.
"""

import base64
import binascii
import hashlib
import quopri
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

#: Language: subject, sentence, person, stem of a file's name, charsets that have all of its letters.
LANGUAGES = {
    "de": ("Rechnung für März", "Guten Tag, anbei die Prüfunterlagen für Köln.", "Jörg Müller", "Prüfbericht Größe", "utf-8 iso-8859-1 windows-1252 iso-8859-15"),
    "fr": ("Facture réglée à Orléans", "Bonjour, voici le relevé demandé à l'été dernier.", "Hélène Lefèvre", "relevé d'août", "utf-8 iso-8859-1 windows-1252"),
    "es": ("Envío de la señal nº 7", "Hola, ¿podría revisar el año anterior? Gracias, señor.", "Íñigo Muñoz", "presupuesto año", "utf-8 iso-8859-1 windows-1252"),
    "it": ("Città più vicina", "Buongiorno, la fattura è già pagata perché urgente.", "Nicolò Forlì", "fattura già pagata", "utf-8 iso-8859-1 windows-1252"),
    "pl": ("Zażółć gęślą jaźń", "Dzień dobry, przesyłam umowę dla spółki z Łodzi.", "Łukasz Wiśniewski", "umowa spółki", "utf-8 iso-8859-2 windows-1250"),
    "cs": ("Příliš žluťoučký kůň", "Dobrý den, v příloze posílám smlouvu a účet.", "Jiří Dvořák", "smlouva č. 5", "utf-8 iso-8859-2 windows-1250"),
    "tr": ("Şubat ayı faturası", "Merhaba, ekte şirketin İstanbul sözleşmesi vardır.", "Gülşen Yıldız", "sözleşme ığdır", "utf-8 iso-8859-9 windows-1254"),
    "ru": ("Счёт за март", "Добрый день, высылаю договор и счёт на оплату.", "Пётр Иванов", "договор март", "utf-8 koi8-r windows-1251 iso-8859-5"),
    "el": ("Τιμολόγιο Μαρτίου", "Καλημέρα, σας στέλνω το συμβόλαιο της εταιρείας.", "Γιώργος Παππάς", "συμβόλαιο", "utf-8 iso-8859-7 windows-1253"),
    "he": ("חשבונית לחודש מרץ", "שלום רב, מצורף החוזה של החברה מתל אביב.", "יעל כהן", "חוזה החברה", "utf-8 iso-8859-8 windows-1255"),
    "ja": ("三月分の請求書", "お世話になっております。請求書をお送りします。", "山田太郎", "請求書三月", "utf-8 iso-2022-jp shift_jis euc-jp"),
    "zh": ("三月份发票", "您好，请查收附件中的合同和发票，谢谢。", "王小明", "合同三月", "utf-8 gb2312 gb18030"),
    "ko": ("삼월 견적서", "안녕하세요. 첨부된 계약서를 확인해 주시기 바랍니다.", "홍길동", "견적서 삼월", "utf-8 euc-kr ks_c_5601-1987"),
}  # fmt: skip

#: Program: its line, its boundary, how it folds, how it writes names of files, and whether its field names are in lower case.
CLIENTS = {
    "outlook": ("X-Mailer: Microsoft Outlook 16.0", "----=_NextPart_000_00%02X_01DC5E2A.7B6C5D40", "\r\n\t", "words", False),
    "exchange": ("X-MS-Has-Attach: yes", "_00%d_AM0PR04MB1234A1B2C3D4E5F60718AM0PR04MB1234eurp_", "\r\n\t", "words", False),
    "gmail": ("X-Gm-Message-State: AOJu0Yx", "000000000000%012x", " ", "words", False),
    "apple": ("X-Mailer: Apple Mail (2.3826.200.121)", "Apple-Mail=_7A9C4B10-6E2D-4F8A-9C3B-%012X", "\r\n\t", "2231", False),
    "thunderbird": ("User-Agent: Mozilla Thunderbird", "------------0aB%dcD3fG", "\r\n ", "both", False),
    "k9": ("User-Agent: K-9 Mail for Android", "----Z4K%dQ7", "\r\n ", "2231", False),
    "notes": ("X-Mailer: Lotus Notes Release 9.0.1", "0__=4EBB09%dDDFB", "\r\n\t", "words", True),
    "java": ("X-Mailer: JavaMail", "----=_Part_%d_1804032391.1764061200000", " \r\n\t", "words", False),
    "php": ("X-Mailer: PHPMailer 6.9.1 (https://github.com/PHPMailer/PHPMailer)", "b1=_%d_abcDEF", "; ", "words", False),
    "scanner": ("X-Mailer: KM_C300i", "KONICA_MINOLTA_%d", "\r\n ", "raw", False),
}  # fmt: skip
DATE = "Tue, 25 Nov 2025 10:00:00 +0100"
MOMENT = "2025-11-25T09:00:00+00:00"

PDF = b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog >>\nendobj\ntrailer\n<< /Root 1 0 R >>\n%%EOF\n"
PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00\x1f\x15\xc4\x89"
JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x01\x00\x48\x00\x48\x00\x00\xff\xdb\x00C\x00"
GIF = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\xff\xff\xff\x00\x00\x00!\xf9\x04\x01\x00"
TIFF = b"II*\x00\x08\x00\x00\x00" + bytes(40)
ZIP = b"PK\x03\x04\x14\x00\x00\x00\x08\x00" + bytes(20)
XML = '<?xml version="1.0" encoding="UTF-8"?>\n<Invoice><ID>7</ID><Name>Müller</Name></Invoice>\n'.encode()
CSV = "Nr;Name;Betrag\n1;Müller;10,50\n".encode("cp1252")


@dataclass(frozen=True, slots=True)
class Style:
    """The incidental details of one sibling. `n` is its number, from 0."""

    n: int
    language: str
    client: str
    charset: str
    encoding: str
    chance: random.Random = field(compare=False, hash=False)

    @property
    def subject(self) -> str:
        """A subject in the language."""
        return LANGUAGES[self.language][0]

    @property
    def text(self) -> str:
        """A sentence in the language."""
        return LANGUAGES[self.language][1]

    @property
    def person(self) -> str:
        """The name of the sender."""
        return LANGUAGES[self.language][2]

    @property
    def stem(self) -> str:
        """The name of a file without its extension."""
        return LANGUAGES[self.language][3]

    @property
    def fold(self) -> str:
        """What is between a field's value and its first parameter, after the semicolon."""
        fold = CLIENTS[self.client][2]
        return " " if fold == "; " else fold


@dataclass(frozen=True, slots=True)
class Sample:
    """One mail, and what is right: the columns of `judging`."""

    name: str
    kind: str
    raw: bytes
    right: Mapping[str, Any]


Maker = Callable[[Style], tuple[bytes, dict[str, Any]]]
KINDS: dict[str, tuple[Maker, int]] = {}


def kind(siblings: int = 5) -> Callable[[Maker], Maker]:
    """Register a function as a kind of mail with so many siblings."""

    def register(maker: Maker) -> Maker:
        KINDS[maker.__name__] = (maker, siblings)
        return maker

    return register


def samples() -> Iterator[Sample]:
    """Yield every sibling of every registered kind."""
    for name, (maker, siblings) in KINDS.items():
        for n in range(siblings):
            raw, right = maker(style(name, n))
            yield Sample(f"{name}-{n}", name, raw, right)


def style(name: str, n: int) -> Style:
    """Return the details of the nth sibling of a kind: neighbours differ in all of them."""
    chance = random.Random(f"{name} {n}")
    start = sum(name.encode())
    language = list(LANGUAGES)[(start + n * 5) % len(LANGUAGES)]
    client = list(CLIENTS)[(start + n * 3) % len(CLIENTS)]
    charsets = LANGUAGES[language][4].split()
    charset = charsets[(start + n) % len(charsets)]
    encoding = "7bit" if charset == "iso-2022-jp" else ("quoted-printable", "base64", "8bit")[(start + n) % 3]
    return Style(n, language, client, charset, encoding, chance)


def word(text: str, charset: str, form: str = "b") -> str:
    """Return text as one encoded word; ASCII stays as it is."""
    if text.isascii():
        return text
    data = text.encode(charset)
    if form == "b":
        return f"=?{charset}?B?{base64.b64encode(data).decode()}?="
    safe = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    return f"=?{charset}?Q?{''.join(chr(byte) if byte in safe else f'={byte:02X}' for byte in data)}?="


def named(key: str, name: str, form: str, charset: str = "utf-8") -> str:
    """Return a parameter `key` with a file's name, in a program's form."""
    if name.isascii() and form != "2231":
        return f'{key}="{name}"'
    extended = f"{key}*={charset}''{quote(name.encode(charset))}"
    if form == "2231":
        return extended
    if form == "both":
        return f'{key}="{word(name, charset)}"' if key == "name" else extended
    return f'{key}="{word(name, charset)}"' if form == "words" else f'{key}="{name}"'


def encoded(data: bytes, encoding: str) -> bytes:
    """Return bytes in a transfer encoding, with CRLF lines."""
    if encoding == "base64":
        return base64.encodebytes(data).replace(b"\n", b"\r\n")
    if encoding == "quoted-printable":
        return quopri.encodestring(data).replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    if encoding == "x-uuencode":
        rows = [binascii.b2a_uu(data[at : at + 45]) for at in range(0, len(data), 45)]
        return (b"begin 644 file\n" + b"".join(rows) + b"`\nend\n").replace(b"\n", b"\r\n")
    return data


def part(fields: list[str], data: bytes) -> bytes:
    """Return a part: its fields, an empty line, its data."""
    return "\r\n".join([*fields, "", ""]).encode() + data


def text_part(s: Style, text: str | None = None, subtype: str = "plain", more: str = "") -> bytes:
    """Return a text in the style's charset and encoding."""
    fields = [f"Content-Type: text/{subtype};{s.fold}charset={_charset(s)}{more}"]
    fields.append(f"Content-Transfer-Encoding: {s.encoding}")
    return part(cased(s, fields), encoded((text or s.text).encode(s.charset), s.encoding))


def file_part(
    s: Style,
    name: str,
    data: bytes,
    content_type: str,
    *,
    disposition: str = "attachment",
    cid: str = "",
    form: str = "",
) -> bytes:
    """Return a file as the style's program attaches it."""
    form = form or CLIENTS[s.client][3]
    fields = [f"Content-Type: {content_type};{s.fold}{named('name', name, form)}"]
    if s.client == "exchange":
        fields.append(f"Content-Description: {word(name, 'utf-8')}")
    if disposition:
        size = f";{s.fold}size={len(data)}" if s.client in ("exchange", "k9") else ""
        fields.append(f"Content-Disposition: {disposition};{s.fold}{named('filename', name, form)}{size}")
    if cid:
        fields.append(f"Content-ID: <{cid}>")
    if s.client == "gmail" and cid:
        fields.append(f"X-Attachment-Id: {cid}")
    fields.append("Content-Transfer-Encoding: base64")
    if s.n % 2:
        fields = [fields[0], *reversed(fields[1:])]
    return part(cased(s, fields), encoded(data, "base64"))


def multi(s: Style, subtype: str, *inside: bytes, mark: int = 1, more: str = "") -> tuple[list[str], bytes]:
    """Return the fields and the body of a multipart. `mark` keeps nested boundaries apart."""
    boundary = CLIENTS[s.client][1] % (s.n * 16 + mark)
    body = b"".join(b"--" + boundary.encode() + b"\r\n" + one + b"\r\n" for one in inside)
    preamble = (
        b"This is a multi-part message in MIME format.\r\n\r\n" if s.client in ("outlook", "thunderbird") else b""
    )
    fields = [f'Content-Type: multipart/{subtype};{s.fold}boundary="{boundary}"{more}']
    return cased(s, fields), preamble + body + b"--" + boundary.encode() + b"--\r\n"


def multipart(s: Style, subtype: str, *inside: bytes, mark: int = 1, more: str = "") -> bytes:
    """Return a multipart as a part of another one."""
    return part(*multi(s, subtype, *inside, mark=mark, more=more))


def mail(s: Style, fields: list[str], body: bytes, *, subject: str | None = None) -> bytes:
    """Return a whole mail with the header block of the style's program around the content's `fields`."""
    head = [
        "Return-Path: <sender@supplier.example>",
        f"Received: from mx.supplier.example by inbound.example;{CLIENTS['outlook'][2]}{DATE}",
        f"From: {word(s.person, 'utf-8', 'q' if s.n % 2 else 'b')} <sender@supplier.example>",
        "To: <in@mail.example>",
        f"Subject: {word(subject if subject is not None else s.subject, 'utf-8', 'b' if s.n % 2 else 'q')}",
        f"Date: {DATE}",
        f"Message-ID: <{s.language}.{s.n}.{s.client}@supplier.example>",
        CLIENTS[s.client][0],
        "MIME-Version:1.0" if s.client == "scanner" else "MIME-Version: 1.0",
    ]
    moved = head[2:]
    s.chance.shuffle(moved)
    return lined(s, part(cased(s, [*head[:2], *moved, *fields]), body))


def lined(s: Style, data: bytes) -> bytes:
    """Return data with the line ends that the style's program writes."""
    return data.replace(b"\r\n", b"\n") if s.client in ("php", "notes") and s.encoding != "8bit" else data


def whole(s: Style, subtype: str, *inside: bytes, more: str = "", subject: str | None = None, mark: int = 1) -> bytes:
    """Return a multipart mail."""
    return mail(s, *multi(s, subtype, *inside, more=more, mark=mark), subject=subject)


def single(s: Style, content: bytes, *, subject: str | None = None) -> bytes:
    """Return a mail that is one part."""
    head, _, body = content.partition(b"\r\n\r\n")
    return mail(s, head.decode().split("\r\n"), body, subject=subject)


def right(s: Style, **more: Any) -> dict[str, Any]:
    """Return what is right for a mail by `mail` with the style's text and no file, changed by `more`."""
    return {
        "subject": s.subject,
        "from": [{"name": s.person, "email": "sender@supplier.example"}],
        "to": [{"email": "in@mail.example"}],
        "date": MOMENT,
        "message_id": f"{s.language}.{s.n}.{s.client}@supplier.example",
        "text_contains": [s.text],
        "attachments": [],
        "complete": True,
    } | more


def expect(name: str | None, data: bytes, content_type: str | None = None, **more: Any) -> dict[str, Any]:
    """Return what is right for one file."""
    wanted: dict[str, Any] = {"sha256": hashlib.sha256(data).hexdigest(), **more}
    if name:
        wanted["filename"] = name
    if content_type:
        wanted["content_type"] = content_type
    return wanted


def cased(s: Style, fields: list[str]) -> list[str]:
    """Return fields with the names in the program's letters; Notes writes `Content-type`."""
    if s.client != "notes":
        return fields
    return [
        one.replace("Content-Type:", "Content-type:").replace("Transfer-Encoding:", "transfer-encoding:")
        for one in fields
    ]


def _charset(s: Style) -> str:
    return f'"{s.charset}"' if s.client in ("outlook", "exchange", "apple") else s.charset
