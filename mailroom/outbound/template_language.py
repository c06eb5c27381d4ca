"""The part of Jinja that a mail's template may use, and its sandbox.

Only listed syntax, filters and tests are taken. What a template does is paid as it does it (`template_prices`): each node
has a price, a loop pays that of its body at each turn, and what depends on a value's size pays for the size.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from jinja2 import StrictUndefined, Undefined, nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension
from jinja2.lexer import Token, TokenStream
from jinja2.runtime import LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from mailroom.domain.outbound.message import LIMITS
from mailroom.outbound.template_budget import Unfit
from mailroom.outbound.template_prices import LARGEST, OFFERED_FILTERS, OFFERED_TESTS, Compared, counted, printed

_NODES = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const, nodes.Getattr, nodes.Getitem,
    nodes.Filter, nodes.Test, nodes.If, nodes.CondExpr, nodes.For, nodes.And, nodes.Or, nodes.Not, nodes.Compare,
    nodes.Operand, nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.Neg, nodes.Keyword,
)  # fmt: skip
#: Comparisons by the names that Jinja's parser has for them, where those of its tests are others, and whether it is negated.
_TEST_OF = {"gteq": ("ge", False), "lteq": ("le", False), "not" + "in": ("in", True)}
#: Steps; a node that is not here takes one.
_PRICES: dict[type[nodes.Node], int] = {nodes.Filter: 4, nodes.Test: 2, nodes.Compare: 2}
#: What a loop says about itself.
_LOOP = {"first", "index", "index0", "last", "length", "revindex", "revindex0"}
#: Nodes of all texts of a mail; compiling takes the square of how deep expressions are nested.
MOST_PARTS, _MOST_DEEP = 10_000, 40
_MOST_TOKENS = 5 * MOST_PARTS
#: Compiling looks at each name again at each `if`.
_MOST_NAMES_AT_IFS = 2_000_000
#: It looks at all that is in a loop again for each loop around it: the price of each loop, together.
_MOST_LOOPED = 100_000


class Missing(StrictUndefined):
    """What the data lacks; its error's message is its name."""

    __slots__ = ()

    @property
    def _undefined_message(self) -> str:
        return str(self._undefined_name)


class _Bounded(Extension):
    """Stops reading a template that has too many tokens; its nodes are counted when it is read."""

    def filter_stream(self, stream: TokenStream) -> Iterable[Token]:
        for count, token in enumerate(stream):
            if count > _MOST_TOKENS:
                raise _too_large()
            yield token


class Sandbox(ImmutableSandboxedEnvironment):
    """Data is JSON: an object has what was put into it, and nothing has attributes."""

    intercepted_binops = frozenset({"*", "+", "-", "/"})

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Return what an object of the data, or a loop, has by this name."""
        if type(obj) is dict:
            try:
                return obj[attribute]
            except KeyError:
                return self.undefined(obj=obj, name=attribute)
        if isinstance(obj, LoopContext) and attribute in _LOOP:
            return getattr(obj, attribute)
        return self.getitem(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """Return a value of an object or a list; of what is missing, that which is."""
        if isinstance(obj, Undefined):
            return obj
        known = isinstance(obj, dict) or (isinstance(obj, (list, str)) and isinstance(argument, int))
        try:
            return obj[argument] if known else self.undefined(obj=obj, name=argument)
        except (LookupError, TypeError):
            return self.undefined(obj=obj, name=argument)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Calculate with numbers only, and those of a mail: a text times a million is none."""
        # What is no number (NaN) is not within either.
        if not (
            isinstance(left, (int, float))
            and isinstance(right, (int, float))
            and -LARGEST <= left <= LARGEST
            and -LARGEST <= right <= LARGEST
        ):
            raise SecurityError("numbers only")
        return self.binop_table[operator](left, right)


def _sandbox(*, autoescape: bool) -> Sandbox:
    sandbox = Sandbox(
        autoescape=autoescape,
        undefined=Missing,
        keep_trailing_newline=True,
        finalize=printed,
        extensions=[_Bounded],
        # It looks at nested expressions again at every level.
        optimized=False,
    )
    sandbox.globals.clear()
    sandbox.filters = OFFERED_FILTERS | {"counted": counted, "compared": Compared}
    sandbox.tests = dict(OFFERED_TESTS)
    return sandbox


