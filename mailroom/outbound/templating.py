"""Templates of mails: Jinja in its sandbox, cut down to what a mail needs, and bounded.

A template comes from a caller and runs in our process. So it cannot call anything, read an attribute that Python keeps
for itself, or repeat itself for long: only listed syntax and filters are taken, loops share a budget of steps, and what
comes out has an end. The HTML is autoescaped. A value that the data lacks is an error: nobody is greeted by a blank.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from jinja2 import StrictUndefined, TemplateError, nodes, pass_eval_context
from jinja2.exceptions import SecurityError
from jinja2.filters import do_join
from jinja2.nodes import EvalContext
from jinja2.sandbox import ImmutableSandboxedEnvironment

from mailroom.domain.outbound import LIMITS, Content
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
_STEPS = 20_000
_MOST_NODES = 20_000
_MOST_JOINED = 1 << 20
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
        self._most = most
        self._subject = _compiled(_PLAIN, content.subject)
        self._text = _compiled(_PLAIN, content.text) if content.text is not None else None
        self._html = _compiled(_ESCAPED, content.html) if content.html is not None else None
        self._unsubscribe = _compiled(_PLAIN, content.unsubscribe) if content.unsubscribe is not None else None

    def fill(self, data: Mapping[str, Any]) -> Filled:
        """Return the texts for one recipient.

        Raises:
            Unfit: a value is missing, a line break would get into a header, or there is no end to it.
        """
        _steps.set(_STEPS)
        subject, unsubscribe = self._filled(self._subject, data), self._filled(self._unsubscribe, data)
        if has_break(subject or "") or has_break(unsubscribe or ""):
            raise Unfit("a value puts a line break or control character into a header")
        if not subject or len(subject) > LIMITS.subject:
            raise Unfit("the subject is empty or too long with these values")
        return Filled(subject, self._filled(self._text, data), self._filled(self._html, data), unsubscribe)

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
            raise Unfit("the template does what a mail's may not") from None
        except (TemplateError, ArithmeticError, TypeError, ValueError, LookupError, AttributeError):
            raise Unfit("a value that the template needs is missing or of another kind") from None
        return "".join(pieces)


def _counted(items: Iterable[Any]) -> Iterator[Any]:
    for item in items:
        left = _steps.get() - 1
        if left < 0:
            raise Unfit("the template repeats itself too often")
        _steps.set(left)
        yield item


@pass_eval_context
def _join(context: EvalContext, value: Iterable[Any], d: str = "") -> str:
    items = [str(item) for item in _counted(value)]
    if sum(map(len, items)) + len(d) * len(items) > _MOST_JOINED:
        raise Unfit("with these values the mail gets too long")
    joined: str = do_join(context, value, d)
    return joined


class _Sandbox(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"*", "+"})

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Calculate with numbers only: a text times a million is no mail."""
        if not (isinstance(left, (int, float)) and isinstance(right, (int, float))):
            raise SecurityError("numbers only")
        return super().call_binop(context, operator, left, right)


def _sandbox(*, autoescape: bool) -> _Sandbox:
    sandbox = _Sandbox(autoescape=autoescape, undefined=StrictUndefined, keep_trailing_newline=True)
    sandbox.globals.clear()
    sandbox.filters = {name: sandbox.filters[name] for name in _FILTERS} | {"counted": _counted, "join": _join}
    sandbox.tests = {name: sandbox.tests[name] for name in _TESTS}
    return sandbox


_PLAIN, _ESCAPED = _sandbox(autoescape=False), _sandbox(autoescape=True)


def _compiled(sandbox: _Sandbox, source: str) -> Any:
    if len(source) > LIMITS.template:
        raise Unfit("a template is too long")
    try:
        tree = sandbox.parse(source)
        for count, node in enumerate(tree.find_all(nodes.Node)):
            if count > _MOST_NODES:
                raise Unfit("a template is too long")
            _check(node)
        for loop in tree.find_all(nodes.For):
            loop.iter = nodes.Filter(loop.iter, "counted", [], [], None, None, lineno=loop.lineno)
        return sandbox.from_string(tree)
    except Unfit:
        raise
    except (TemplateError, RecursionError, SyntaxError, OverflowError, MemoryError):
        raise Unfit("the template is not valid") from None


def _check(node: nodes.Node) -> None:
    if not isinstance(node, _NODES):
        raise Unfit("the template does what a mail's may not")
    if isinstance(node, nodes.Filter) and node.name not in _FILTERS:
        raise Unfit("the template uses a filter that is not offered")
    if isinstance(node, nodes.Test) and node.name not in _TESTS:
        raise Unfit("the template uses a test that is not offered")
    if isinstance(node, nodes.Name) and node.name in ("self", "super", "caller"):
        raise Unfit("the template does what a mail's may not")
    if isinstance(node, nodes.For) and node.recursive:
        raise Unfit("the template does what a mail's may not")
