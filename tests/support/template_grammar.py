"""Templates that are expensive to render: the most data that one recipient may have, and random expressions."""

import random
from collections.abc import Callable
from typing import Any

from mailroom.domain.outbound import content_rules

_LETTERS = "".join(chr(code) for code in range(0x4E00, 0x4E00 + 300))


def data() -> dict[str, Any]:
    """Return data that is expensive to work with, within the limits of one recipient."""
    rows = [{"name": "a" * 30, "price": n, "tags": ["x", "y"]} for n in range(24)]
    given = {
        "turns": list(range(250)),
        "x": "a" * 900 + "b",
        "y": "a" * 900 + "c",
        "marks": "<&>'\"" * 60,
        "words": "-a" * 300,
        "wide": _LETTERS,
        "rows": rows,
        "others": [*rows[:-1], {}],
        "names": ["a" * 60 + str(n) for n in range(30)],
        "big": int("9" * 1_500),
        "number": 12.5,
        "deep": [[[[[[[[["a"] * 20] * 2]]]]]]],
        "empty": "",
        "currency": "eur",
        "wanted": "pt-BR",
    }
    content_rules.data(given)
    return given


def in_loops(inner: str) -> str:
    loops = "{% for a in turns %}{% for b in turns %}{% for c in turns %}"
    return loops + inner + "{% endfor %}" * 3


LONG = "'" + "a" * 200_000
EXPRESSIONS = [
    "x == y",
    "x < y",
    "x <= y < x",
    "y in x",
    "x[1] in y",
    "x not in names",
    "rows == others",
    "rows != others",
    "names < names",
    "deep == deep",
    "rows in deep",
    "rows[1] in others",
    "rows is eq(others)",
    "x is in y",
    "rows is in(rows)",
    "big == big",
    "big is divisibleby(7)",
    "big is odd",
    "rows",
    "rows[0] and rows",
    "(rows if rows is none else deep)",
    "marks",
    "marks|e",
    "rows|e",
    "rows|upper",
    "words|title",
    "rows|title",
    "wide|urlencode",
    "rows[0]|urlencode",
    "names|join(x)",
    "rows|join",
    "names|sort",
    "rows|sort(attribute='name')",
    "rows|sort(attribute='name,price,tags,name,price,tags')",
    "names|sort(case_sensitive=true)",
    "rows|sum(attribute='price')",
    "wide|trim(wide)",
    "x|trim(chars=x)",
    "big",
    "big|abs",
    "big|round",
    "x|int(1)",
    "x|float(1)",
    "x|int(1, base=16)",
    "x|default(rows)",
    "rows|length",
    "names|first",
    "number|round(10)",
    "number|round(5, 'floor')",
    "number * 1.5 + 3 - 2 / 7",
    "empty",
    "missing|default(x)",
    "missing is defined",
    "rows[5].tags[1]",
    "loop.index + loop.revindex",
    f"{LONG}b' == {LONG}c'",
    f"{LONG}b' in {LONG}c'",
    f"{LONG}'|urlencode",
    f"{LONG}'|sort",
    f"{LONG}'|trim('a')",
    f"{LONG}'|trim({LONG}')",
    "'" + "9" * 200_000 + "'|float(1)",
    "'" + "f" * 200_000 + "'|int(0, base=16) is divisibleby('" + "f" * 4_000 + "'|int(base=16))",
    "'" + "f" * 4_300 + "'|int(base=16) is divisibleby('" + "f" * 2_000 + "'|int(base=16))",
    "rows|sort(attribute='" + "name," * 50_000 + "')",
    "rows|sum(attribute='" + "price." * 50_000 + "')",
    "number|money('EUR')",
    "'12.5'|money('JPY', locale='fr-CA')",
    "number|number",
    "'" + "9" * 14 + ".5'|number(10, 'hi')",
    "('2026-11-29T08:00:00.123456789+01:00'|date('full', locale='el', zone='Pacific/Kiritimati'))",
    "'2026-11-29'|date",
    "a|money(currency, locale=wanted)",
    "-" * 30 + "number",
    "not " * 30 + "x",
    "x" + "|upper|lower" * 15,
    "marks" + "|urlencode" * 10,
]


