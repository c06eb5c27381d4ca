"""Filters of templates that read numbers and dates: what they write in each language, and what they refuse to read."""

import json
import re
import time
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from babel import Locale
from babel.numbers import parse_decimal
from hypothesis import given, settings
from hypothesis import strategies as st

from mailroom.domain.outbound.message import Content
from mailroom.outbound import template_filters
from mailroom.outbound.templating import Template, Unfit

LOCALES = ["de", "fr", "en-GB", "pl", "hi"]
AMOUNTS = st.decimals(-(10**12), 10**12, places=3)


def filled(text: str, data: dict[str, Any] | None = None) -> str:
    made = Template(Content(subject="s", text=text, html=None, template=True)).fill(data or {}).text
    assert made is not None
    return made


def fault(text: str, data: dict[str, Any] | None = None) -> str:
    with pytest.raises(Unfit) as unfit:
        filled(text, data)
    return str(unfit.value)


@pytest.mark.parametrize(
    ("source", "value", "said"),
    [
        ('{{ v|money("EUR", locale="de") }}', 12.5, "12,50 €"),
        ('{{ v|money("EUR", locale="de") }}', "1234567.5", "1.234.567,50 €"),
        ('{{ v|money("USD") }}', 1234, "$1,234.00"),
        ('{{ v|money("eur", "fr") }}', 1234.5, "1\u202f234,50\xa0€"),
        ('{{ v|money("JPY", "ja") }}', 1234.5, "￥1,235"),
        ('{{ v|money("KWD") }}', 1.2345, "KWD1.235"),
        ('{{ v|money("EUR") }}', 2.675, "€2.68"),
        ('{{ v|money("EUR") }}', 2.665, "€2.67"),
        ('{{ v|money("EUR") }}', -0.001, "€0.00"),
        ('{{ v|money("EUR") }}', -12.5, "-€12.50"),
        ("{{ v|number }}", 1234.5, "1,234.5"),
        ("{{ v|number }}", "0.12345678", "0.12345678"),
        ("{{ v|number(2) }}", 0.125, "0.13"),
        ('{{ v|number(0, "de-CH") }}', "1234567", "1'234'567"),
        ('{{ v|number(2, locale="hi") }}', 1234567, "12,34,567.00"),
        ("{{ v|number }}", " 12.50\xa0", "12.5"),
        ('{{ v|money("CHF", "de-CH") }}', "12345678901.5", "CHF 12'345'678'901.50"),
        ('{{ v|number(10, "fr-CH") }}', "123456.1234567891", "123'456,1234567891"),
        ('{{ v|date("long", locale="fr", zone="Europe/Paris") }}', "2026-11-29T23:30:00Z", "30 novembre 2026"),
        ('{{ v|date("long", locale="fr") }}', "2026-11-29T23:30:00Z", "29 novembre 2026"),
        ('{{ v|date("full", zone="America/New_York") }}', "2026-11-29T01:00:00+01:00", "Saturday, November 28, 2026"),
        ('{{ v|date("short", "de") }}', "2026-11-29", "29.11.26"),
        ("{{ v|date }}", "2026-11-29 08:15", "Nov 29, 2026"),
        ('{{ v|date("long", zone="Asia/Tokyo") }}', "2026-11-29", "November 29, 2026"),
        ("{{ v|float * 2 }} {{ v|int }}", "12", "24.0 12"),
        ("{{ v|float(1) }} {{ v|int(7) }}", "no", "1 7"),
        ("{{ v|int(1) }}", None, "1"),
    ],
)  # fmt: skip
def test_numbers_and_dates_are_written_as_their_reader_does(source: str, value: object, said: str) -> None:
    """An invoice in German has no point before its cents. Halves are rounded away from zero, as in trade."""
    assert filled(source, {"v": value}).replace("\xa0", " ") == said.replace("\xa0", " ")


@pytest.mark.parametrize("value", ["12,50", "1.234,00", "1,234.00", "12 EUR", "€12", "1e5", "1_000", "١٢", "--1", "1.", "nan", "inf",
                                   "Infinity", "0x10", "9" * 65, "twelve", "1 000", "½", "12.50 ", True, [], {}, [1], "9" * 17])  # fmt: skip
@pytest.mark.parametrize("filter_", ["float", "money('EUR')", "number"])
def test_what_is_no_plain_number_is_a_fault_with_its_place(filter_: str, value: object) -> None:
    """`12,50` was 0.0, and a thousand people were asked to pay nothing."""
    if value == "12.50 ":
        assert filled(f"{{{{ v|{filter_} }}}}", {"v": value})
    elif filter_ == "float" and (value is True or value == "9" * 17):
        assert filled("{{ v|float }}", {"v": value})
    else:
        assert ", line 2" in fault(f"\n{{{{ v|{filter_} }}}}", {"v": value})


