"""UTF-8 with errors: what is still UTF-8, and which of its invalid bytes are letters of another charset.

A cut or a lost byte leaves one invalid sequence among valid ones; text in another charset has hardly any valid one. A
Latin-1 letter between ASCII letters is the work of a program that put a name into a template.
"""

import re

_LETTERS = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
#: Sequences that text in UTF-8 has: Latin, Greek, Cyrillic, Hebrew, Arabic, Thai, punctuation, East Asian, emoji.
_LIKELY = re.compile(
    rb"[\xc2-\xc5\xc8\xca-\xd1\xd7-\xdb][\x80-\xbf]|\xc6[\x8f\xa0\xa1\xaf\xb0]|\xc9\x99|\xd2[\x90-\xbb]|"
    rb"\xe0[\xa4-\xaf\xb8-\xbb][\x80-\xbf]|\xe1[\x80-\xbf]{2}|[\xe2-\xed\xef][\x80-\xbf]{2}|\xf0[\x9f\xa0][\x80-\xbf]{2}"
)
_EAST_ASIAN = re.compile(rb"[\xe3-\xed\xef][\x80-\xbf]{2}")
_NOT_LATIN = re.compile("[^\\x00-\u024f\u1e00-\u1eff\u2000-\u2bff\ufe0f\ufffd\U0001f000-\U0001faff\udc80-\udcff]")
_INVALID = re.compile("[\udc80-\udcff]+")
_ONLY_RUN = re.compile(rb"[\x00-\x7f]*+([\x80-\xff]{1,3})[\x00-\x7f]*+")
_LEAD = re.compile(rb"[\xe0-\xf4][\x80-\xbf]{1,2}\Z|[\x80-\xbf]{2,3}\Z")
#: Punctuation of Windows-1252 after a word: an ellipsis, quotes, dashes, a guillemet.
_CLOSING = frozenset({b"\x85", b"\x92", b"\x93", b"\x94", b"\x96", b"\x97", b"\xbb", b"\xb4", b"\xa0"})
_WITHIN_WORDS = "\u2018\u2019\u2013\u2014\u2026\u2122\xa9\xae\xb0\xb2\xb3\xb4\xb7\xad\xaa\xba"
_SURE_LETTERS = 3
_SAMPLE_BYTES = 32_768
_MOST_MENDED = 10_000


def is_surely_utf8(data: bytes) -> bool:
    """Whether `data` is UTF-8 almost certainly: text of another charset hardly has three likely letters, and more of them than others."""
    likely, letters = _counts(data)
    return likely >= _SURE_LETTERS and likely * 2 > letters and _is_valid(data)


def is_utf8_by_chance(data: bytes) -> bool:
    """Whether valid UTF-8 has one or two letters, of alphabets that hardly any mail has."""
    likely, letters = _counts(data)
    return not likely and letters < _SURE_LETTERS


def _counts(data: bytes) -> tuple[int, int]:
    sample = data[:_SAMPLE_BYTES]
    return sum(1 for _ in _LIKELY.finditer(sample)), sum(1 for _ in _LETTERS.finditer(sample))


def is_mostly_utf8(data: bytes, *, declared: bool, hinted: bool = False, east_asian: bool = False) -> bool:
    """Whether `data`, which is invalid UTF-8, is UTF-8 with errors.

    `declared` says that its sender calls it so, and `hinted` that it is valid in another charset that the mail uses. In
    bytes that may be `east_asian` text of two bytes a letter, only letters of three count: those of two are common by chance.
    """
    first = next((at for at, byte in enumerate(data[:_SAMPLE_BYTES]) if byte > 127), 0)
    sample = data[first : first + _SAMPLE_BYTES]
    text = sample.decode("utf-8", "surrogateescape")
    runs = _INVALID.findall(text)
    lone = sum(len(run) for run in runs)
    valid = sum(1 for char in text if char > "\x7f") - lone
    if declared:
        return valid >= max(1, len(runs)) and valid * 3 >= lone
    if east_asian or valid < 4 * lone:
        valid = sum(1 for _ in (_EAST_ASIAN if east_asian else _LIKELY).finditer(sample))
    if len(runs) == 1 and lone <= 3 and not hinted:
        # A name of three Korean letters has a letter of UTF-8 by chance.
        return valid >= (2 if east_asian else 1)
    return valid > len(runs) and valid >= 4 * lone


def is_one_broken_letter(data: bytes) -> bool:
    """Whether the only bytes beyond ASCII are a letter of UTF-8 that lost bytes, and no letter of Windows-1252.

    `Pr\\xfcfung` is a letter, and so are `Gru\\xdf` and `CIT\\xc9`; a capital after a small letter, or alone, is none.
    """
    match = _ONLY_RUN.fullmatch(data)
    if match is None:
        return False
    run, before, after = match[1], data[: match.start(1)][-1:], data[match.end(1) :][:1]
    if len(run) > 1:
        return _LEAD.match(run) is not None and not (before.isalpha() and run[1:] in _CLOSING)
    char = run.decode("cp1252", "replace")
    if char == "\xd7":  # a multiplication sign, or the first byte of Hebrew
        return not after or before.isalpha()
    if not char.isalpha():
        return char == "\ufffd" or (before.isalpha() and after.isalpha() and char not in _WITHIN_WORDS)
    if not char.isupper() or run >= b"\xf5":
        return False
    # The first bytes of most of Europe's letters in UTF-8: such a capital is one only in a word of capitals, or before it.
    common = run in (b"\xc3", b"\xc4", b"\xc5")
    if before.isupper():
        return common and not after.isupper() and not data[: match.start(1)][-2:-1].isupper()
    return before.islower() or not after.isalpha() or (run == b"\xc3" and not after.isupper())


def mend_utf8(data: bytes) -> str:
    """Return UTF-8 with U+FFFD for each invalid sequence; in Latin text, a byte that is a letter of Windows-1252 is that."""
    text = data.decode("utf-8", "surrogateescape")
    latin = _NOT_LATIN.search(text) is None

    def replacement(match: re.Match[str]) -> str:
        before, after = text[max(0, match.start() - 1) : match.start()], text[match.end() : match.end() + 1]
        found = bytes(ord(char) - 0xDC00 for char in match[0])
        if latin and len(found) == 1 and _is_letter(found[0], before, after):
            return found.decode("cp1252")
        return found.decode("utf-8", "replace")

    mended = _INVALID.sub(replacement, text, count=_MOST_MENDED)
    return mended.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _is_letter(byte: int, before: str, after: str) -> bool:
    """Whether an invalid byte is a letter of Windows-1252: no lead byte of Latin text, C2 to C5 and E2, that lost the rest."""
    if byte < 0xC0 or byte in (0xC2, 0xC3, 0xC4, 0xC5, 0xD7, 0xE2, 0xF7, 0xFF):
        return False
    return (before.isalpha() and before.isascii()) or (after.isalpha() and after.isascii())


def _is_valid(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeError:
        return False
    return True