class Grammar:
    """Makes random expressions of one type, of everything that a template may use."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def one(self, *ways: Callable[[], str]) -> str:
        return self._random.choice(ways)()

    def locale(self) -> str:
        return self._random.choice(("'en'", "'de-CH'", "'zh_Hant_TW'", "empty", "'hi'"))

    def text(self, deep: int = 3) -> str:
        paths = (
            "x",
            "y",
            "marks",
            "words",
            "wide",
            "empty",
            "names[3]",
            "rows[2].name",
            "'abc'",
            "'" + "ab" * 5_000 + "'",
        )
        if deep == 0:
            return self._random.choice(paths)
        filters = ("capitalize", "e", "escape", "lower", "title", "trim", "upper", "urlencode")
        return self.one(
            lambda: self._random.choice(paths),
            lambda: f"({self.text(deep - 1)})|{self._random.choice(filters)}",
            lambda: f"({self.text(deep - 1)})|trim({self.text(deep - 1)})",
            lambda: f"({self.listed(deep - 1)})|join({self.text(deep - 1)})",
            lambda: f"({self.text(deep - 1)} if {self.truth(deep - 1)} else {self.text(deep - 1)})",
            lambda: f"({self.text(deep - 1)}|default({self.text(deep - 1)}, true))",
            lambda: f"({self.number(0)}|money('EUR', {self.locale()}))",
            lambda: f"({self.number(0)}|number({self._random.randrange(11)}, {self.locale()}))",
            lambda: f"('2026-11-29T08:00:00Z'|date('full', {self.locale()}, zone='Asia/Tokyo'))",
        )

    def number(self, deep: int = 3) -> str:
        if deep == 0:
            return self._random.choice(("number", "a", "loop.index", "rows[7].price", "3", "0.5"))
        return self.one(
            lambda: self.number(0),
            lambda: f"({self.number(deep - 1)} {self._random.choice('+-*')} {self.number(deep - 1)})",
            lambda: f"({self.text(deep - 1)}|length)",
            lambda: f"({self.listed(deep - 1)}|count)",
            lambda: f"({self.text(deep - 1)}|int(1))",
            lambda: f"({self.number(deep - 1)}|round(3)|abs)",
            lambda: "(rows|sum(attribute='price'))",
        )

    def listed(self, deep: int = 3) -> str:
        if deep == 0:
            return self._random.choice(("rows", "others", "names", "turns", "deep"))
        return self.one(
            lambda: self.listed(0),
            lambda: "(names|sort(reverse=true))",
            lambda: "(rows|sort(attribute='name,price'))",
            lambda: f"({self.listed(0)} if {self.truth(deep - 1)} else {self.listed(0)})",
        )

    def truth(self, deep: int = 3) -> str:
        compare = self._random.choice(("==", "!=", "<", "<=", ">", ">="))
        same = self._random.choice((self.text, self.number))
        deep = max(deep, 1)
        return self.one(
            lambda: f"({same(deep - 1)} {compare} {same(deep - 1)})",
            lambda: f"({same(deep - 1)} {compare} {same(deep - 1)} {compare} {same(deep - 1)})",
            lambda: f"({self.text(deep - 1)} in {self.text(deep - 1)})",
            lambda: f"({self.text(deep - 1)} not in {self.listed(deep - 1)})",
            lambda: f"({self.listed(deep - 1)} == {self.listed(deep - 1)})",
            lambda: f"({self.listed(deep - 1)} in {self.listed(deep - 1)})",
            lambda: f"(not {self.text(deep - 1)} and {self.number(deep - 1)})",
            lambda: f"({self.text(deep - 1)} is {self._random.choice(('string', 'sequence', 'mapping', 'none'))})",
            lambda: f"({self.text(deep - 1)} is eq({self.text(deep - 1)}))",
        )

    def template(self) -> str:
        parts = [self._random.choice((self.text, self.number, self.listed))() for _ in range(2)]
        return in_loops(f"{{% if {self.truth()} %}}{{{{ {parts[0]} }}}}{{% else %}}{{{{ {parts[1]} }}}}{{% endif %}}")
