"""No text of a template is written without being translated: what stands outside of expressions has no words."""

import re
from html.parser import HTMLParser

import pytest
from jinja2 import Environment
from jinja2.lexer import Lexer

from tests.support.page_texts import TEMPLATES

#: Templates that are not translated yet, and why.
NOT_YET = {
    "_checks.html": "it comes next",
    "_details.html": "it comes next",
    "_files.html": "it comes next",
    "_letter.html": "it comes next",
    "_letters.html": "it comes next",
    "_members.html": "it comes next",
    "_replays.html": "it comes next",
    "base.html": "it comes next",
    "item.html": "it comes next",
    "preview.html": "it comes next",
    "quarantine.html": "it comes next",
    "quarantine_address.html": "it comes next",
    "replay.html": "it comes next",
    "replay_nothing.html": "it comes next",
    "replay_preview.html": "it comes next",
    "sign_in_openid.html": "it comes next",
    "status.html": "it comes next",
}
#: What is a name in every language.
_NAMES = re.compile(r"\b(?:Mailroom|API|UTC|openapi\.json|From|To|Cc|SHA-256|Message-ID|Reply-To)\b")
_SPOKEN = frozenset({"title", "aria-label", "placeholder", "alt"})
_DATA = frozenset({"code", "pre", "style", "svg"})


class Words(HTMLParser):
    """Collects words outside of code, in text and in attributes that are read aloud."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._inside = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside += tag in _DATA
        for name, value in attrs:
            if name in _SPOKEN:
                self._note(value or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        self._inside -= tag in _DATA

    def handle_data(self, data: str) -> None:
        if not self._inside:
            self._note(data)

    def _note(self, text: str) -> None:
        if re.search(r"[^\W\d_]{2}", _NAMES.sub("", text)):
            self.found.append(" ".join(text.split()))


def untranslated(source: str) -> list[str]:
    """Return the words of a template that stand outside of expressions."""
    environment = Environment(autoescape=True)
    pieces = [value if kind == "data" else "\x00" for _, kind, value in Lexer(environment).tokeniter(source, None)]
    # An expression, however long, is one character that is no letter.
    words = Words()
    words.feed(re.sub("\x00+", "•", "".join(pieces)))
    return words.found


@pytest.mark.parametrize("path", sorted(TEMPLATES.glob("*.html")), ids=lambda path: path.name)
def test_no_template_has_a_text_that_is_not_translated(path: object) -> None:
    """A branch that no test renders would be found by its reader, in another language than the rest."""
    name = path.name  # type: ignore[attr-defined]
    found = untranslated((TEMPLATES / name).read_text())

    if name in NOT_YET:
        assert found, f"{name} is translated: take it off the list"
    else:
        assert found == []


@pytest.mark.parametrize(
    "source",
    ["<p>Some text</p>", '<a title="Some text">{{ _("x") }}</a>', "{% if x %}yes{% else %}no{% endif %}", "<b>a</b>{{ x }} more", "<p>{# no #}yes</p>"],
)  # fmt: skip
def test_words_outside_of_expressions_are_found(source: str) -> None:
    """In text, in attributes that are read aloud, and in both branches."""
    assert untranslated(source) != []


@pytest.mark.parametrize(
    "source", ['<p class="sub">{{ _("Some text") }} · 1</p>', "<code>mailroom up</code>", "{# Some text #}"]
)
def test_data_and_code_are_no_words(source: str) -> None:
    """Commands are typed as they are; classes are not read."""
    assert untranslated(source) == []
