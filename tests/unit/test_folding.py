"""Letters that no decomposition takes apart are found by what people type for them."""

import re
import unicodedata

import pytest

from mailroom.domain.inbox.folding import plain
from mailroom.domain.inbox.search_words import words_asked, words_of
from mailroom.testing.api import an_item

NAMES = [
    ("Jørgensen", "jorgensen"), ("Łukasz Wałęsa", "lukasz walesa"), ("Đorđević", "dordevic"), ("Æsir", "aesir"),
    ("Straße STRASSE ẞ", "strasse strasse ss"), ("Œuvre", "oeuvre"), ("Þór Guðrún", "thor gudrun"), ("Diyarbakır", "diyarbakir"),
    ("İstanbul ILICA", "istanbul ilica"), ("Għawdex Ħamrun", "ghawdex hamrun"), ("Ŧorne", "torne"), ("Ŋorriid", "norriid"),
    ("Ɓaɗɗo Hausa ƙasa", "baddo hausa kasa"), ("Ǿ ǽ Ǣ", "o ae ae"), ("Ґанок Қазақ", "ганок казак"), ("Nguyễn Đình", "nguyen dinh"),
    ("ﬁnal ĳs ﬂ", "final ijs fl"), ("Ångström", "angstrom"), ("ȷ ſ", "j s"), ("Ⱥ Ɇ ƶ", "a e z"),
]  # fmt: skip


@pytest.mark.parametrize(("written", "typed"), NAMES)
def test_a_name_is_found_as_it_is_typed_abroad(written: str, typed: str) -> None:
    """On both sides, so that either spelling finds either."""
    assert plain(written) == typed
    assert words_asked(written) == words_asked(typed) == words_of(an_item(subject=written, from_="", text=""))


def test_what_is_folded_stays_folded() -> None:
    """Folding twice changes nothing, or the words of a mail would depend on the way that they took."""
    blocks = (
        range(0x3000),
        range(0xA640, 0xAC00),
        range(0xF900, 0x10000),
        range(0x1D400, 0x1D800),
        range(0x1F100, 0x1F200),
    )
    letters = [chr(number) for block in blocks for number in block]

    assert [letter for letter in letters if plain(plain(letter)) != plain(letter)] == []


def test_no_latin_letter_with_a_stroke_is_left() -> None:
    """The rule goes by Unicode's names, so the next letter of this kind is folded too."""
    named = re.compile("LATIN (SMALL|CAPITAL) LETTER [A-Z] WITH STROKE.*")
    latin = [chr(number) for number in range(0x80, 0x250) if named.match(unicodedata.name(chr(number), ""))]

    assert len(latin) > 20
    assert [letter for letter in latin if not plain(letter).isascii()] == []


def test_ascii_takes_the_short_way_to_the_same_result() -> None:
    """Most text is ASCII."""
    text = "".join(map(chr, range(128)))

    assert plain(text) == plain(f"{text}é")[:-1] == text.casefold()
