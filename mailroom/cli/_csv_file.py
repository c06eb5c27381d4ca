"""CSV files as spreadsheets write them: encodings, separators, empty rows and columns.

Excel writes `CSV UTF-8` with a byte order mark, `Unicode Text` as UTF-16 with tabs, and plain `CSV` in the Windows code page
of the country, with semicolons where the comma is the decimal sign. The code page is not in the file: Windows-1252 (Western
Europe) is assumed and said, and a text that does not look like it is refused.
"""

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

from mailroom.domain.errors import ConfigurationError

SAVE_AS = "save it in Excel by File > Save As as type `CSV UTF-8 (Comma delimited) (*.csv)`"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_UTF_32 = (b"\xff\xfe\x00\x00", b"\x00\x00\xfe\xff")
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
_SEPARATOR_LINE = re.compile(r'"?sep=([,;\t|])"?[ \t]*(?:\n|\Z)', re.IGNORECASE)
_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_SEPARATORS = ",;\t"
#: Characters of a file in which its separator is searched.
_HEAD = 1 << 16
#: A sign within a word, an upper-case letter behind a lower-case one: letters of another code page than the one assumed.
_SIGN_IN_WORD = re.compile(
    r"[^\W\d_][\u00a1-\u00b3\u00b5\u00b6\u00b8-\u00bf\u00d7\u00f7\u2020-\u2022\u02c6\u02dc\u2030\u2039\u203a\u201a\u201c-\u201e\u2122]+[^\W\d_]"
)
_SIGN_BEFORE_WORD = re.compile(
    r"(?<!\w)[\u00a3\u00a5\u00a6\u00af\u00b2\u00b3\u00b6\u00b8\u00b9\u00bc-\u00be\u2122][^\W\d_]{2}"
)
_CAPITAL = r"[\u00c0-\u00d6\u00d8-\u00de\u0152\u0160\u0178\u017d]"
_CAPITAL_IN_WORD = re.compile(rf"[a-z\u00df-\u00f6\u00f8-\u00ff]{_CAPITAL}|[A-Z]{_CAPITAL}[a-z]")
_RARE_SIGN = re.compile(r"[\w\u2018\u2019\u201c\u201d][\u0192\u2020\u2021\u02c6\u02dc]|[^\W\d_][\u201a\u201e]")
_WORD = re.compile(r"[^\W\d_]+")
_UMLAUTS = frozenset("äöüÄÖÜß")


def decoded(file: Path, raw: bytes) -> tuple[str, str | None]:
    """Return the text of a CSV file with line ends of one kind, and the encoding that was assumed, if one was.

    Raises:
        ConfigurationError: it is a workbook, or in an encoding that cannot be read; the message says what to save it as.
    """
    if raw.startswith(_WORKBOOKS):
        raise ConfigurationError(f"{file}: an Excel workbook, not a CSV file; {SAVE_AS}")
    assumed = None
    try:
        if raw.startswith(_UTF_16) and not raw.startswith(_UTF_32):
            text = raw.decode("utf-16")
        else:
            text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if raw.startswith((*_UTF_16, *_UTF_32)):
            raise ConfigurationError(f"{file}: not UTF-16 throughout; {SAVE_AS}") from None
        text, assumed = _western(file, raw, error.start), "Windows-1252 (Western European)"
    if "\x00" in text:
        raise ConfigurationError(f"{file}: not a text file in UTF-8 or UTF-16; {SAVE_AS}")
    # A file that was saved twice may have two marks.
    return text.lstrip("\ufeff").replace("\r\n", "\n").replace("\r", "\n"), assumed


def rows(file: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield each row that is not blank with its number: as the spreadsheet counts, a line `sep=;` is no row.

    Columns without a name are left out where they are empty, at the end of each row and between columns.

    Raises:
        ConfigurationError: it is not CSV, or a row does not fit its header; the message names the row or line.
    """
    chosen = _SEPARATOR_LINE.match(text)
    body = text[chosen.end() :] if chosen else text
    lines = csv.reader(io.StringIO(body), delimiter=chosen[1] if chosen else _separator(body), strict=True)
    header: list[str] | None = None
    try:
        for number, cells in enumerate(lines, 1):
            if not any(map(str.strip, cells)):
                continue
            if header is None:
                header = [cell.strip() for cell in cells]
            yield number, _fitted(file, number, cells, header)
    except csv.Error as error:
        raise ConfigurationError(f"{file}, line {lines.line_num}: invalid CSV: {error}") from None


def _fitted(file: Path, number: int, cells: list[str], header: list[str]) -> list[str]:
    """Return the cells below the names of a header; the header's own are its names."""
    for place, cell in enumerate(cells):
        if cell.strip() and place >= len(header):
            raise _wrong(file, number, f"{len(cells)} cells, but the header has {len(header)}")
        if cell.strip() and not header[place]:
            raise _wrong(file, number, f"a value in column {_letters(place)}, which has no name in the header")
    named = len(header) - next((back for back, name in enumerate(reversed(header)) if name), 0)
    if len(cells) < named:
        raise _wrong(file, number, f"{len(cells)} cells, but the header has {named}")
    return [cell for cell, name in zip(cells, header, strict=False) if name]


def _letters(place: int) -> str:
    """Return a spreadsheet's name of a column: A, B, ..., Z, AA, ..."""
    name = ""
    while place >= 0:
        place, letter = place // 26 - 1, place % 26
        name = chr(ord("A") + letter) + name
    return name


def _separator(text: str) -> str:
    """Return the separator of the first row that is not blank, by what stands outside quotes."""
    plain = _QUOTED.sub("", text[:_HEAD])
    first = next((line for line in plain.split("\n") if line.strip()), "")
    # A comma inside a name, `to;Name, first`, is as frequent as the semicolon.
    fitting = [sign for sign in _SEPARATORS if "to" in map(str.strip, first.split(sign))]
    return max(fitting or _SEPARATORS, key=first.count)


def _western(file: Path, raw: bytes, start: int) -> str:
    """Return the text by Windows-1252, if it looks like a language of Western Europe."""
    line = raw.count(b"\n", 0, start) + 1
    try:
        text = raw.decode("cp1252")
    except UnicodeDecodeError:
        text = ""
    signs = (_SIGN_IN_WORD, _SIGN_BEFORE_WORD, _CAPITAL_IN_WORD, _RARE_SIGN)
    if not text or any(sign.search(text) for sign in signs) or _is_of_other_letters(text):
        raise ConfigurationError(f"{file}, line {line}: neither UTF-8 nor Windows-1252; {SAVE_AS}")
    return text


def _is_of_other_letters(text: str) -> bool:
    """Return whether a word has not one letter of ASCII: Greek or Cyrillic by the wrong code page."""
    words = (word for word in _WORD.findall(text) if len(word) > 2 and not any(map(str.isascii, word)))
    return any(set(word) - _UMLAUTS for word in words)


def _wrong(file: Path, number: int, what: str) -> ConfigurationError:
    return ConfigurationError(f"{file}, row {number}: {what}")
