"""The subset of Jinja for mail templates, and its sandbox.

Only listed syntax, filters and tests are accepted. Rendering is charged in steps (`template_prices`): each node has a price,
a loop is charged its body's price at each iteration, and an operation whose time depends on a value's size is charged for it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, cast

from jinja2 import Undefined, nodes
from jinja2.ext import Extension
from jinja2.lexer import Token, TokenStream
from jinja2.runtime import LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from mailroom.domain.outbound.message import LIMITS
from mailroom.outbound.template_budget import BadValue, Unfit
from mailroom.outbound.template_data import Missing
from mailroom.outbound.template_faults import construct, refuse_swallowed, written
from mailroom.outbound.template_filters import FILTERS, LARGEST, OUT_OF_BOUNDS
from mailroom.outbound.template_prices import OFFERED_FILTERS, OFFERED_TESTS, Compared, looped, plain, printed

_NODES = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const, nodes.Getattr, nodes.Getitem,
    nodes.Filter, nodes.Test, nodes.If, nodes.CondExpr, nodes.For, nodes.And, nodes.Or, nodes.Not, nodes.Compare,
    nodes.Operand, nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.Neg, nodes.Keyword,
)  # fmt: skip
#: Comparisons by their names in Jinja's parser, where its tests have other names: the test, and whether it is negated.
_TEST_OF = {"gteq": ("ge", False), "lteq": ("le", False), "not" + "in": ("in", True)}
#: Steps of nodes that take more than one.
_PRICES: dict[type[nodes.Node], int] = {nodes.Filter: 4, nodes.Test: 2, nodes.Compare: 2}
#: The attributes of `loop`.
_LOOP = {"first", "index", "index0", "last", "length", "revindex", "revindex0"}
#: Limits of nodes in all texts of a mail, and of nesting: compile time grows with the square of the depth.
MOST_PARTS, _MOST_DEEP = 10_000, 40
_MOST_TOKENS = 5 * MOST_PARTS
#: Compiling visits each name again at each `if`.
_MOST_NAMES_AT_IFS = 2_000_000
#: Compiling visits a loop's body again for each enclosing loop: the limit of the sum of all loops' prices.
_MOST_LOOPED = 100_000


class _Bounded(Extension):
    """Stops parsing a template with too many tokens; its nodes are counted after parsing."""

    def filter_stream(self, stream: TokenStream) -> Iterable[Token]:
        for count, token in enumerate(stream):
            if count > _MOST_TOKENS:
                raise _too_large()
            yield token


class Sandbox(ImmutableSandboxedEnvironment):
    """A sandbox for JSON data: objects have only their keys, and values have no attributes."""

    intercepted_binops = frozenset({"*", "+", "-", "/"})

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Return the value of this name in an object of the data, or a loop's attribute."""
        if type(obj) is dict:
            try:
                return obj[attribute]
            except KeyError:
                return self.undefined(obj=obj, name=attribute)
        if isinstance(obj, LoopContext) and attribute in _LOOP:
            return getattr(obj, attribute)
        return self.getitem(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """Return a value of an object or a list; for an undefined object, the undefined object."""
        if isinstance(obj, Undefined):
            return obj
        known = isinstance(obj, dict) or (isinstance(obj, (list, str)) and isinstance(argument, int))
        try:
            return obj[argument] if known else self.undefined(obj=obj, name=argument)
        except (LookupError, TypeError):
            return self.undefined(obj=obj, name=argument)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Calculate with numbers up to `LARGEST` only: a text times a million is refused."""
        # NaN is not within the bounds either.
        if not (
            isinstance(left, (int, float))
            and isinstance(right, (int, float))
            and -LARGEST <= left <= LARGEST
            and -LARGEST <= right <= LARGEST
        ):
            raise BadValue(f"`{operator}`: {OUT_OF_BOUNDS}")
        return plain(self.binop_table[operator](left, right))


def _sandbox(*, autoescape: bool) -> Sandbox:
    sandbox = Sandbox(
        autoescape=autoescape,
        undefined=Missing,
        keep_trailing_newline=True,
        finalize=printed,
        extensions=[_Bounded],
        # The optimizer visits nested expressions again at every level.
        optimized=False,
    )
    sandbox.globals.clear()
    sandbox.filters = OFFERED_FILTERS | {"counted": looped, "compared": Compared}
    sandbox.tests = dict(OFFERED_TESTS)
    return sandbox


PLAIN, ESCAPED = _sandbox(autoescape=False), _sandbox(autoescape=True)


@dataclass(frozen=True, slots=True)
class Parsed:
    """A checked template with charges added; `parts` is its number of nodes, `names` are the names written in it.

    `constant` is its text where that is the same for everybody.
    """

    tree: nodes.Template
    parts: int
    price: int
    names: frozenset[str]
    constant: str | None


def parsed(sandbox: Sandbox, source: str, *, most: int = MOST_PARTS) -> Parsed:
    """Return the checked template.

    Raises:
        Unfit: it is too large, or uses what is not supported.
        TemplateError, RecursionError: its syntax is invalid.
    """
    if len(source) > LIMITS.template:
        raise Unfit(f"template too long: at most {LIMITS.template} characters")
    tree = sandbox.parse(source)
    refuse_swallowed(sandbox, source)
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
    constant = _constant(tree)
    paying.visit(tree)
    return Parsed(tree, count, price, frozenset(names), constant)


def _constant(tree: nodes.Template) -> str | None:
    """Return the text of a template that is one piece of text."""
    match tree.body:
        case [nodes.Output(nodes=[nodes.TemplateData(data=text)])]:
            return str(text)
        case _:
            return None


def _too_large() -> Unfit:
    return Unfit(f"template too complex: at most {MOST_PARTS} elements, nested at most {_MOST_DEEP} levels")


def _walk(tree: nodes.Node) -> Iterator[tuple[nodes.Node, int]]:
    # Without recursion: the depth may be too large for it.
    left = [(tree, 0)]
    while left:
        node, depth = left.pop()
        yield node, depth
        left += [(child, depth + 1) for child in node.iter_child_nodes()]


class _Paying(NodeTransformer):
    """Adds charges to loops and comparisons."""

    def __init__(self) -> None:
        self._prices: dict[nodes.Node, int] = {}

    @property
    def looped(self) -> int:
        """The sum of the prices of all loops."""
        return sum(self._prices.values())

    def price(self, node: nodes.Node) -> int:
        """Return the price of a node with all nodes below it, evaluated once."""
        price = _PRICES.get(type(node), 1) + sum(map(self.price, node.iter_child_nodes()))
        if isinstance(node, nodes.For):
            self._prices[node] = price
        return price

    def visit_For(self, node: nodes.For) -> nodes.For:  # noqa: N802 - Jinja's name
        """Charge each iteration."""
        self.generic_visit(node)
        node.iter = _filter(node.iter, "counted", nodes.Const(self._prices[node], lineno=node.lineno))
        return node

    def visit_Filter(self, node: nodes.Filter) -> nodes.Filter:  # noqa: N802 - Jinja's name
        """Give a filter that reads a number or a date what it reads, as the template writes it, for its fault."""
        if node.name in FILTERS and (of := written(node)) is not None:
            named: list[nodes.Node] = [*node.kwargs, nodes.Keyword("of", nodes.Const(of), lineno=node.lineno)]
            node.kwargs = cast(Any, named)
        self.generic_visit(node)
        return node

    def visit_Compare(self, node: nodes.Compare) -> nodes.Expr:  # noqa: N802 - Jinja's name
        """Replace a comparison by the charged test, and the sides of a chain by charged ones."""
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
    what, offered = None, dict[str, Any]()
    if isinstance(node, nodes.Filter) and node.name not in OFFERED_FILTERS:
        what, offered = f"unknown filter `{node.name}`", OFFERED_FILTERS
    elif isinstance(node, nodes.Test) and node.name not in OFFERED_TESTS:
        what, offered = f"unknown test `{node.name}`", OFFERED_TESTS
    elif (
        not isinstance(node, _NODES)
        or (isinstance(node, nodes.Name) and node.name in ("self", "super", "caller"))
        or (isinstance(node, nodes.For) and node.recursive)
        or (isinstance(node, nodes.Const) and isinstance(node.value, (int, float)) and abs(node.value) > LARGEST)
    ):
        sign = construct(node)
        what = f"`{sign}`: " * bool(sign) + "only values, filters, if and for are allowed in a template"
    if what:
        known = f"; use one of {', '.join(sorted(offered))}" if offered else ""
        raise Unfit(f"{what}, line {node.lineno or 1}{known}")
