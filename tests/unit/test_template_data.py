"""What is missing in a recipient's data, the names of columns, and faults in a template's own text."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailroom.domain.outbound.message import Content
from mailroom.outbound.template_data import is_blank, template_name
from mailroom.outbound.templating import Template, Unfit

CASES = Path(__file__).parents[1] / "data" / "batches"


def filled(text: str, data: dict[str, Any] | None = None) -> str:
    made = Template(Content(subject="s", text=text, html=None, template=True)).fill(data or {}).text
    assert made is not None
    return made


def fault(text: str, data: dict[str, Any] | None = None, *, part: str = "text") -> str:
    texts: dict[str, Any] = {"text": None, "html": None} | {part: text}
    with pytest.raises(Unfit) as unfit:
        Template(Content(subject="s", template=True, **texts)).fill(data or {})
    return str(unfit.value)


def test_null_is_missing_and_default_takes_its_place() -> None:
    """Issue E: the request of `null-value.json` sent "Dear None"."""
    case = json.loads((CASES / "null-value.json").read_text())
    [recipient] = case["recipients"]

    assert fault(case["template"]["text"], recipient["data"]).startswith("text: `name` is missing in the data, line 1")
    assert filled('Dear {{ name|default("customer") }}, sum {{ a + b }}', recipient["data"]) == "Dear customer, sum 0.3"


@pytest.mark.parametrize("blank", ["", " ", "\xa0", "\t\n", "\u200b", "\ufeff", "\u3000", "\u2060 \xad", None])
def test_what_shows_nothing_is_replaced_by_default(blank: str | None) -> None:
    """A form sends an empty text for a field that was left out, a spreadsheet a no-break space."""
    assert filled("{{ name|default('friend') }}", {"name": blank}) == "friend"
    assert blank is None or is_blank(blank)


@given(text=st.text(st.characters(categories=["Zs", "Cf", "Zl", "Zp"]) | st.sampled_from("\t\n\r\v\f"), max_size=9))
@settings(max_examples=50, deadline=None)
def test_any_text_without_a_sign_is_blank_and_none_with_one_is(text: str) -> None:
    """Property: white space and characters without width, in any order."""
    assert is_blank(text)
    assert not is_blank(f"{text}x{text}")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("{% if phone %}Phone {{ phone }}{% endif %}.", "."),
        ("{% if not phone and order.note is none %}none{% endif %}", "none"),
        ("{{ phone or 'unknown' }}", "unknown"),
        ("{{ phone is defined }} {{ phone is undefined }} {{ phone is string }}", "False True False"),
        ("{{ phone == none }} {{ phone == 'x' }} {{ none == phone }} {{ phone != '' }}", "True False True True"),
        ("{{ phone in tags }} {{ 'a' in tags }} {{ phone in order }}", "True True False"),
        ("{{ tags[0] }}{{ tags[1]|default('-') }}", "a-"),
        ("{{ order.note|default('-') }}{{ order.lines[0].n|default(1) }}", "-1"),
        ("{% for one in tags %}{{ one|default('-') }}{% endfor %}", "a-"),
        ("{{ phone|int(3) }} {{ phone|float(2) }}", "3 2"),
        ("{{ 'yes' if phone else 'no' }}", "no"),
    ],
)  # fmt: skip
def test_null_is_false_and_stands_for_nothing(source: str, said: str) -> None:
    """A template asks whether a value is there as it did before: a null and a blank cell are not."""
    data = {"phone": None, "tags": ["a", None], "order": {"note": None, "lines": [{"n": None}]}}

    assert filled(source, data) == said


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("{{ phone }}", "`phone`"),
        ("{{ phone|upper }}", "`phone`"),
        ("{{ phone + 1 }}", ""),
        ("{{ phone|length }}", "`phone`"),
        ("{{ phone.mobile }}", "`phone`"),
        ("{{ order.note }}", "`note`"),
        ("{{ tags }}", "`tags`"),
        ("{{ order }}", "a value"),
        ("{{ tags|join(', ') }}", "`tags`"),
        ("{{ tags|sort|join }}", "`tags`"),
        ("{% for one in phone %}{% endfor %}", "`phone`"),
        ("{{ phone < 1 }}", "`phone`"),
        ("{{ phone|money('EUR') }}", "`phone`"),
        ("{{ phone|round(2) }}", "`phone`"),
        ("{{ phone|abs }}", "`phone`"),
        ("{{ First_Name }}", "`First_Name`"),
    ],
)
def test_null_is_never_written(source: str, named: str) -> None:
    """Neither `None` nor a gap gets into a mail, also by way of a list or a filter."""
    said = fault(
        source, {"First Name": None, "phone": None, "tags": ["a", None], "order": {"secret": None, "note": None}}
    )

    assert said.startswith(f"text: {named}")
    assert ", line 1" in said


def test_an_empty_text_is_a_text() -> None:
    """A second line of an address is there, and empty, for most."""
    assert filled("{{ a }}|{{ b }}", {"a": "", "b": " "}) == "| "


@pytest.mark.parametrize(
    ("column", "name"),
    [
        ("First Name", "First_Name"),
        ("e-mail 2", "e_mail_2"),
        ("Total (EUR)", "Total_EUR"),
        ("2nd", "_2nd"),
        (" Größe / m² ", "Größe_m"),
        ("Pre\u0301nom", "Prénom"),
        ("name", "name"),
        ("_x", "_x"),
        ("%", ""),
        ("姓 名", "姓_名"),
        ("a\xa0b\tc", "a_b_c"),
    ],
)
def test_a_column_has_a_name_for_templates(column: str, name: str) -> None:
    """Spreadsheets are headed for people."""
    assert template_name(column) == name
    if name:
        assert filled(f"{{{{ {name} }}}}", {column: "x"}) == "x"


@given(column=st.text(max_size=20))
@settings(max_examples=100, deadline=None)
def test_each_name_is_one_that_a_template_can_use(column: str) -> None:
    """Property: whatever heads a column, and its name's own name is itself."""
    name = template_name(column)

    assert not name or name.isidentifier()
    assert template_name(name) == name


