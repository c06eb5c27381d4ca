"""Templates of mails: Jinja in its sandbox, cut down to what a mail needs, and bounded.

A template comes from a caller and runs in our process. So it cannot call anything, look at anything but the data, or go
on for long: only listed syntax and filters are taken, numbers stay small, what it does is paid from a budget of steps
(a loop pays its body each time, a filter the length of what it works on), and what comes out has an end. The HTML is
autoescaped. A value that the data lacks is an error: nobody is greeted by a blank.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from functools import wraps
from typing import Any

from jinja2 import (
    StrictUndefined,
    TemplateError,
    TemplateSyntaxError,
    Undefined,
    UndefinedError,
    nodes,
    pass_eval_context,
)
from jinja2.exceptions import SecurityError
from jinja2.filters import do_join, do_round
from jinja2.nodes import EvalContext
from jinja2.runtime import LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment

from mailroom.domain.outbound.message import LIMITS, Content
from mailroom.outbound.addresses import has_break

_NODES = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const, nodes.Getattr, nodes.Getitem,
    nodes.Filter, nodes.Test, nodes.If, nodes.CondExpr, nodes.For, nodes.And, nodes.Or, nodes.Not, nodes.Compare,
    nodes.Operand, nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.Neg, nodes.Keyword,
)  # fmt: skip
_FILTERS = {
    "abs", "capitalize", "count", "d", "default", "e", "escape", "first", "float", "int", "join", "last", "length",
    "lower", "round", "sort", "sum", "title", "trim", "upper", "urlencode",
}  # fmt: skip
_TESTS = {
    "boolean", "defined", "divisibleby", "eq", "even", "ge", "gt", "in", "le", "lt", "mapping", "ne", "none", "number",
    "odd", "sequence", "string", "undefined",
}  # fmt: skip
#: What a loop tells of itself.
_LOOP = {"first", "index", "index0", "last", "length", "revindex", "revindex0"}
#: About as many as Python does in a tenth of a second, for one mail; and for all mails of one request together.
_STEPS, _STEPS_OF_ALL = 200_000, 50_000_000
#: Compiling takes the square of how deep expressions are nested.
_MOST_NODES, _MOST_DEEP = 20_000, 40
_MOST_JOINED = 1 << 20
#: Larger numbers are no sums of money; with digits without end, one multiplication takes minutes.
_LARGEST = 10**15
_MOST_PLACES = 10
#: Characters that a filter works on in the time of one step; an item of a list takes a step.
_A_STEP = 4
_steps: ContextVar[int] = ContextVar("steps")


class Unfit(ValueError):
    """A template or its data cannot make a mail; the message is a constant sentence."""


@dataclass(frozen=True, slots=True)
class Filled:
    """The texts of one mail."""

    subject: str
    text: str | None
    html: str | None
    unsubscribe: str | None


class Template:
    """A content's texts, compiled once and filled for each recipient."""

    def __init__(self, content: Content, most: int = LIMITS.mail) -> None:
        """Compile.

        Args:
            content: What the templates are of; its texts are Jinja.
            most: Characters that one mail's texts may have together.

        Raises:
            Unfit: the syntax is wrong, or more than a mail needs.
        """
        self._most, self._left = most, _STEPS_OF_ALL
        self._cost, self._names = 0, set[str]()
        self._subject = self._compiled("subject", _PLAIN, content.subject)
        self._text = self._compiled("text", _PLAIN, content.text)
        self._html = self._compiled("html", _ESCAPED, content.html)
        self._unsubscribe = self._compiled("unsubscribe", _PLAIN, content.unsubscribe)

    def fill(self, data: Mapping[str, Any]) -> Filled:
        """Return the texts for one recipient.

        Raises:
            Unfit: a value is missing, a line break would get into a header, or there is no end to it.
        """
        if self._left <= 0:
            raise Unfit("the template does too much for so many recipients; hand them over in several batches")
        _steps.set(_STEPS - self._cost)
        try:
            return self._filled_with(data)
        finally:
            self._left -= _STEPS - _steps.get()

    def _filled_with(self, data: Mapping[str, Any]) -> Filled:
        subject, unsubscribe = self._filled(self._subject, data), self._filled(self._unsubscribe, data)
        if has_break(subject or "") or has_break(unsubscribe or ""):
            raise Unfit("a value puts a line break or control character into a header")
        if not subject or not subject.strip() or len(subject) > LIMITS.subject:
            raise Unfit("the subject is empty or too long with these values")
        return Filled(subject, self._filled(self._text, data), self._filled(self._html, data), unsubscribe)

    def _compiled(self, part: str, sandbox: "_Sandbox", source: str | None) -> Any:
        if source is None:
            return None
        try:
            tree = _parsed(sandbox, source)
            for node in tree.find_all(nodes.Node):
                self._cost += 1
                self._names.update(value for _, value in node.iter_fields() if isinstance(value, str))
            return sandbox.from_string(tree)
        except Unfit as error:
            raise Unfit(f"{part}: {error}") from None
        except TemplateSyntaxError as error:
            raise Unfit(f"{part}: this is no template, see line {error.lineno}") from None
        except (TemplateError, RecursionError, SyntaxError, OverflowError, MemoryError, ValueError):
            raise Unfit(f"{part}: this is no template") from None

    def _filled(self, template: Any, data: Mapping[str, Any]) -> str | None:
        if template is None:
            return None
        pieces, length = [], 0
        try:
            for piece in template.generate(data):
                length += len(piece)
                if length > self._most:
                    raise Unfit("with these values the mail gets too long")
                pieces.append(piece)
        except Unfit:
            raise
        except SecurityError:
            raise Unfit("the template calculates with what is no number of a mail") from None
        except UndefinedError as error:
            # Its name, unless that is somebody's data.
            name = f"`{error.message}`" if error.message in self._names else "something"
            raise Unfit(f"the data lacks {name} that the template uses") from None
        except (TemplateError, ArithmeticError, TypeError, ValueError, LookupError, AttributeError):
            raise Unfit("a value is of another kind than the template needs") from None
        return "".join(pieces)