PLAIN, ESCAPED = _sandbox(autoescape=False), _sandbox(autoescape=True)


@dataclass(frozen=True, slots=True)
class Parsed:
    """A checked template that pays; `parts` are its nodes, `names` those that are written in it."""

    tree: nodes.Template
    parts: int
    price: int
    names: frozenset[str]


def parsed(sandbox: Sandbox, source: str, *, most: int = MOST_PARTS) -> Parsed:
    """Return the checked template.

    Raises:
        Unfit: it has more than a mail needs.
        TemplateError, RecursionError: it is no template.
    """
    if len(source) > LIMITS.template:
        raise Unfit(f"template too long: at most {LIMITS.template} characters")
    tree = sandbox.parse(source)
    count, ifs, names = 0, 0, set[str]()
    for node, depth in _walk(tree):
        count += 1
        ifs += isinstance(node, nodes.If)
        if count > most or depth > _MOST_DEEP:
            raise _too_large()
        _check(node)
        names.update(value for _, value in node.iter_fields() if isinstance(value, str))
    if ifs * len(names) > _MOST_NAMES_AT_IFS:
        raise Unfit("too many names in a template with this number of ifs")
    paying = _Paying()
    price = paying.price(tree)
    if paying.looped > _MOST_LOOPED:
        raise Unfit("too much content in nested loops")
    paying.visit(tree)
    return Parsed(tree, count, price, frozenset(names))


def _too_large() -> Unfit:
    return Unfit(f"template too complex: at most {MOST_PARTS} elements, nested at most {_MOST_DEEP} levels")


def _walk(tree: nodes.Node) -> Iterator[tuple[nodes.Node, int]]:
    # Without recursion: how deep it goes is what is asked.
    left = [(tree, 0)]
    while left:
        node, depth = left.pop()
        yield node, depth
        left += [(child, depth + 1) for child in node.iter_child_nodes()]


class _Paying(NodeTransformer):
    """Makes loops and comparisons pay."""

    def __init__(self) -> None:
        self._prices: dict[nodes.Node, int] = {}

    @property
    def looped(self) -> int:
        """The prices of all loops, together."""
        return sum(self._prices.values())

    def price(self, node: nodes.Node) -> int:
        """Return what a node costs with all below it, once."""
        price = _PRICES.get(type(node), 1) + sum(map(self.price, node.iter_child_nodes()))
        if isinstance(node, nodes.For):
            self._prices[node] = price
        return price

    def visit_For(self, node: nodes.For) -> nodes.For:  # noqa: N802 - Jinja's name
        """Have each turn pay."""
        self.generic_visit(node)
        node.iter = _filter(node.iter, "counted", nodes.Const(self._prices[node], lineno=node.lineno))
        return node

    def visit_Compare(self, node: nodes.Compare) -> nodes.Expr:  # noqa: N802 - Jinja's name
        """Have a comparison made by the test that pays, a chain of them by sides that do."""
        self.generic_visit(node)
        if len(node.ops) > 1:
            node.expr = _filter(node.expr, "compared")
            for side in node.ops:
                side.expr = _filter(side.expr, "compared")
            return node
        [right] = node.ops
        name, negated = _TEST_OF.get(right.op, (right.op, False))
        test = nodes.Test(node.expr, name, [right.expr], [], None, None, lineno=node.lineno)
        return nodes.Not(test, lineno=node.lineno) if negated else test


def _filter(node: nodes.Node, name: str, *given: nodes.Expr) -> nodes.Filter:
    return nodes.Filter(node, name, list(given), [], None, None, lineno=node.lineno)


def _check(node: nodes.Node) -> None:
    what = None
    if isinstance(node, nodes.Filter) and node.name not in OFFERED_FILTERS:
        what = f"unknown filter `{node.name}`"
    elif isinstance(node, nodes.Test) and node.name not in OFFERED_TESTS:
        what = f"unknown test `{node.name}`"
    elif (
        not isinstance(node, _NODES)
        or (isinstance(node, nodes.Name) and node.name in ("self", "super", "caller"))
        or (isinstance(node, nodes.For) and node.recursive)
        or (isinstance(node, nodes.Const) and isinstance(node.value, (int, float)) and abs(node.value) > LARGEST)
    ):
        what = "only values, filters, if and for are allowed in a template"
    if what:
        raise Unfit(f"{what}, line {node.lineno or 1}")