def test_two_values_of_one_name_are_a_fault_where_it_is_used() -> None:
    """Which of the two a customer is called by must not be a matter of order."""
    data = {"First Name": "Ada", "First-Name": "Bob", "x": "1"}

    assert fault("{{ First_Name }}", data) == "`First_Name` is the name of two values in the data; rename one of them"
    assert filled("{{ x }}", data) == "1"


def test_a_style_sheet_that_begins_a_comment_is_named_with_the_way_out() -> None:
    """Issue E: the request of `css-comment.json`."""
    case = json.loads((CASES / "css-comment.json").read_text())
    html = case["template"]["html"]

    assert fault(html, part="html") == (
        "html: `{#` begins a comment that does not end with `#}`, line 1; to write `{#` as text, as in CSS, put a blank"
        " between its two characters, or write {% raw %} before it and {% endraw %} behind"
    )
    for way_out in (html.replace("{#", "{ #"), "{% raw %}" + html + "{% endraw %}"):
        assert "main{width:1px}" in str(
            Template(Content(subject="s", text=None, html=way_out, template=True)).fill({}).html
        )


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("a\n@media{#a{b:c}}\n{{ x }} {# the end #}", "`{#` begins a comment in which another `{#` begins, line 2; to write `{#` as text"),
        ("a\n\n.b{%foo}", "invalid template, `{%foo}`, line 3 (unexpected '}'); to write `{%` as text"),
        (".a{{color:red}}", "invalid template, `{{color:red}}`, line 1 (expected token 'end of print statement', got ':'); to write `{{`"),
        ("{{ a }} {% if a = 1 %}x{% endif %} {{ b }}", "invalid template, `{% if a = 1 %}`, line 1 (expected token"),
        ("{{ a }} {{ b c }} {{ d }}", "invalid template, `{{ b c }}`, line 1; a name has no blanks"),
        ("{% if a %}{% elif %}{% else %}{% endif %}", "invalid template, `{% elif %}`, line 1 (Expected an expression"),
        ("{% if a %}\n{% endfor %}", "invalid template, `{% endfor %}`, line 2 (Encountered unknown tag 'endfor'"),
        ("a\n{% if x %}\nb\n{% for y in z %}{% endfor %}", "`{% if %}` is not closed, line 2; write {% endif %} where it ends"),
        ("{% for y in z %}\n{{ y }}", "`{% for %}` is not closed, line 1; write {% endfor %} where it ends"),
        ("a\n{% endif %}", "invalid template, `{% endif %}`, line 2"),
        ("a\r\nb\r\n{{ x", "invalid template, `{{ x`, line 3"),
        ("{% raw %}\nx", "`{% raw %}` is not closed, line 1"),
        ("{{ First Name }}", "invalid template, `{{ First Name }}`, line 1; a name has no blanks or signs, write `{{ First_Name }}`"),
        ("{{ x }}\n{{ x|foo }}", "unknown filter `foo`, line 2"),
        ("\n{{ x.upper() }}", "`( )`: only values, filters, if and for are allowed in a template, line 2"),
        ("{% include 'x' %}", "`{% include %}`: only values"),
        ("{{ x|format('%d') }}", "unknown filter `format`, line 1; use one of abs, "),
        ("{{ x is nice }}", "unknown test `nice`, line 1; use one of boolean, "),
        ("{{ a ~ b }}", "`~`: only values"),
    ],
)  # fmt: skip
def test_a_fault_in_the_text_names_its_construct_and_line(source: str, said: str) -> None:
    """Letters are written by people, in programs that do not know Jinja."""
    assert fault(source).startswith(f"text: {said}")


def test_faults_of_a_long_template_are_found_in_a_bounded_time() -> None:
    """The search for a construct goes through the text once."""
    for source in (
        "{% if a %}" * 9_000,
        "\n" * 100_000 + "{{ a b",
        "{{a}}\n" * 9_000 + "{%",
        "{##}" * 20_000 + "{#{##}",
    ):
        assert fault(source).startswith("text: ")


@pytest.mark.parametrize(
    ("source", "construct"),
    [
        ("{{ lines|sum(attribute='total') }}", "sum"),
        ("{{ lines[0].total|round(2) }}", "round"),
        ("{% for one in 5 %}{% endfor %}", "for"),
        ("{% if name > 5 %}{% endif %}", ">"),
        ("{{ name is even }}", "even"),
        ("{{ 1 in 5 }}", "in"),
        ("{{ name + 1 }}", "+"),
        ("{{ 5|join }}", "join"),
        ("{{ name|abs }}", "abs"),
        ("{{ name|trim(5) }}", "trim"),
        ("{{ [1] }}", "[ ]"),
    ],
)
def test_a_value_of_a_wrong_type_is_named_by_what_takes_it(source: str, construct: str) -> None:
    """Of ten filters in one line it is one."""
    said = fault(f"a\n{source}", {"name": "Ada", "lines": [{"total": "12,50"}, {"total": 1}]})

    assert said.startswith(f"text: `{construct}`: ")
    assert ", line 2" in said
