"""Coverage-guided search for a mail on which the parser raises, or whose result cannot be stored.

    make fuzz                                        # ten minutes, in an environment of its own
    .cache/fuzz/bin/python -m tests.fuzz.parser FOLDER... [libFuzzer's options]

What it finds is put under tests/data/parser/, where tests/unit/test_parsing_found.py reads it from then on.
"""

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["mailroom.domain.parsing"]):
    from mailroom.domain.parsing import Limits, parse_email
    from mailroom.domain.parsing.names import display_name
    from tests.fuzz.content_rules import assert_sound

#: Small, so that short inputs reach what happens past a limit.
_LIMITS = Limits(depth=4, parts=20, headers=40, addresses=10, encoded_words=10, parameters=8, files=10, properties=60)


def one_input(data: bytes) -> None:
    """Read one mail, and take its text for the name of a file."""
    parsed = parse_email(data, limits=_LIMITS)
    assert_sound(parsed)
    name = display_name(data.decode("utf-8", "replace"), content_type="", number=1)
    if not name or "/" in name or len(name.encode()) > 200 or not name.isprintable():
        raise AssertionError("a name that is not safe to show")


if __name__ == "__main__":
    Path(".cache/fuzz/mails").mkdir(parents=True, exist_ok=True)
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
