"""Pages in the reader's language: gettext catalogues, one file a language in `locales/`, read by Babel.

`tests/unit/test_translations.py` compares the catalogues with the templates and fails where a language lacks a text.
"""

from functools import cache
from pathlib import Path

from babel.messages.pofile import read_po
from markupsafe import Markup, escape

#: The first is the one of a reader whose languages are not among them.
LANGUAGES = ("en", "fr", "de")
LOCALES = Path(__file__).parent / "locales"
#: Characters and entries of an Accept-Language header that are read.
_MOST, _ENTRIES = 500, 20


class Translation:
    """The texts of one language; called with an English text, as gettext is."""

    def __init__(self, language: str) -> None:
        with (LOCALES / f"{language}.po").open("rb") as file:
            catalogue = read_po(file, locale=language)
        self.language = language
        self._texts = {one.id: one.string for one in catalogue if one.id and one.string and not one.fuzzy}

    def __call__(self, text: str, /, **values: object) -> Markup:
        """Return the text in this language, escaped, with `values` escaped in place of `%(name)s`; a text that is not
        translated is returned in English."""
        found = Markup(escape(self._texts.get(text, text)))
        return found % values if values else found


@cache
def translation(language: str) -> Translation:
    """Return the texts of a language of `LANGUAGES`."""
    return Translation(language)


def language_of(accepted: str | None) -> str:
    """Return the language of `LANGUAGES` that an Accept-Language header wants most (RFC 9110, section 12.5.4).

    A regional one counts as its language, `*` and what cannot be read as nothing.
    """
    wanted: list[tuple[float, str]] = []
    for entry in (accepted or "")[:_MOST].split(",")[:_ENTRIES]:
        tag, _, parameters = entry.partition(";")
        language = tag.strip().lower().partition("-")[0]
        quality = _quality(parameters)
        if language in LANGUAGES and quality > 0:
            wanted.append((quality, language))
    # Of equal ones the first: `max` keeps it.
    return max(wanted, key=lambda one: one[0])[1] if wanted else LANGUAGES[0]


def _quality(parameters: str) -> float:
    name, _, value = parameters.strip().partition("=")
    if name.strip().lower() != "q":
        return 1.0
    try:
        quality = float(value)
    except ValueError:
        return 0.0
    return quality if 0 <= quality <= 1 else 0.0