@pytest.mark.parametrize("value", ["1.234", "12.50", "1,234", "1.000", "", " ", "1e3", "12a"])
def test_a_text_with_a_fraction_is_no_whole_number(value: str) -> None:
    """`1.234` is a thousand and more in half of Europe; as 1 it would be wrong there and silent everywhere."""
    assert fault("{{ order.n|int }}", {"order": {"n": value}}) == (
        "text: `order.n|int` is not a whole number, line 1; write 1234, or use `float` or `number`"
    )


@pytest.mark.parametrize(
    ("source", "data", "said"),
    [
        ("{{ a|float|round(2) }} | {{ c|float }}", {"a": "12,50", "c": 1}, "text: `a|float` is not a plain number, line 1; write 1234.5"),
        ("\n{{ lines[0].total|money('EUR') }}", {"lines": [{"total": "x"}]}, "text: `lines[0].total|money` is not a plain number, line 2"),
        ("{{ (a + 1)|money('euro') }}", {"a": 1}, "text: a value needs a currency, line 1; write its ISO 4217 code"),
        ("{{ a|money }}", {"a": 1}, "text: `a|money` needs a currency, line 1"),
        ("{{ a|money(c) }}", {"a": 1, "c": None}, "text: `c` is missing in the data, line 1"),
        ("{{ a|number(11) }}", {"a": 1}, "text: `a|number` needs 0 to 10 decimal places, line 1"),
        ("{{ a|number('2') }}", {"a": 1}, "text: `a|number` needs 0 to 10 decimal places, line 1"),
        ("{{ a|number(locale='xx') }}", {"a": 1}, "text: `a|number` has an unknown locale, line 1; use one such as"),
        ("{{ a|number }}", {"a": 1, "locale": "German"}, "text: `a|number` has an unknown locale, line 1; use one such as"),
        ("{{ a|number(locale='zu') }}", {"a": 1}, "text: `a|number` has an unknown locale, line 1; use one such as"),
        ("{{ d|date }}", {"d": "29.11.2026"}, "text: `d|date` is not an ISO date, line 1; write 2026-11-29 or 2026-11-29T08:00:00Z"),
        ("{{ d|date }}", {"d": "2026-02-30"}, "text: `d|date` is not an ISO date, line 1"),
        ("{{ d|date }}", {"d": "20261129"}, "text: `d|date` is not an ISO date, line 1"),
        ("{{ d|date }}", {"d": "2026-W48-7"}, "text: `d|date` is not an ISO date, line 1"),
        ("{{ d|date }}", {"d": 1764000000}, "text: `d|date` is not an ISO date, line 1"),
        ("{{ d|date(zone='UTC') }}", {"d": "0001-01-01T00:00:00+23:00"}, "text: `d|date` is not an ISO date, line 1"),
        ("{{ d|date('dd.MM.yyyy') }}", {"d": "2026-11-29"}, "text: `d|date` has no style of this name, line 1; use short, medium"),
        ("{{ d|date(zone='Paris') }}", {"d": "2026-11-29T08:00Z"}, "text: `d|date` has an unknown zone, line 1; use one such as"),
        ("{{ d|date(zone='../etc/passwd') }}", {"d": "2026-11-29T08:00Z"}, "text: `d|date` has an unknown zone, line 1"),
        ("{{ d|date(zone='UTC') }}", {"d": "2026-11-29T08:00"}, "text: `d|date` needs a time with its offset, line 1; write"),
        ("{{ (10000000000 * 1000000)|number }}", {}, "text: a value: number or precision too large, or not a number, line 1"),
        ("{{ x|money('EUR') }}", {}, "text: `x` is missing in the data, line 1"),
        ("{{ x|money('EUR') }}", {"x": None}, "text: `x` is missing in the data, line 1"),
        ("{{ a|money('EUR', of='b') }}", {"a": 1}, "text: invalid template"),
    ],
)  # fmt: skip
def test_a_fault_names_the_construct_its_line_and_the_way_out(source: str, data: dict[str, Any], said: str) -> None:
    """The value is not repeated: it belongs to a recipient."""
    assert fault(source, data).startswith(said)


def test_each_reader_has_a_language_and_a_zone_of_their_own() -> None:
    """A batch to two countries is one batch: `locale` and `zone` are columns."""
    source = "{{ total|money('EUR') }}, {{ due|date('long') }}"
    due = "2026-11-29T23:30:00Z"

    said = {
        locale: filled(source, {"total": 1234.5, "due": due, "locale": locale, "zone": zone}).replace("\xa0", " ")
        for locale, zone in (("de", "Europe/Berlin"), ("en", "UTC"), (None, ""), (" ", None))
    }

    assert said == {
        "de": "1.234,50 €, 30. November 2026",
        "en": "€1,234.50, November 29, 2026",
        None: "€1,234.50, November 29, 2026",
        " ": "€1,234.50, November 29, 2026",
    }


