"""Templates of mails: sandboxed Jinja, restricted to what a mail needs, with bounded cost.

A template comes from a caller and runs in our process. So it cannot call anything, read anything but the data, or run for
long: only listed syntax and filters are accepted (`template_language`), numbers stay small, every operation costs steps
(`template_prices`) of a budget (`template_budget`), and the output's length is limited. HTML is autoescaped. A value that is
missing in the data is an error, so that no mail has a blank in its place.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateError, TemplateSyntaxError, UndefinedError
from jinja2.exceptions import SecurityError

from mailroom.domain.delivery.unsubscribe import OURS
from mailroom.domain.outbound import content_rules
from mailroom.domain.outbound.message import LIMITS, Content
from mailroom.outbound.template_budget import TOO_MUCH, BadValue, Budget, Clock, Unfit, spend
from mailroom.outbound.template_data import readable
from mailroom.outbound.template_faults import line_of, syntax_fault
from mailroom.outbound.template_filters import OUT_OF_BOUNDS
from mailroom.outbound.template_language import ESCAPED, MOST_PARTS, PLAIN, Sandbox, parsed
from mailroom.outbound.template_prices import WRONG_TYPE
from mailroom.outbound.unsubscribe_link import with_link

__all__ = ["Clock", "Filled", "Template", "Unfit"]

#: The limit of steps for all mails of one request together.
_STEPS_OF_ALL = 50_000_000
#: Characters of output that are joined in the time of one step.
_PUT_TOGETHER = 1_024


@dataclass(frozen=True, slots=True)
class Filled:
    """The rendered texts of one mail."""

    subject: str
    text: str | None
    html: str | None
    unsubscribe: str | None


class Template:
    """A content's templates, compiled once and rendered for each recipient."""

    def __init__(self, content: Content, most: int = LIMITS.mail, clock: Clock | None = None) -> None:
        """Compile.

        Args:
            content: The content; its texts are Jinja templates.
            most: The limit of characters in one mail's texts together.
            clock: The time left for the request; without it, only steps bound the rendering.

        Raises:
            Unfit: the syntax is wrong or not supported, or the template is too large.
        """
        self._most, self._clock = most, clock
        self._parts, self._price, self._names = 0, 0, frozenset[str]()
        self._subject = self._compiled("subject", PLAIN, content.subject)
        self._text = self._compiled("text", PLAIN, content.text)
        self._html = self._compiled("html", ESCAPED, content.html)
        self._unsubscribe = self._compiled("unsubscribe", PLAIN, content.unsubscribe)
        self._budget = Budget(self._price, clock)

    @property
    def spent(self) -> int:
        """Steps used for all recipients until now."""
        return self._budget.spent

    @property
    def exhausted(self) -> bool:
        """Whether the steps or the time of all recipients together are used up."""
        return self._budget.spent >= _STEPS_OF_ALL or (self._clock is not None and self._clock.is_over())

    def fill(self, data: Mapping[str, Any], *, link: str | None = None) -> Filled:
        """Return the texts for one recipient; `link` is our own unsubscribe link, where the content asks for one.

        Raises:
            Unfit: a value is missing, a line break would get into a header, or it is too long or takes too many steps.
        """
        if self.exhausted:
            raise Unfit(TOO_MUCH)
        with self._budget:
            self._room = self._most
            seen = readable(data, self._names)
            subject = self._filled("subject", self._subject, seen) or ""
            unsubscribe = self._filled("unsubscribe", self._unsubscribe, seen)
            linked = with_link(seen, link if unsubscribe == OURS else unsubscribe)
            text, html = self._filled("text", self._text, linked), self._filled("html", self._html, linked)
            filled = Filled(subject, text, html, unsubscribe)
        _refuse_unfit(filled)
        return filled

    def _compiled(self, part: str, sandbox: Sandbox, source: str | None) -> Any:
        if source is None:
            return None
        if self._clock is not None and self._clock.is_over():
            raise Unfit(TOO_MUCH)
        try:
            read = parsed(sandbox, source, most=MOST_PARTS - self._parts)
            self._parts += read.parts
            self._price += read.price
            self._names |= read.names
            return sandbox.from_string(read.tree) if read.constant is None else read.constant
        except Unfit as error:
            raise Unfit(f"{part}: {error}") from None
        except TemplateSyntaxError as error:
            raise Unfit(f"{part}: {syntax_fault(sandbox, source, error)}") from None
        except (TemplateError, RecursionError, SyntaxError, OverflowError, MemoryError, ValueError):
            raise Unfit(f"{part}: invalid template") from None

    def _filled(self, part: str, template: Any, data: Mapping[str, Any]) -> str | None:
        if template is None:
            return None
        pieces, room = [], self._room
        try:
            # A text without expressions needs no context: three quarters of the time of a short one.
            is_text = isinstance(template, str)
            for piece in (template,) if is_text else template.root_render_func(template.new_context(data)):
                length = len(piece)
                room -= length
                if room < 0:
                    raise Unfit("the mail is too long with this data")
                if length >= _PUT_TOGETHER:
                    spend(length // _PUT_TOGETHER)
                pieces.append(piece)
        except BadValue as error:
            raise Unfit(_placed(part, str(error), error)) from None
        except Unfit:
            raise
        except SecurityError as error:
            raise Unfit(_placed(part, OUT_OF_BOUNDS, error)) from None
        except UndefinedError as error:
            raise Unfit(self._missing(part, error)) from None
        except (
            TemplateError, ArithmeticError, TypeError, ValueError, LookupError, AttributeError, RecursionError, MemoryError
        ) as error:  # fmt: skip
            raise Unfit(_placed(part, WRONG_TYPE, error)) from None
        self._room = room
        return "".join(pieces)

    def _missing(self, part: str, error: UndefinedError) -> str:
        # The missing name, unless it came from the data.
        if error.message not in self._names:
            return _placed(part, "a value is missing in the data", error)
        what = f"`{error.message}` is missing in the data; if it may be missing, use the filter `default`"
        return _placed(part, what, error)


def _placed(part: str, what: str, error: Exception) -> str:
    """Return a fault with the place in the template where it was met, before what to do about it."""
    line = line_of(error)
    met, mark, remedy = what.partition(";")
    return f"{part}: {met}{'' if line is None else f', line {line}'}{mark}{remedy}"


def _refuse_unfit(filled: Filled) -> None:
    """Raise Unfit where the rendered texts break a content rule."""
    if not content_rules.is_clean(filled.subject) or not content_rules.is_clean(filled.unsubscribe or ""):
        raise Unfit("a value inserts a line break or control character into a header")
    try:
        content_rules.subject(filled.subject)
    except ValueError:
        raise Unfit("the subject is empty or too long with this data") from None
    for part, text in (("text", filled.text), ("html", filled.html)):
        try:
            content_rules.body(text or "")
        except ValueError as error:
            raise Unfit(f"{part}: {error} with this data") from None
