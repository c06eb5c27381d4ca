"""Templates of mails: what they can express, and that neither they nor their data can do anything else."""

from typing import Any

import pytest

from mailroom.domain.outbound.message import LIMITS, Content
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
        "{{ x.upper }}",
        "{{ x[0].__class__ }}",
        "{% for a in y %}{{ loop.cycle }}{% endfor %}",
        "{{ many|sort(attribute='__class__') }}",
        "{{ " + "9" * 5_000 + " }}",
        "{{ 5|round(400000000, 'floor') }}",
        "{{ 5|round(-400000000) }}",
        "{{ many[1]" + " * 1000000000" * 3 + " }}",
        "{{ x" + "|urlencode" * 250 + " }}",
    ],
)
def test_a_template_does_nothing_but_say(source: str) -> None:
    """Case 65: a template comes from a caller, and runs in a process that has the keys of all."""
    with pytest.raises(Unfit):
        filled({"x": "abc", "y": "d", "many": [1, 2]}, text=source)


@pytest.mark.parametrize(
    "source",
    [
        "{% for a in many %}{% for b in many %}{% for c in many %}{% endfor %}{% endfor %}{% endfor %}",
        "{% for a in many %}{% if a in many %}{% endif %}{% endfor %}" * 30,
        "{% for a in many %}{{ long }}{% endfor %}",
        "{{ many|join(long) }}",
        "{{ many|join(long)|join(long) }}",
        "{% for a in many %}" + "{{ nil }}" * 1_000 + "{% endfor %}",
        "{% for a in many %}{% if long|urlencode %}{% endif %}{% endfor %}",
        "{% for a in many %}{% if many|sort %}{% endif %}{% endfor %}",
        "{{ x"
        + "|urlencode" * 36
        + " }}"
        + "{% if long %}{% endif %}" * 99
        + ("{{ long" + "|urlencode" * 36 + " }}") * 9,
    ],
)
def test_a_template_comes_to_an_end(source: str) -> None:
    """Case 65: a loop within a loop, or a mail of 100 MB, would stop all other mail."""
    with pytest.raises(Unfit):
        filled({"many": list(range(3_000)), "long": "%" * 10_000, "nil": "", "x": "%"}, text=source)


def test_all_recipients_of_a_request_share_a_budget() -> None:
    """A thousand that each stay below the limit of one would take an hour."""
    template = Template(Content(subject="s", text="{{ many|length }}" * 60, html=None, template=True))

    def everyone() -> None:
        for _ in range(1_000):
            template.fill({"many": list(range(3_000))})

    with pytest.raises(Unfit, match="split the batch"):
        everyone()


def test_an_object_has_what_was_put_into_it() -> None:
    """An order has items; Python's own `items` must not hide them."""
    order = {"items": ["tea"], "keys": "none", "values": {"get": 3}}

    assert (
        filled({"order": order}, text="{{ order.items[0] }} {{ order.keys }} {{ order.values.get }}").text
        == "tea none 3"
    )


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("{{ name }}\n{{ total }}", "text: `total` is missing in the data, line 2; if it may be missing, use the filter `default`"),
        ("{{ order.total }}", "text: `total` is missing in the data, line 1; if it may be missing, use the filter `default`"),
        ("{{ order[name] }}", "text: a value is missing in the data, line 1"),
        ("a\n{{ First Name }}", "text: invalid template, `{{ First Name }}`, line 2; a name has no blanks or signs, write `{{ First_Name }}`"),
        ("a\n\n{{ name|replace('a', 'b') }}", "text: unknown filter `replace`, line 3; use one of abs, capitalize, count, d, date, default, e, escape, first, float, int, join,"
         " last, length, lower, money, number, round, sort, sum, title, trim, upper, urlencode"),
        ("{% set a = 1 %}", "text: `{% set %}`: only values, filters, if and for are allowed in a template, line 1"),
        ("\n{{ name * 2 }}", "text: `*`: number or precision too large, or not a number, line 2"),
        ("{{ 2 is even }}\n{{ name is even }}", "text: `even`: a value has the wrong type for the template, line 2"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_so_that_it_can_be_put_right(source: str, said: str) -> None:
    """The place and the name, for templates are written by people; a name only where the template has it, not the data."""
    with pytest.raises(Unfit) as unfit:
        filled({"name": "Ada", "order": {}}, text=source)

    assert str(unfit.value) == said


@pytest.mark.parametrize("value", ["a\r\nBcc: eve@evil.test", "a\n", "\x00", "\u2028", "", "x" * (LIMITS.subject + 1)])
def test_no_value_breaks_the_subject(value: str) -> None:
    """Case 62: the subject is known only when it is filled."""
    with pytest.raises(Unfit):
        filled({"name": value}, "{{ name }}")


def test_a_template_that_is_too_long_is_not_compiled() -> None:
    """Compiling costs more than reading."""
    with pytest.raises(Unfit):
        filled({}, text="x" * (LIMITS.template + 1))
