"""Bytes to text: charset names in mail, and what to do if a name is wrong or missing."""

import codecs
import re
import unicodedata
from functools import lru_cache

from mailroom.domain.parsing.broken_utf8 import (
    is_mostly_utf8,
    is_one_broken_letter,
    is_surely_utf8,
    is_utf8_by_chance,
    mend_utf8,
)
from mailroom.domain.parsing.cns11643 import is_iso2022_cn
from mailroom.domain.parsing.guess import guess, guesses, japanese
from mailroom.domain.parsing.limits import Defect, Reading

_NAME = re.compile(r"[a-z0-9][a-z0-9._:+-]{0,40}")
_CODE_PAGE = re.compile(r"(?:x-)?(?:win|windows|cp|ms|ibm)[-_]?(?:cp|ms|win)?(\d{3,5})")
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
    "gb2312-80": "gb18030",
    "x-gb2312": "gb18030",
    "cn-gb": "gb18030",
    "gb18030-2000": "gb18030",
    "x-euc-cn": "gb18030",
    "cp54936": "gb18030",
    "cp52936": "hz",
    "cn-big5": "big5hkscs",
    "big-5": "big5hkscs",
    "big5-eten": "big5hkscs",
    "x-x-big5": "big5hkscs",
    "ks_c_5601-1989": "cp949",
    "ksc_5601": "cp949",
    "x-windows-949": "cp949",
    "cp51949": "cp949",
    "iso-2022-jp-ms": "iso2022_jp_ext",
    "cp50220": "iso2022_jp_ext",
    "cp50221": "iso2022_jp_ext",
    "cp50222": "iso2022_jp_ext",
    "x-shift_jis": "cp932",
    "x-shift-jis": "cp932",
    "shift-jis": "cp932",
    "cp943": "cp932",
    "windows-31j": "cp932",
    "cp51932": "euc_jp",
    "x-eucjp": "euc_jp",
    "cp50225": "iso2022_kr",
    "euc-tw": "euc_tw",
    "x-euc-tw": "euc_tw",
    "cp51950": "euc_tw",
    "cns11643": "euc_tw",
    "iso-2022-cn": "iso2022_cn",
    "iso-2022-cn-ext": "iso2022_cn",
    "cp50227": "iso2022_cn",
    "cp50229": "iso2022_cn",
    "cp20866": "koi8-r",
    "cp21866": "koi8-u",
    "koi8": "koi8-r",
    "koi8-ru": "koi8-u",
    "cp20127": "ascii",
    "iso8859-11": "cp874",
    "iso-8859-6-i": "iso8859-6",
    "iso-8859-6-e": "iso8859-6",
    "x-mac-cyrillic": "mac_cyrillic",
    "x-mac-ce": "mac_latin2",
    "x-mac-greek": "mac_greek",
    "x-mac-turkish": "mac_turkish",
    "csunicode11utf7": "utf-7",
    "unicode-2-0-utf-7": "utf-7",
    "x-unicode-2-0-utf-7": "utf-7",
    "unicode-2-0-utf-8": "utf-8",
    "x-unicode-2-0-utf-8": "utf-8",
    "unicode": "utf-16",
    "ucs-2": "utf-16",
    "iso-10646-ucs-2": "utf-16",
    "utf16le": "utf-16-le",
    "utf16be": "utf-16-be",
    "x-mac-roman": "mac_roman",
    "macintosh": "mac_roman",
    "utf8mb4": "utf-8",
    "unicode-1-1-utf-8": "utf-8",
    "unicode-1-1-utf-7": "utf-7",
}
_MARKS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_JAPANESE = re.compile(rb"\x1b\$[@B]|\x1b\([JI]")
_JAPANESE_SET = re.compile(rb"(?:\x1b(\$[@B]|\([BIJ])|([\x0e\x0f]))")
_MOST_SHIFTS = 100_000
#: Single-byte charsets, in which any bytes are valid: such a declaration proves nothing.
_ONE_BYTE = ("cp125", "iso8859", "koi8", "mac", "ascii")
#: Charsets of two bytes a letter, in which any pair of bytes may be valid.
_TWO_BYTES = frozenset(
    {"gb18030", "big5hkscs", "cp950", "cp949", "cp932", "euc_jp", "shift_jis_2004", "johab", "euc_tw"}
)
_JAPANESE_CODECS = frozenset({"cp932", "euc_jp", "iso2022_jp_ext", "euc_jis_2004", "shift_jis_2004"})
_NO_OTHER = (None, "ascii", "utf-8")
_EAST_ASIAN = _TWO_BYTES | _JAPANESE_CODECS
#: Larger forms of a charset, used by mailers under its name.
_LARGER = {"euc_jp": ("euc_jis_2004",), "cp932": ("shift_jis_2004",), "big5hkscs": ("cp950",), "iso8859-8": ("cp1255",)}
_LATIN = frozenset({"cp1252", "iso8859-15"})
_CYRILLIC = frozenset({"cp1251", "koi8-r", "koi8-u", "iso8859-5"})
_RUSSIAN = re.compile("[А-Яа-яЁёІіЇїЄє\x00-\x7f«»№]+")
_META = re.compile(rb"charset\s{0,9}=\s{0,9}[\"']?([\w.:-]{2,40})", re.I)
_META_BYTES = 2048
_SAMPLE_BYTES = 4096
#: The first bytes of common letters in UTF-16: Latin to Thai, punctuation, kana, ideographs and Hangul.
_COMMON_ROWS = frozenset({0, 1, 3, 4, 5, 6, 0x0E, 0x20, 0x30, *range(0x4E, 0xA0), *range(0xAC, 0xD8), 0xFF})
_TONED = re.compile("[^\\W\\d_][\u0300\u0301\u0303\u0309\u0323]")
_CONTROLS = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")


