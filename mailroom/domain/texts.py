"""English texts that know their template and their values, so that pages can say them in another language.

    Text("It is shown until %(day)s.", day=at)                      a str, in English
    Text.counted("%(count)s file", "%(count)s files", 3)            "3 files"

Everywhere but on pages a `Text` is its English sentence.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol, Self

from mailroom.domain.readable import size, when


class Lookup(Protocol):
    """The texts of a language: returns the translation of an English template, or the template itself."""

    def __call__(self, one: str, several: str | None = None, count: int = 1, /) -> str:
        """Return the translated template; of two, the one for `count`."""


class Octets(int):
    """A number of bytes, written as a size."""

    def __str__(self) -> str:
        return size(int(self))


class Text(str):
    """An English sentence, or words, made of a template with `%(name)s` and values; without values `%` stands for itself."""

    template: str
    several: str | None
    number: int
    values: Mapping[str, object]

    def __new__(cls, template: str, /, **values: object) -> Self:
        """Return the text in English."""
        return cls._made(template, None, 1, values)

    @classmethod
    def counted(cls, one: str, several: str, count: int, /, **values: object) -> Self:
        """Return the text for a number of things: one of two templates; `%(count)s` is the number."""
        return cls._made(one, several, count, {"count": count, **values})

    @classmethod
    def _made(cls, template: str, several: str | None, count: int, values: Mapping[str, object]) -> Self:
        chosen = template if several is None or count == 1 else several
        english = {name: _english(value) for name, value in values.items()}
        made = str.__new__(cls, chosen % english if values else chosen)
        made.template, made.several, made.number, made.values = template, several, count, values
        return made

    def worded(self, lookup: Lookup) -> str:
        """Return the template in the language of `lookup`, its placeholders unfilled."""
        return lookup(self.template, self.several, self.number)


def _english(value: object) -> str:
    if isinstance(value, datetime):
        return when(value)
    # An enumeration's word and a size are written as they are.
    return f"{value:,}" if type(value) is int else str(value)


def as_text(sentence: str) -> Text:
    """Return a sentence that has no values as a text, for pages to look up; a text as it is."""
    return sentence if isinstance(sentence, Text) else Text(sentence)
