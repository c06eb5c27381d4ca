"""`{{ unsubscribe_url }}` in the text and HTML of a mail: the link that its List-Unsubscribe header has.

A template takes it as a value, unless a recipient's own data has one of that name; a message that is no template has it in
place of the placeholder. Without `unsubscribe` there is no link, and a mail that names it is refused.
"""

import re
from collections.abc import Mapping
from html import escape
from typing import Any

#: The name of the link in templates, and in the placeholder of other messages.
NAME = "unsubscribe_url"
#: The fault of a mail that names the link and offers no unsubscribe.
NO_LINK = f"`{NAME}` is there with `unsubscribe`: set it to true, or to your own https URL"
#: Stands for a link of ours where a request is checked: no such link is longer.
STAND_IN = "https://unsubscribe.invalid/".ljust(300, "u")

_PLACEHOLDER = re.compile(r"\{\{-?[ \t]*unsubscribe_url[ \t]*-?\}\}")


def is_named(text: str | None) -> bool:
    """Return whether a message that is no template has the placeholder."""
    return text is not None and _PLACEHOLDER.search(text) is not None


def put_link(text: str | None, link: str | None, *, html: bool = False) -> str | None:
    """Return the text with the link in place of each placeholder; without a link, unchanged."""
    if text is None or link is None or NAME not in text:
        return text
    shown = escape(link) if html else link
    return _PLACEHOLDER.sub(lambda _: shown, text)


def with_link(data: Mapping[str, Any], link: str | None) -> Mapping[str, Any]:
    """Return a template's data with the link, unless the data has a value of that name or there is no link."""
    return data if link is None or NAME in data else {**data, NAME: link}
