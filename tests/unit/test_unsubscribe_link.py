"""`{{ unsubscribe_url }}` in the text and HTML of a mail, in a template and in a message that is none."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailroom.domain.delivery.unsubscribe import OURS, unsubscribe_url
from mailroom.domain.outbound.message import Content
from mailroom.outbound.rendering import untemplated
from mailroom.outbound.templating import Template, Unfit
from mailroom.outbound.unsubscribe_link import STAND_IN, is_named, put_link

LINK = "https://mail.acme.test/u/abc?a=1&b=2"


def content(**changes: Any) -> Content:
    texts: dict[str, Any] = {
        "subject": "News",
        "text": "Leave: {{ unsubscribe_url }}",
        "html": None,
        "unsubscribe": OURS,
    }
    return Content(**texts | changes)


def test_the_link_is_in_text_and_html_of_a_template() -> None:
    """In HTML it is escaped as every value; nothing else of the mail has it."""
    html = "<a href='{{ unsubscribe_url }}'>x</a>{% if unsubscribe_url %}!{% endif %}"

    filled = Template(content(html=html)).fill({"name": "Ada"}, link=LINK)

    assert filled.text == f"Leave: {LINK}"
    assert filled.html == "<a href='https://mail.acme.test/u/abc?a=1&amp;b=2'>x</a>!"
    assert filled.unsubscribe == OURS


def test_a_tenants_own_url_is_the_same_in_header_and_text() -> None:
    """It may be a template itself, filled for each recipient."""
    own = content(unsubscribe="https://acme.test/leave/{{ id }}")

    filled = Template(own).fill({"id": 7}, link=None)

    assert (filled.text, filled.unsubscribe) == ("Leave: https://acme.test/leave/7", "https://acme.test/leave/7")


def test_a_recipients_own_value_of_that_name_is_used() -> None:
    """Senders who made links of their own before go on unchanged."""
    filled = Template(content()).fill({"unsubscribe_url": "https://acme.test/mine"}, link=LINK)

    assert filled.text == "Leave: https://acme.test/mine"


@pytest.mark.parametrize("changes", [{"unsubscribe": None}, {"text": None, "subject": "{{ unsubscribe_url }}"}])
def test_without_unsubscribe_or_in_a_subject_there_is_no_link(changes: dict[str, Any]) -> None:
    """A subject with a link is a mistake; a mail without the header has no link to name."""
    with pytest.raises(Unfit, match="unsubscribe_url"):
        Template(content(**changes)).fill({}, link=LINK if "text" in changes else None)


@pytest.mark.parametrize(
    "written", ["{{ unsubscribe_url }}", "{{unsubscribe_url}}", "{{- unsubscribe_url -}}", "{{\tunsubscribe_url }}"]
)
def test_a_message_that_is_no_template_has_the_link_too(written: str) -> None:
    """Only this placeholder means something there: every other brace is text."""
    filled = untemplated(content(text=f"{{{{ name }}}} {written}", html=f"<a href='{written}'>{{% if %}}</a>"), LINK)

    assert filled.text == f"{{{{ name }}}} {LINK}"
    assert filled.html == "<a href='https://mail.acme.test/u/abc?a=1&amp;b=2'>{% if %}</a>"


@given(
    st.text(st.sampled_from("{}-_ unsubcrile\n\t"), max_size=200),
    st.sampled_from([LINK, "\\1", "{{ unsubscribe_url }}"]),
)
def test_a_text_without_the_placeholder_is_unchanged(text: str, link: str) -> None:
    """Whatever stands in a text or a link, nothing is read twice and nothing else is replaced."""
    named = is_named(text)

    assert named or put_link(text, link) == text
    assert put_link(f"{text}\n{{{{ unsubscribe_url }}}}", link) == f"{put_link(text, link)}\n{link}"


def test_no_link_of_ours_is_longer_than_what_stands_for_it_in_the_check() -> None:
    """The size of a mail is checked with it, before there is a link."""
    longest = unsubscribe_url("https://" + "m" * 200 + ".test", "0190a1b2-0000-7000-8000-00000000000a", key=b"k" * 32)

    assert len(longest) <= len(STAND_IN)