def _spend(steps: int) -> None:
    left = _steps.get() - steps
    if left < 0:
        raise Unfit("the template repeats itself too often")
    _steps.set(left)


def _counted(items: Iterable[Any], weight: int) -> Iterator[Any]:
    for item in items:
        _spend(weight)
        yield item


def _charged(work: Callable[..., Any]) -> Callable[..., Any]:
    """Return a filter that pays for the length of what it is given."""

    @wraps(work)
    def charged(*given: Any, **named: Any) -> Any:
        texts = sum(len(one) for one in given if isinstance(one, str))
        _spend(texts // _A_STEP + sum(len(one) for one in given if isinstance(one, (list, dict))))
        return work(*given, **named)

    return charged


@pass_eval_context
def _join(context: EvalContext, value: Iterable[Any], d: str = "") -> str:
    items = [str(item) for item in _counted(value, 1)]
    length = sum(map(len, items)) + len(d) * len(items)
    if length > _MOST_JOINED:
        raise Unfit("with these values the mail gets too long")
    _spend(length // _A_STEP)
    joined: str = do_join(context, value, d)
    return joined


def _round(value: float, precision: int = 0, method: Any = "common") -> float:
    if abs(precision) > _MOST_PLACES:
        raise SecurityError("so many places are no number of a mail")
    return do_round(value, precision, method)


class _Missing(StrictUndefined):
    """What the data lacks; its error's message is its name."""

    __slots__ = ()

    @property
    def _undefined_message(self) -> str:
        return str(self._undefined_name)


class _Sandbox(ImmutableSandboxedEnvironment):
    """Data is JSON: an object has what was put into it, and nothing has attributes."""

    intercepted_binops = frozenset({"*", "+", "-", "/"})

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Return what an object of the data, or a loop, has by this name."""
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
        if not all(isinstance(one, (int, float)) and abs(one) <= _LARGEST for one in (left, right)):
            raise SecurityError("numbers only")
        return super().call_binop(context, operator, left, right)


def _sandbox(*, autoescape: bool) -> _Sandbox:
    sandbox = _Sandbox(
        autoescape=autoescape,
        undefined=_Missing,
        keep_trailing_newline=True,
        # It looks at nested expressions again at every level.
        optimized=False,
    )
    sandbox.globals.clear()
    offered = {name: sandbox.filters[name] for name in _FILTERS} | {"join": _join, "round": _round}
    sandbox.filters = {name: _charged(work) for name, work in offered.items()} | {"counted": _counted}
    sandbox.tests = {name: sandbox.tests[name] for name in _TESTS}
    return sandbox


_PLAIN, _ESCAPED = _sandbox(autoescape=False), _sandbox(autoescape=True)


def _parsed(sandbox: _Sandbox, source: str) -> nodes.Template:
    """Return the checked template with its loops counted."""
    if len(source) > LIMITS.template:
        raise Unfit(f"a template has at most {LIMITS.template} characters")
    tree = sandbox.parse(source)
    for count, (node, depth) in enumerate(_walk(tree)):
        if count > _MOST_NODES or depth > _MOST_DEEP:
            raise Unfit(f"a template has at most {_MOST_NODES} parts, nested at most {_MOST_DEEP} deep")
        _check(node)
    for loop in tree.find_all(nodes.For):
        weight = nodes.Const(1 + sum(1 for _ in loop.find_all(nodes.Node)), lineno=loop.lineno)
        loop.iter = nodes.Filter(loop.iter, "counted", [weight], [], None, None, lineno=loop.lineno)
    return tree


def _walk(tree: nodes.Node) -> Iterator[tuple[nodes.Node, int]]:
    # Without recursion: how deep it goes is what is asked.
    left = [(tree, 0)]
    while left:
        node, depth = left.pop()
        yield node, depth
        left += [(child, depth + 1) for child in node.iter_child_nodes()]


def _check(node: nodes.Node) -> None:
    what = None
    if isinstance(node, nodes.Filter) and node.name not in _FILTERS:
        what = f"the filter `{node.name}` is not offered"
    elif isinstance(node, nodes.Test) and node.name not in _TESTS:
        what = f"the test `{node.name}` is not offered"
    elif (
        not isinstance(node, _NODES)
        or (isinstance(node, nodes.Name) and node.name in ("self", "super", "caller"))
        or (isinstance(node, nodes.For) and node.recursive)
        or (isinstance(node, nodes.Const) and isinstance(node.value, (int, float)) and abs(node.value) > _LARGEST)
    ):
        what = "a mail's template takes values, filters, if and for, and nothing that calls or sets"
    if what:
        raise Unfit(f"{what}, see line {node.lineno or 1}")
