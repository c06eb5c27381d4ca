"""The catalogues of pages: every text in every language, and which language a reader gets."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

from mailroom.api.pages.translations import LANGUAGES, LOCALES, language_of, translation

TEMPLATES = LOCALES.parent / "templates"


def texts() -> set[str]:
    """Return every text of the templates that is translated."""
    found = extract_from_dir(str(TEMPLATES), method_map=[("**.html", "jinja2.ext:babel_extract")])
    return {message for _, _, message, _, _ in found if isinstance(message, str)}


def catalogue(language: str) -> Catalog:
    with (LOCALES / f"{language}.po").open("rb") as file:
        return read_po(file, locale=language)


def entries(language: str) -> Iterator[tuple[str, str]]:
    for one in catalogue(language):
        if one.id:
            assert not one.fuzzy, f"{language}: {one.id}"
            yield str(one.id), str(one.string)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_text_of_the_templates_is_translated(language: str) -> None:
    """A text in English between two in French is worse than a page in English; one that no page has is left over."""
    found = dict(entries(language))

    assert texts()
    assert found.keys() == texts()
    assert [text for text, translated in found.items() if not translated.strip()] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_translation_has_the_placeholders_of_its_text(language: str) -> None:
    """One that is misspelt would fail in front of the reader, one that is missing would leave out the name of the sender."""
    for text, translated in entries(language):
        names = [sorted(re.findall(r"%\(\w+\)s|%", one)) for one in (text, translated)]
        assert names[0] == names[1], text


def test_the_english_texts_are_themselves() -> None:
    """The catalogue of the language of the templates exists for tools of translators; it changes nothing."""
    assert [text for text, translated in entries("en") if text != translated] == []


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        (None, "en"),
        ("", "en"),
        ("de", "de"),
        ("fr-CH, fr;q=0.9, en;q=0.8, de;q=0.7, *;q=0.5", "fr"),
        ("DE-at", "de"),
        ("en;q=0.1, de;q=0.5", "de"),
        ("ja, fr;q=0.2", "fr"),
        ("de;q=0, fr", "fr"),
        ("*", "en"),
        ("de;q=nan, fr;q=0.1", "fr"),
        ("de;q=9", "en"),
        (";;;,,,q=1,-", "en"),
        ("x" * 100_000 + ",de", "en"),
        ("de_DE", "en"),
    ],
)
def test_a_reader_gets_the_language_that_the_browser_asks_for(accepted: str | None, language: str) -> None:
    """Anything may stand in a header; what cannot be read is passed over."""
    assert language_of(accepted) == language


def test_values_are_escaped_and_a_text_without_translation_is_english() -> None:
    """A sender's name is the tenant's, and stands in the sentence as text."""
    german = translation("de")

    assert german("Unsubscribe from %(sender)s?", sender="<b>%s") == "Von &lt;b&gt;%s abmelden?"
    assert german("<nobody wrote this>") == "&lt;nobody wrote this&gt;"


def test_the_catalogues_are_installed_with_the_package() -> None:
    """A wheel without them would answer 500 to the reader who wants to leave."""
    assert "locales/*.po" in Path("pyproject.toml").read_text()