@pytest.mark.parametrize("locale", LOCALES)
@settings(max_examples=30, deadline=None)
@given(amount=AMOUNTS, places=st.integers(0, 3))
def test_a_number_is_read_back_from_what_each_locale_writes(locale: str, amount: Decimal, places: int) -> None:
    """Written and read, it is the same number, rounded half up; money has its currency's places."""
    data = {"v": str(amount), "n": places}

    shown = filled(f"{{{{ v|number(n, '{locale}') }}}}", data)
    money = filled(f"{{{{ v|money('EUR', '{locale}') }}}}", data)

    named = locale.replace("-", "_")
    written = re.sub(r"[^\d.,\u202f\xa0'’-]", "", money).strip("\xa0\u202f")
    assert parse_decimal(shown, named) == amount.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)
    assert parse_decimal(written, named) == amount.quantize(Decimal("0.01"), ROUND_HALF_UP)


@pytest.mark.parametrize("locale", LOCALES)
@settings(max_examples=30, deadline=None)
@given(
    seconds=st.integers(-2_000_000_000, 7_000_000_000),
    zone=st.sampled_from(["UTC", "Europe/Paris", "America/New_York", "Asia/Tokyo", "Pacific/Kiritimati"]),
)
def test_a_date_is_read_back_from_what_each_locale_writes(locale: str, seconds: int, zone: str) -> None:
    """Day, month by its name, and year of that zone."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    said = filled(f"{{{{ d|date('long', '{locale}', zone=z) }}}}", {"d": moment.isoformat(), "z": zone})

    local = moment.astimezone(ZoneInfo(zone))
    months = Locale.parse(locale.replace("-", "_")).months["format"]["wide"]
    found = [number for number, name in months.items() if name in said]
    day, year = sorted(map(int, re.findall(r"\d+", said)))
    assert date(year, max(found, key=lambda number: len(months[number])), day) == local.date()


@settings(max_examples=60, deadline=None)
@given(
    value=st.text(max_size=12)
    | st.text("0123456789.,+-e :TZ", max_size=12)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.integers()
    | st.none()
    | st.booleans()
)
def test_whatever_is_read_is_a_number_or_a_fault(value: object) -> None:
    """Never another exception, and never a number that nobody wrote."""
    for source in ("{{ v|float }}", "{{ v|int }}", "{{ v|money('EUR') }}", "{{ v|number(2) }}", "{{ v|date }}"):
        try:
            said = filled(source, {"v": value})
        except Unfit:
            continue
        assert re.search(r"\d", said), (source, value)


@pytest.mark.parametrize(
    ("source", "price"),
    [
        ("v|money('EUR', 'fr')", template_filters.MONEY),
        ("v|number(2, 'hi')", template_filters.NUMBER),
        ("d|date('full', 'el', zone='Pacific/Kiritimati')", template_filters.DATE),
    ],
)
def test_a_filter_pays_for_its_time(source: str, price: int) -> None:
    """A step is half a microsecond: each filter is charged at least what it takes."""
    turns = 200
    data = {"v": "123456789.125", "d": "2026-11-29T08:00:00Z", "turns": list(range(turns))}
    template = Template(
        Content(subject="s", text=f"{{% for a in turns %}}{{{{ {source} }}}}{{% endfor %}}", html=None, template=True)
    )
    template.fill(data)
    before, began = template.spent, time.thread_time()
    template.fill(data)
    taken, steps = time.thread_time() - began, template.spent - before

    assert steps > turns * price
    assert taken < steps * 0.5e-6 * 6


def test_arithmetic_leaves_no_tail_of_binary_fractions() -> None:
    """0.30000000000000004 is no sum for a letter."""
    data = {"a": 0.1, "b": 0.2, "lines": [{"t": 0.1}] * 3}

    assert filled("{{ a + b }} {{ lines|sum(attribute='t') }} {{ 1.1 * 3 }} {{ 7 / 2 }} {{ 2 * 3 }}", data) == (
        "0.3 0.3 3.3 3.5 6"
    )
    assert "too large" in fault("{{ 1000000000000 / a }}", {"a": 1e-300})


def test_the_case_of_decimal_commas_is_refused_with_its_place() -> None:
    """Issue E: the request of `float-comma.json`."""
    case = json.loads((Path(__file__).parents[1] / "data" / "batches" / "float-comma.json").read_text())
    [recipient] = case["recipients"]

    assert fault(case["template"]["text"], recipient["data"]).startswith(
        "text: `a|float` is not a plain number, line 1"
    )
