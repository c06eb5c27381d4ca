"""A guess at the charset of a text that declares none, or a wrong one, and is not UTF-8.

The candidates are the charsets seen in undeclared mail. Each decodes a sample; the one whose letters look most like a
language wins. Short texts are not guessed: a detector is wrong about them more often than Windows-1252 is.
"""

import codecs
import re
from collections import Counter

_SAMPLE_BYTES = 4096
_LEAST_LETTERS = 8
_BEYOND_ASCII = re.compile(rb"[\x80-\xff]")
#: No word of a language in Latin letters has four letters in a row beyond ASCII.
_WORD_BEYOND_ASCII = re.compile(rb"[\x80-\xff]{4}")
#: In Shift JIS, where the second bytes of katakana are ASCII.
_KATAKANA = re.compile(rb"(?:\x83[@-~\x80-\x96]){3}")
_ASCII = re.compile(r"[\x00-\x7f]+")

_JAPANESE = frozenset({"euc_jp", "cp932", "euc_jis_2004", "shift_jis_2004"})
#: Half-width text; Japanese in EUC looks like it, with the codes of comma and dot before each kana.
_HALF_WIDTH = re.compile("[\x00-\x7f\uff66-\uff9f]+")
_KANA = ("\u3041", "\u30fe")
_HANGUL = ("\uac00", "\ud7a3")
_WESTERN = frozenset("éèàêçâîôûëïùüöäßñóíáúãõåøæÉÀÖÄÜÇÑØÅÆ’‘“”„–—«»€°…·£§")
_CENTRAL = frozenset("ąęłśżźćńóěščřžýáíéúůťďňľĺőűöüăâîđŠČŘŽŁŚŻÁÍÉÝ’“”„–—")
_TURKISH = frozenset("ğışçöüâîİŞÇÖÜĞ’“”–")
#: The letters that make up most of a text, so that the wrong case or the wrong order of letters loses.
_SCRIPTS = {
    "cp1251": frozenset("оеаинтсрвлкмдпуяьыз"),
    "koi8-u": frozenset("оеаинтсрвлкмдпуяьыз"),
    "iso8859-5": frozenset("оеаинтсрвлкмдпуяьыз"),
    "cp866": frozenset("оеаинтсрвлкмдпуяьыз"),
    "cp1253": frozenset("αοιετνσηυρπκλμςόίάέήω"),
    "cp1255": frozenset("יהולאמרתבשנלםד"),
    "cp1256": frozenset("اليمنتوربدعسةفهقكح"),
    "cp874": frozenset("านรกอเงมยลวดทสตะปบค่้ัีิ"),
}
_LATIN = {"cp1252": _WESTERN, "cp1250": _CENTRAL, "iso8859-2": _CENTRAL, "cp1254": _TURKISH}


def guess(data: bytes) -> str:
    """Return the most likely codec of `data`."""
    sample = _sample(data)
    high = len(_BEYOND_ASCII.findall(sample))
    if high < _LEAST_LETTERS and not _WORD_BEYOND_ASCII.search(sample):
        return "cp1252"
    letters = high + sum(1 for byte in sample if byte < 128 and chr(byte).isalpha())
    if high * 3 < letters or not (_WORD_BEYOND_ASCII.search(sample) or _KATAKANA.search(sample)):
        return _best(sample, _LATIN, least=0.0)
    return _east_asian(sample) or _best(sample, _SCRIPTS, least=0.4, otherwise=_LATIN)


def guesses(data: bytes) -> list[str]:
    """Return codecs to try in turn, the most likely first, for bytes that it may not decode whole."""
    scripts = sorted(_SCRIPTS, key=lambda name: -_common_share(_sample(data), name, _SCRIPTS[name]))
    several = [
        guess(data),
        japanese(data),
        _east_asian(_sample(data)),
        "cp1252",
        "cp949",
        "gb18030",
        "big5hkscs",
        *scripts,
    ]
    return list(dict.fromkeys(name for name in several if name))


def japanese(data: bytes, *, first: str = "") -> str | None:
    """Return the Japanese codec in which all of `data` is valid, with the fewest unlikely letters; None if there is none.

    Half-width kana are unlikely where the text has other letters in another codec. Among equals `first` is preferred.
    """
    best: tuple[int, str] | None = None
    for name in dict.fromkeys((first, "euc_jp", "cp932", "euc_jis_2004", "shift_jis_2004")):
        if name in _JAPANESE:
            try:
                text = data.decode(name)
            except UnicodeError:
                continue
            others = sum(1 for char in text if char > "\x7f")
            odd = sum(1 for char in text if "\uff61" <= char <= "\uff9f" or "\ue000" <= char <= "\uf8ff")
            if odd * 2 > others and not (name == first and _HALF_WIDTH.fullmatch(text)):
                continue
            if best is None or odd < best[0]:
                best = (odd if name != first or not _HALF_WIDTH.fullmatch(text) else 0, name)
    return best[1] if best else None


def _sample(data: bytes) -> bytes:
    first = _BEYOND_ASCII.search(data)
    return data[first.start() : first.start() + _SAMPLE_BYTES] if first else b""


def _common_share(sample: bytes, name: str, common: frozenset[str]) -> float:
    letters = _letters(sample, name)
    return sum(1 for letter in letters if letter in common) / len(letters) if letters else 0.0


def _east_asian(sample: bytes) -> str | None:
    """Return the East Asian codec whose characters look like written text, or None."""
    for name in ("cp932", "euc_jp"):
        if _share(_letters(sample, name), _KANA) > 0.3:
            return name
    if _share(_letters(sample, "cp949"), _HANGUL) > 0.9:
        return "cp949"
    # Both charsets have the common characters first: GB 2312 in rows B0 to D7, Big5 in rows A4 to C6.
    for name, low, top in (("gb18030", 0xB0, 0xD7), ("big5hkscs", 0xA4, 0xC6)):
        letters = _letters(sample, name)
        common = sum(1 for letter in letters if low <= letter.encode(name)[0] <= top and len(letter.encode(name)) == 2)
        if letters and common / len(letters) > 0.7 and (name != "gb18030" or _plain_gb(letters)):
            return name
    return None


def _plain_gb(letters: str) -> bool:
    """Whether nearly all second bytes are in the upper half, as in GB 2312 and not in Big5."""
    return sum(1 for letter in letters if letter.encode("gb18030")[1] >= 0xA1) > 0.9 * len(letters)


def _best(
    sample: bytes, among: dict[str, frozenset[str]], *, least: float, otherwise: dict[str, frozenset[str]] | None = None
) -> str:
    score, name = 0.0, ""
    for candidate, common in among.items():
        letters = _letters(sample, candidate)
        common_count = sum(count for letter, count in Counter(letters).items() if letter in common)
        share = common_count / len(letters) if letters else 0.0
        if share > score:
            score, name = share, candidate
    if name and score >= least:
        return name
    return _best(sample, otherwise, least=0.0) if otherwise else "cp1252"


def _letters(sample: bytes, name: str) -> str:
    """Return the non-ASCII letters of `sample` decoded by this codec, empty if it is invalid; its end may be cut."""
    try:
        text = codecs.getincrementaldecoder(name)().decode(sample, False)
    except UnicodeError:
        return ""
    return _ASCII.sub("", text)


def _share(letters: str, block: tuple[str, str]) -> float:
    return sum(1 for letter in letters if block[0] <= letter <= block[1]) / len(letters) if letters else 0.0
