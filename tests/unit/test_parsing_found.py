"""Mails with which the fuzzer once found a fault: each is read soundly."""

from pathlib import Path

import pytest

from mailroom.domain.parsing import parse_email
from mailroom.domain.parsing.names import display_name
from tests.fuzz.content_rules import assert_sound

FOUND = sorted((Path(__file__).parents[1] / "data" / "parser").iterdir())


@pytest.mark.parametrize("path", FOUND, ids=lambda path: path.name)
def test_what_was_found_stays_found(path: Path) -> None:
    """A fixed fault can return; each input stays a test."""
    raw = path.read_bytes()

    assert_sound(parse_email(raw))
    assert display_name(raw.decode("utf-8", "replace"), content_type="", number=1).isprintable()
    assert display_name(raw.decode("big5", "replace"), content_type="", number=1).isprintable()
