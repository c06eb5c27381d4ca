"""Folding of letters: what people type for letters that their keyboard lacks, as `o` for `ø` and `ss` for `ß`.

Unicode decomposes `é` into `e` and a mark; letters with a stroke, a hook or a bar through them have no decomposition, though
their names say which letter they are (Unicode 15, NamesList.txt). PostgreSQL's extension `unaccent` has much the same table;
here both sides of a search are folded by one function, and no right to install an extension is needed.
"""

import re
import unicodedata
from collections.abc import Iterable

#: Letters whose names do not say what people type for them.
_NAMED = {
    "æ": "ae",
    "œ": "oe",
    "ð": "d",
    "þ": "th",
    "ı": "i",
    "ȷ": "j",
    "ŋ": "n",
    "ĸ": "k",
    "ƿ": "w",
    "ꜵ": "ao",
    "ꜳ": "aa",
}
_NAME = re.compile(r"((?:LATIN|CYRILLIC|GREEK) SMALL LETTER [A-Z]+) WITH [A-Z ]+")
#: The blocks of Latin, Greek and Cyrillic letters.
_BLOCKS = (
    range(0xC0, 0x530),
    range(0x1D00, 0x2000),
    range(0x2C60, 0x2C80),
    range(0xA640, 0xA800),
    range(0xAB30, 0xAB70),
)


def _folded() -> Iterable[tuple[str, str]]:
    for number in (number for block in _BLOCKS for number in block):
        letter = chr(number)
        named = _NAME.fullmatch(unicodedata.name(letter, ""))
        if named and not unicodedata.decomposition(letter):
            try:
                yield letter, unicodedata.lookup(named[1])
            except KeyError:
                continue


_FOLDED = str.maketrans({letter: _NAMED.get(base, base) for letter, base in _folded()} | _NAMED)


def plain(text: str, *, folded: bool = True) -> str:
    """Return `text` without case, accents and typographic forms; `folded=False` keeps letters as 0.1.0 did."""
    if text.isascii():
        return text.lower()
    # Marks are removed first: normalising sorts them, and a long run of them takes quadratic time.
    decomposed = _unmarked(unicodedata.normalize("NFKD", _unmarked(text.casefold())))
    # The capital of a letter that only NFKD shows, as in `㎏`, is folded too.
    return unicodedata.normalize("NFC", decomposed.casefold().translate(_FOLDED) if folded else decomposed)


def _unmarked(text: str) -> str:
    return "".join(
        letter for letter in text if not unicodedata.combining(letter) and unicodedata.category(letter) != "Mn"
    )
