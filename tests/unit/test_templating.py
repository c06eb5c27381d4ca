"""Templates of mails: what they can say, and that nothing in them or in their data can do anything else."""

from typing import Any

import pytest

from mailroom.domain.outbound import LIMITS, Content
from mailroom.outbound.templating import Filled, Template, Unfit


def filled(data: dict[str, Any], subject: str = "Hello", text: str | None = None, html: str | None = None) -> Filled:
    return Template(Content(subject=subject, text=text, html=html, template=True)).fill(data)


def test_values_conditions_loops_and_filters_make_a_mail() -> None:
    """What an invoice needs."""
    text = "{% for line in lines %}{{ loop.index }}. {{ line.name|upper }} {{ line.price * 2 }}\n{% else %}-{% endfor %}{% if paid is defined %}paid{% endif %}"
    data = {"lines": [{"name": "tea", "price": 2.5}, {"name": "jam", "price": 4}]}

    assert filled(data, text=text).text == "1. TEA 5.0\n2. JAM 8\n"


def test_a_value_is_escaped_in_html_and_only_there() -> None:
    """A name with a bracket is a name, in both parts."""
    made = filled({"name": "<b>Ada</b>"}, "{{ name }}", "{{ name }}", "{{ name }}")

    assert (made.subject, made.text, made.html) == ("<b>Ada</b>", "<b>Ada</b>", "&lt;b&gt;Ada&lt;/b&gt;")


def test_a_template_in_a_value_stays_a_text() -> None:
    """Case 65: data comes from customers of customers."""
    assert filled({"name": "{{7*7}} {% raw %}{{config}}"}, "{{ name }}").subject == "{{7*7}} {% raw %}{{config}}"


@pytest.mark.parametrize(
    "source",
    [
        "{{ config }}",
        "{{ self }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ x.__class__ }}",
        "{{ x['__class__'] }}",
        "{{ x|attr('__class__') }}",
        "{{ x.upper() }}",
        "{{ cycler.__init__.__globals__.os.environ }}",
        "{{ lipsum() }}",
        "{% include '/etc/passwd' %}",
        "{% import 'os' as os %}",
        "{% extends 'x' %}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% set x = 1 %}",
        "{{ 'a' * 100000000 }}",
        "{{ x * 100000000 }}",
        "{{ 9 ** 9 ** 9 }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ x|center(1000000000) }}",
        "{{ x|replace('a', y) }}",
        "{{ 1 / 0 }}",
        "{{ missing }}",
        "{{ x.missing.more }}",
        "{{",
        "{% for %}",
        "{{ " + "(" * 5_000 + ")" * 5_000 + " }}",
    ],
)
def test_a_template_does_nothing_but_say(source: str) -> None:
    """Case 65: it comes from a caller, and runs where the keys of all are."""
    with pytest.raises(Unfit):
        filled({"x": "abc", "y": "d"}, text=source)


@pytest.mark.parametrize(
    "source",
    [
        "{% for a in many %}{% for b in many %}{% for c in many %}{% endfor %}{% endfor %}{% endfor %}",
        "{% for a in many %}{% if a in many %}{% endif %}{% endfor %}" * 30,
        "{% for a in many %}{{ long }}{% endfor %}",
        "{{ many|join(long) }}",
        "{{ many|join(long)|join(long) }}",
    ],
)
def test_a_template_comes_to_an_end(source: str) -> None:
    """Case 65: a loop within a loop, or a mail of 100 MB, would stop everybody's mail."""
    with pytest.raises(Unfit):
        filled({"many": list(range(3_000)), "long": "x" * 10_000}, text=source)


@pytest.mark.parametrize("value", ["a\r\nBcc: eve@evil.test", "a\n", "\x00", "\u2028", "", "x" * (LIMITS.subject + 1)])
def test_no_value_breaks_the_subject(value: str) -> None:
    """Case 62: the subject is known only when it is filled."""
    with pytest.raises(Unfit):
        filled({"name": value}, "{{ name }}")


def test_a_template_that_is_too_long_is_not_compiled() -> None:
    """Compiling costs more than reading."""
    with pytest.raises(Unfit):
        filled({}, text="x" * (LIMITS.template + 1))
