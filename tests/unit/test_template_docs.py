"""docs/templates.md: each of its examples makes the mail, or the fault, that stands beside it."""

import json
import re
from pathlib import Path

import pytest

from mailroom.domain.outbound.message import Content
from mailroom.domain.outbound.trials import MOST
from mailroom.outbound.template_prices import OFFERED_FILTERS, OFFERED_TESTS
from mailroom.outbound.templating import Template, Unfit

PAGE = (Path(__file__).parents[2] / "docs" / "templates.md").read_text()
_ROW = re.compile(
    r"^\| `(?P<template>.+)` \| `(?P<data>\{.*\})` \| (?:`(?P<mail>.+)`|fault: (?P<fault>.+)) \|$", re.MULTILINE
)
EXAMPLES = [
    {name: (value or "").replace("\\|", "|") for name, value in row.groupdict().items()} for row in _ROW.finditer(PAGE)
]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda one: one["template"][:40])
def test_each_example_makes_what_stands_beside_it(example: dict[str, str]) -> None:
    """A reader copies it. Markdown shows a no-break space as a blank."""
    content = Content(subject="s", text=example["template"], html=None, template=True)
    try:
        said = Template(content).fill(json.loads(example["data"])).text or ""
    except Unfit as unfit:
        plain = str(unfit).removeprefix("text: ").replace("`", "")
        assert plain.startswith(example["fault"].replace("`", ""))
        assert example["fault"]
    else:
        assert re.sub(r"[\xa0\u202f]", " ", said).strip() == example["mail"]


def test_the_page_names_all_that_there_is() -> None:
    """As many rows as the page has, every filter and every test."""
    filters, tests = (set(re.findall(r"\w+", part)) for part in re.findall(r"(?:Filters|Tests): ([^.]*)\.", PAGE))

    assert len(EXAMPLES) == PAGE.count("` | `{") > 25
    assert filters == set(OFFERED_FILTERS)
    assert tests == set(OFFERED_TESTS)
    assert f"a tenant may send {MOST}\nwithin a day" in PAGE