@lru_cache(maxsize=512)
def codec(name: str | None) -> str | None:
    """Return Python's codec for a charset name of a mail, or None if there is none."""
    key = (name or "").strip().lower()
    if not _NAME.fullmatch(key):
        return None
    page = _CODE_PAGE.fullmatch(key)
    key = f"cp{page[1]}" if page else key
    if key.startswith(("cp2859", "cp2860")):  # Windows' numbers of ISO 8859
        key = f"iso8859-{int(key[2:]) - 28590}"
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
        and b"\x0e" not in data
        and not (
            charset
            and charset.lower().startswith(("utf", "hz", "unicode", "x-unicode", "csunicode", "ucs", "iso-10646"))
        )
    ):
        return storable(data.decode("ascii"))
    declared = codec(charset)
    if declared and declared.startswith(("utf-16", "utf-32")) and data.isascii() and not _is_wide(data, declared):
        declared = None
    if charset and declared is None:
        reading.note(Defect.CHARSET_UNKNOWN)
    if declared and declared.startswith(_ONE_BYTE) and (is_surely_utf8(data) or (html and _says_utf8(data))):
        declared, charset = None, None
        reading.note(Defect.CHARSET_MISMATCH)
    for name in _in_order(data, declared, html=html):
        if name == "utf-8" and declared == name and not _is_utf8(data):
            if is_mostly_utf8(data, declared=True) or is_one_broken_letter(data):
                break
            continue
        text = _strictly(data, name)
        if text is not None:
            if declared and name not in (declared, "utf-8-sig", "utf-16"):
                reading.note(Defect.CHARSET_MISMATCH)
            return storable(text)
    reading.note(Defect.CHARSET_MISMATCH)
    return storable(_repaired(data, declared))


def decode_header(data: bytes, hint: str | None) -> str:
    """Return raw 8-bit bytes of a header as text; `hint` is the charset declared by the mail's first part."""
    if data.isascii() and b"\x1b" not in data:
        return data.decode("ascii")
    likely = codec(hint)
    if likely and likely.startswith("utf"):
        likely = None  # UTF-8 is tried anyway, and no header is UTF-16
    for name in _in_order(data, None, html=False):
        text = _strictly(data, name)
        if text is not None and not (likely and _is_chance(data, text, likely)):
            return text
    return _as_hinted(data, likely) or _repaired(data, likely)


def _as_hinted(data: bytes, likely: str | None) -> str | None:
    """Return a header that is no UTF-8 in the charset of the body, or None if it is UTF-8 with errors, or invalid."""
    if likely is None or likely == "ascii":
        return None
    asian = likely in _EAST_ASIAN
    hinted = not asian and likely not in _LATIN
    if not _is_utf8(data) and is_mostly_utf8(data, declared=False, hinted=hinted, east_asian=asian):
        return None
    if likely in _JAPANESE_CODECS and not data.isascii():
        name = japanese(data, first=likely)
        return data.decode(name) if name else None
    return _strictly(data, likely)


def decode_word(data: bytes, charset: str | None, *, hint: str | None = None) -> str:
    """Return the bytes of an encoded word, or of an RFC 2231 value, as text."""
    name = codec(charset)
    if name is None:
        return decode_header(data, hint)
    text = None if name == "ascii" and b"\x1b" in data else _strictly(data, name)
    if text is not None:
        return text
    return decode_header(data, charset) if name == "ascii" or _is_utf8(data) else _repaired(data, name)


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
    return _strictly(data, "utf-8") is not None


def _in_order(data: bytes, declared: str | None, *, html: bool) -> list[str]:
    names = [name for mark, name in _MARKS if data.startswith(mark) and _may_have_mark(data, name, declared)]
    if _JAPANESE.search(data) and data.isascii() and not (declared or "").startswith("iso2022"):
        names.append("iso2022_jp_ext")
    elif data.isascii() and is_iso2022_cn(data):
        names.append("iso2022_cn")
    if declared:
        names += [declared, *_LARGER.get(declared, ())]
    charset = _meta_charset(data) if html else None
    # A page that could be searched for its meta element is not UTF-16 (HTML 13.2.3.2).
    if charset and not charset.startswith(("utf-16", "utf-32")):
        names += [] if charset.startswith(_ONE_BYTE) and is_surely_utf8(data) else [charset]
    return [*names, "utf-8"]


