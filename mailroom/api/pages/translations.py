"""Pages in the reader's language: gettext catalogues, one file a language in `locales/`, read by Babel.

English is the language of templates and of the domain, and needs no catalogue. A template calls `_("text", name=value)` and
`ngettext("%(count)s file", "%(count)s files", number)`; a text that no template has (a reason's sentence, a status) is looked
up by its English words. `tests/unit/test_translations.py` fails where a catalogue lacks a text.
"""

import re
from functools import cache
from pathlib import Path

from babel import Locale
from babel.messages.pofile import read_po
from markupsafe import Markup, escape

from mailroom.api.pages.formats import written
from mailroom.api.pages.reader import LANGUAGES, reader
from mailroom.domain.readable import shown
from mailroom.domain.texts import Text

LOCALES = Path(__file__).parent / "locales"
_CODE = re.compile("`([^`]*)`")


class Translation:
    """The texts of one language; called with an English text, as gettext is."""

    def __init__(self, language: str) -> None:
        self.language = language
        self._locale = Locale.parse(language)
        self._texts = {} if language == LANGUAGES[0] else _catalogue(language)

    def __call__(self, text: str, /, **values: object) -> Markup:
        """Return the text in this language as HTML: escaped, what stands in backticks as code, and `values` escaped in place
        of `%(name)s`; a text that is not translated is returned in English."""
        if isinstance(text, Text):
            return self._filled(text.worded(self.find), {**text.values, **values})
        return self._filled(self.find(text), values)

    def counted(self, one: str, several: str, count: int, /, **values: object) -> Markup:
        """Return one of two texts by a number, as HTML; `%(count)s` is the number."""
        return self._filled(self.find(one, several, count), {"count": count, **values})

    def plain(self, text: str) -> str:
        """Return the text in this language, for an attribute: no HTML, and backticks stay."""
        if not isinstance(text, Text):
            return self.find(text)
        template = text.worded(self.find)
        values = {name: self.plain(one) if isinstance(one, Text) else written(one) for name, one in text.values.items()}
        return template % values if values else template

    def find(self, one: str, several: str | None = None, count: int = 1, /) -> str:
        """Return the translated template, or the English one."""
        forms = self._texts.get(one) or ((one,) if several is None else (one, several))
        is_one = count == 1 if self.language == LANGUAGES[0] else self._locale.plural_form(count) == "one"
        return forms[0] if several is None or is_one else forms[-1]

    def _filled(self, template: str, values: dict[str, object]) -> Markup:
        html = Markup(_CODE.sub(r"<code>\1</code>", str(escape(template))))
        return html % {name: self._value(one) for name, one in values.items()} if values else html

    def _value(self, value: object) -> object:
        if isinstance(value, Text):
            return self(value)
        return value if isinstance(value, Markup) else written(value)


@cache
def translation(language: str) -> Translation:
    """Return the texts of a language of `LANGUAGES`."""
    return Translation(language)


def gettext(text: str, /, **values: object) -> Markup:
    """Return a text as its reader reads it."""
    return translation(reader().language)(text, **values)


def ngettext(one: str, several: str, count: int, /, **values: object) -> Markup:
    """Return one of two texts by a number, as its reader reads it."""
    return translation(reader().language).counted(one, several, count, **values)


def plain(text: str) -> str:
    """Return a text as its reader reads it, for an attribute."""
    return translation(reader().language).plain(text)


def words(stored: object) -> Markup:
    """Return a stored word (a status, a kind of event) in words: `bounced_hard` is "bounced hard"; an unknown one as it is."""
    return gettext(shown(str(stored).replace("_", " ")))


def _catalogue(language: str) -> dict[str, tuple[str, ...]]:
    with (LOCALES / f"{language}.po").open("rb") as file:
        entries = [one for one in read_po(file, locale=language) if one.id and one.string and not one.fuzzy]
    return {_forms(one.id)[0]: _forms(one.string) for one in entries}


def _forms(text: object) -> tuple[str, ...]:
    return (text,) if isinstance(text, str) else tuple(text) if isinstance(text, tuple | list) else ()
