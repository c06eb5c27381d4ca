"""Bytes to text: charset names in mail, and what to do if a name is wrong or missing."""

import codecs
import re
from functools import lru_cache

from mailroom.domain.parsing.guess import guess
from mailroom.domain.parsing.limits import Defect, Reading

_NAME = re.compile(r"[a-z0-9][a-z0-9._:+-]{0,40}")
_CODE_PAGE = re.compile(r"(?:x-)?(?:win|windows|cp|ms|ibm)[-_]?(\d{3,5})")
#: Python codecs that are no charsets of mail: slow on hostile input, or with warnings.
_UNWANTED = frozenset({"idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "mbcs", "oem"})
#: Charsets that Python lacks, and names that are used for a larger set than they mean (as in WHATWG Encoding).
_ALIASES = {
    "iso8859-1": "cp1252",
    "latin-1": "cp1252",
    "ansi": "cp1252",
    "ansi_x3.110-1983": "cp1252",
    "iso8859-9": "cp1254",
    "iso-8859-8-i": "iso8859-8",
    "iso-8859-8-e": "iso8859-8",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "x-gbk": "gb18030",
    "euc-cn": "gb18030",
    "gb_2312-80": "gb18030",
    "cp936": "gb18030",
    "big5": "big5hkscs",
    "x-big5": "big5hkscs",
    "ks_c_5601-1987": "cp949",
    "ks_c_5601": "cp949",
    "ksc5601": "cp949",
    "euc_kr": "cp949",
    "iso-2022-jp": "iso2022_jp_ext",
    "shift_jis": "cp932",
    "x-sjis": "cp932",
    "sjis": "cp932",
    "x-euc-jp": "euc_jp",
    "tis-620": "cp874",
    "x-mac-roman": "mac_roman",
    "macintosh": "mac_roman",
    "utf8mb4": "utf-8",
    "unicode-1-1-utf-8": "utf-8",
    "unicode-1-1-utf-7": "utf-7",
}
_MARKS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_JAPANESE = re.compile(rb"\x1b\$[@B]|\x1b\(J")
_JAPANESE_SET = re.compile(rb"\x1b(\$[@B]|\([BJ])")
_MOST_SHIFTS = 100_000
#: Single-byte charsets, in which any bytes are valid: such a declaration proves nothing.
_ONE_BYTE = ("cp125", "iso8859", "koi8", "mac", "ascii")
_UTF8_LETTERS = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_SURE_LETTERS = 3
_META = re.compile(rb"charset\s{0,9}=\s{0,9}[\"']?([\w.:-]{2,40})", re.I)
_META_BYTES = 2048
_SAMPLE_BYTES = 4096
_CONTROLS = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")


@lru_cache(maxsize=512)
def codec(name: str | None) -> str | None:
    """Return Python's codec for a charset name of a mail, or None if there is none."""
    key = (name or "").strip().lower()
    if not _NAME.fullmatch(key):
        return None
    page = _CODE_PAGE.fullmatch(key)
    key = f"cp{page[1]}" if page else key
    try:
        # Aliases are looked up by the mail's spelling and by Python's, which unifies the many spellings of Latin-1.
        codec_name = codecs.lookup(_ALIASES.get(key, key)).name
        codec_name = codecs.lookup(_ALIASES.get(codec_name, codec_name)).name
        # Python also has codecs from bytes to bytes (quopri, zip); they would decode an empty input, so one byte is tried.
        b"a".decode(codec_name, "replace")
    except (LookupError, ValueError):
        return None
    return None if codec_name.replace("-", "_") in _UNWANTED else codec_name


def decode(data: bytes, charset: str | None, *, reading: Reading, html: bool = False) -> str:
    """Return the text of a body: by its byte order mark, the declared charset, UTF-8, the HTML's declaration, or a guess."""
    if (
        data.isascii()
        and b"\x1b" not in data
        and not (charset and charset.lower().startswith(("utf-", "hz", "unicode")))
    ):
        return storable(data.decode("ascii"))
    declared = codec(charset)
    if declared and declared.startswith(("utf-16", "utf-32")) and data.isascii() and b"\x00" not in data:
        declared = None
    if charset and declared is None:
        reading.note(Defect.CHARSET_UNKNOWN)
    if declared and declared.startswith(_ONE_BYTE) and _is_utf8(data):
        declared, charset = None, None
        reading.note(Defect.CHARSET_MISMATCH)
    for name in _in_order(data, declared, html=html):
        text = _strictly(data, name)
        if text is not None:
            if declared and name not in (declared, "utf-8-sig", "utf-16"):
                reading.note(Defect.CHARSET_MISMATCH)
            return storable(text)
    reading.note(Defect.CHARSET_MISMATCH)
    return storable(_lossily(data, declared))


def decode_header(data: bytes, hint: str | None) -> str:
    """Return raw 8-bit bytes of a header as text; `hint` is the charset declared by the mail's first part."""
    if data.isascii() and b"\x1b" not in data:
        return data.decode("ascii")
    for name in _in_order(data, None, html=False):
        text = _strictly(data, name)
        if text is not None:
            return text
    return _lossily(data, codec(hint))


def decode_word(data: bytes, charset: str | None, *, hint: str | None = None) -> str:
    """Return the bytes of an encoded word, or of an RFC 2231 value, as text."""
    name = codec(charset)
    text = _strictly(data, name) if name else None
    return decode_header(data, charset if name else hint) if text is None else text


def is_text(data: bytes, charset: str) -> bool:
    """Whether `data` decodes as `charset`, or at least without the control characters of wrongly decoded bytes."""
    name = codec(charset)
    return _CONTROLS.search(data) is None or (name is not None and _strictly(data, name) is not None)


def storable(text: str) -> str:
    """Return `text` in a form that PostgreSQL can store: NUL removed, lone surrogates replaced."""
    text = text.replace("\x00", "")
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text


def _is_utf8(data: bytes) -> bool:
    """Whether `data` is UTF-8 almost certainly: single-byte text rarely has three UTF-8 letters and no invalid byte."""
    return (
        len(_UTF8_LETTERS.findall(data, 0, _META_BYTES * 16)) >= _SURE_LETTERS and _strictly(data, "utf-8") is not None
    )


def _in_order(data: bytes, declared: str | None, *, html: bool) -> list[str]:
    names = [name for mark, name in _MARKS if data.startswith(mark)]
    if declared:
        names.append(declared)
    if _JAPANESE.search(data):
        names.append("iso2022_jp_ext")
    meta = _META.search(data[:_META_BYTES]) if html else None
    charset = codec(meta[1].decode("ascii", "ignore")) if meta else None
    return [*names, charset, "utf-8"] if charset else [*names, "utf-8"]


def _strictly(data: bytes, name: str) -> str | None:
    try:
        return data.decode(name)
    except (UnicodeError, ValueError):
        return _microsoft_japanese(data) if name.startswith("iso2022_jp") else None


def _microsoft_japanese(data: bytes) -> str | None:
    """Decode ISO-2022-JP with Microsoft's additional characters, which Python supports only in Shift JIS."""
    if data.count(b"\x1b") > _MOST_SHIFTS:
        return None
    pieces = _JAPANESE_SET.split(data)
    shifted = [pieces[0]]
    for start, letters in zip(pieces[1::2], pieces[2::2], strict=True):
        shifted.append(_shift_jis(letters) if start[:1] == b"$" else letters)
    try:
        return b"".join(shifted).decode("cp932")
    except UnicodeError:
        return None


def _shift_jis(letters: bytes) -> bytes:
    """Return two-byte JIS codes as Shift JIS: rows in pairs, the odd row of a pair before the even one."""
    codes = bytearray()
    for row, cell in zip(letters[::2], letters[1::2], strict=False):
        if not (0x21 <= row <= 0x7E and 0x21 <= cell <= 0x7E):
            return letters
        codes.append((row + 1) // 2 + (0x70 if row < 0x5F else 0xB0))
        codes.append(cell + (0x1F if cell < 0x60 else 0x20) if row % 2 else cell + 0x7E)
    return bytes(codes)


def _lossily(data: bytes, declared: str | None) -> str:
    """Decode bytes that are invalid in every charset, replacing what cannot be decoded."""
    if declared and declared != "ascii":
        sample = data[:_SAMPLE_BYTES]
        wrong = sample.decode(declared, "replace").count("\ufffd")
        if wrong * 8 <= max(8, sum(1 for byte in sample if byte > 127)):
            return data.decode(declared, "replace")
    return data.decode(guess(data), "replace")
