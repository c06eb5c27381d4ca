"""A recipient's data as a template sees it: what is missing, what is blank, and the names of columns.

a name that the data lacks    missing: a fault wherever it is used, except by `default` and `is defined`
null, a blank cell of a CSV   the same, and false in a condition: `{% if phone %}Phone {{ phone }}{% endif %}`
an empty text                 a text; `default` replaces it
"First Name"                  `{{ First_Name }}`, see `template_name`
"""

import re
import unicodedata
from collections.abc import Collection, Mapping
from typing import Any

from jinja2 import StrictUndefined

from mailroom.outbound.template_budget import BadValue, owe

#: Members of a list or an object that are copied in the time of one step.
_COPIED = 4


class Missing(StrictUndefined):
    """A value that is missing in the data; its error's message is its name."""

    __slots__ = ()

    @property
    def _undefined_message(self) -> str:
        return str(self._undefined_name)


class Blank(Missing):
    """A value that is null: missing where it is written or calculated with, false in a condition, equal to none only."""

    __slots__ = ()
    __hash__ = object.__hash__  # type: ignore[assignment]
    # A list is written by the `repr` of its members.
    __repr__ = StrictUndefined._fail_with_undefined_error

    def __bool__(self) -> bool:  # type: ignore[override]
        return False

    def __eq__(self, other: object) -> bool:  # type: ignore[override]
        return other is None or isinstance(other, Blank)

    def __ne__(self, other: object) -> bool:  # type: ignore[override]
        return not self == other


def is_blank(text: str) -> bool:
    """Return whether a text shows nothing: it is empty, or has only white space and characters without width."""
    return not text or all(char.isspace() or unicodedata.category(char) == "Cf" for char in text)


def template_name(written: str) -> str:
    """Return the name by which a template uses a key of the data or a column.

    Letters, digits and underscores stay. Anything else becomes one `_`, none at the ends; `_` comes before a first digit.
    So "First Name" is `First_Name`, "e-mail 2" is `e_mail_2`, "2nd" is `_2nd` and "Total (EUR)" is `Total_EUR`. It is empty
    for a key of signs only.
    """
    if written.isascii() and written.isidentifier():
        return written
    normal = unicodedata.normalize("NFC", written.strip())
    kept = "".join(char if f"a{char}".isidentifier() else " " for char in normal)
    name = re.sub(r" +", "_", kept.strip())
    return name if not name or name.isidentifier() else f"_{name}"


def readable(data: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """Return the data with `Blank` for each null, and under the names by which the template uses its keys.

    Args:
        data: One recipient's data, as JSON.
        names: The names written in the template: only these are checked for two keys of one name.

    Raises:
        BadValue: two keys of the data have one name, and the template uses it.
    """
    found = {key: _with_blanks(key, value) for key, value in data.items()}
    for key in data:
        name = template_name(key)
        if name == key or name not in names:
            continue
        if name in found:
            raise BadValue(f"`{name}` is the name of two values in the data; rename one of them")
        found[name] = _with_blanks(name, data[key])
    return found


def _with_blanks(name: str, value: Any) -> Any:
    if value is None:
        return Blank(name=name)
    if isinstance(value, list):
        owe(len(value) // _COPIED)
        return [_with_blanks(name, one) for one in value]
    if isinstance(value, dict):
        owe(len(value) // _COPIED)
        return {key: _with_blanks(key, one) for key, one in value.items()}
    return value