def _meta_charset(data: bytes) -> str | None:
    meta = _META.search(data[:_META_BYTES])
    return codec(meta[1].decode("ascii", "ignore")) if meta else None


def _says_utf8(data: bytes) -> bool:
    """Whether a page says that it is UTF-8, and is: a gateway that declares another charset did not convert it."""
    return _meta_charset(data) == "utf-8" and _is_utf8(data)


def _may_have_mark(data: bytes, mark: str, declared: str | None) -> bool:
    """Whether the first bytes are a byte order mark, and no letters of the declared charset (`яю` in Windows-1251)."""
    return mark != "utf-16" or not declared or declared.startswith(("utf", "ascii")) or b"\x00" in data


def _is_chance(data: bytes, text: str, hint: str) -> bool:
    """Whether a header that is valid UTF-8 is so by chance: it is text in `hint`, which has other letters there."""
    if hint in _EAST_ASIAN:
        return all(char < "\u0800" for char in text) and _strictly(data, hint) is not None
    if not hint.startswith(_ONE_BYTE) or is_surely_utf8(data):
        return False
    if is_utf8_by_chance(data):
        return True
    if hint not in _CYRILLIC:
        return False
    return _RUSSIAN.fullmatch(data.decode(hint, "replace")) is not None and _RUSSIAN.fullmatch(text) is None


def _strictly(data: bytes, name: str) -> str | None:
    if b"\x0e" in data and name.startswith("iso2022_jp"):
        return _microsoft_japanese(data)
    try:
        if name == "utf-16":
            return _utf16(data)
        return _composed(data.decode(name), name)
    except (UnicodeError, ValueError):
        return _microsoft_japanese(data) if name.startswith("iso2022_jp") and _JAPANESE.search(data) else None


def _is_wide(data: bytes, declared: str) -> bool:
    """Whether ASCII bytes are text in UTF-16 or UTF-32 as declared: with NUL or controls, or of common ideographs."""
    if _CONTROLS.search(data):
        return True
    text = _strictly(data, declared) or ""
    return bool(text) and any(_encodes(text, name) for name in ("gb2312", "cp932", "big5", "cp949"))


def _encodes(text: str, name: str) -> bool:
    try:
        text.encode(name)
    except UnicodeError:
        return False
    return True


def _with_marks(data: bytes, name: str) -> str:
    """Return text with U+FFFD for what is invalid."""
    return _utf16(data, "replace") if name == "utf-16" else _composed(data.decode(name, "replace"), name)


def _composed(text: str, name: str) -> str:
    """Return text of Windows-1258, which writes the tones of Vietnamese as marks of their own, with one letter for each pair."""
    if name != "cp1258":
        return text
    return _TONED.sub(lambda pair: unicodedata.normalize("NFC", pair[0]), text)


def _utf16(data: bytes, errors: str = "strict") -> str:
    """Decode UTF-16; without a byte order mark, the order of bytes gives characters that are more common."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", errors)
    sample = data[:_SAMPLE_BYTES]
    little = sum(high in _COMMON_ROWS for high in sample[1::2]) - len(set(sample[1::2])) / 1000
    big = sum(high in _COMMON_ROWS for high in sample[::2]) - len(set(sample[::2])) / 1000
    return data.decode("utf-16-be" if big > little else "utf-16-le", errors)


def _microsoft_japanese(data: bytes) -> str | None:
    """Decode ISO-2022-JP with Microsoft's additional characters, which Python supports only in Shift JIS."""
    if data.count(b"\x1b") + data.count(b"\x0e") + data.count(b"\x0f") > _MOST_SHIFTS:
        return None
    pieces = _JAPANESE_SET.split(data)
    shifted = [pieces[0]]
    for escaped, shift, letters in zip(pieces[1::3], pieces[2::3], pieces[3::3], strict=True):
        if escaped and escaped[:1] == b"$":
            letters = _shift_jis(letters)
        elif escaped == b"(I" or shift == b"\x0e":
            # Half-width kana have the same codes, in the upper half.
            letters = bytes(byte | 0x80 if 0x21 <= byte <= 0x5F else byte for byte in letters)
        shifted.append(letters)
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


def _repaired(data: bytes, declared: str | None) -> str:
    """Decode bytes that are invalid in their charset: UTF-8 with errors, the declared charset with few, or a guess.

    A guess that decodes everything comes before one that does not, and is tried in Japanese first if the mail names that.
    """
    if is_mostly_utf8(data, declared=declared == "utf-8", east_asian=declared in _EAST_ASIAN):
        return mend_utf8(data)
    if declared in _NO_OTHER and is_one_broken_letter(data):
        return data.decode("utf-8", "replace")
    if declared in _JAPANESE_CODECS and (name := japanese(data)):
        return data.decode(name)
    if declared and declared not in ("ascii", "utf-8"):
        sample = data[:_SAMPLE_BYTES]
        wrong = _with_marks(sample, declared).count("\ufffd")
        if wrong * 8 <= max(8, sum(1 for byte in sample if byte > 127)):
            return _with_marks(data, declared)
    for name in guesses(data):
        text = _strictly(data, name)
        if text is not None:
            return text
    return data.decode(guess(data), "replace")
