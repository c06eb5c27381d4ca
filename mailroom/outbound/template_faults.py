"""What is wrong with a template, in words for its author: the construct, its line, and what to write instead.

A construct is quoted from the template, never from the data, which belongs to a recipient.
"""

import re

from jinja2 import Environment, TemplateError, TemplateSyntaxError, nodes

from mailroom.outbound.template_budget import Unfit
from mailroom.outbound.template_data import template_name

_OPENING = re.compile(r"\{[{%#]")
_BLOCK = re.compile(r"\{%[-+]?\s*(end)?(if|for)\b")
_NAME_WITH_BLANKS = re.compile(r"\{\{[-+]?\s*(\w+(?:[ \t.%-]+\w+)+)\s*[-+]?\}\}")
#: What stands around a tag, for it to be parsed alone.
_AROUND = {
    "if": ("", "{% endif %}"),
    "elif": ("{% if a %}", "{% endif %}"),
    "else": ("{% if a %}", "{% endif %}"),
    "endif": ("{% if a %}", ""),
    "for": ("", "{% endfor %}"),
    "endfor": ("{% for a in b %}", ""),
    "raw": ("", "{% endraw %}"),
}
_TAG, _CLOSING = re.compile(r"\{%[-+]?\s*(\w+)"), re.compile(r"[%}]\}")
#: Characters that are quoted of a construct and of Jinja's reason, and constructs of a line that are tried.
_QUOTED, _REASON, _TRIED = 40, 120, 200
_AS_TEXT = "to write `{0}` as text, as in CSS, put a blank between its two characters, or write {{% raw %}} before it and {{% endraw %}} behind"
#: Statements and operators that Jinja parses and a mail's template does not have, as they are written.
_WRITTEN: dict[type[nodes.Node], str] = {
    nodes.Assign: "{% set %}",
    nodes.AssignBlock: "{% set %}",
    nodes.Block: "{% block %}",
    nodes.Call: "( )",
    nodes.CallBlock: "{% call %}",
    nodes.Concat: "~",
    nodes.Dict: "{ }",
    nodes.Extends: "{% extends %}",
    nodes.FilterBlock: "{% filter %}",
    nodes.FloorDiv: "//",
    nodes.FromImport: "{% from %}",
    nodes.Import: "{% import %}",
    nodes.Include: "{% include %}",
    nodes.List: "[ ]",
    nodes.Macro: "{% macro %}",
    nodes.Mod: "%",
    nodes.Pos: "+",
    nodes.Pow: "**",
    nodes.Slice: "[:]",
    nodes.Tuple: ",",
    nodes.With: "{% with %}",
}


def syntax_fault(environment: Environment, source: str, error: TemplateSyntaxError) -> str:
    """Return what is wrong where Jinja cannot parse `source`: the construct, its line, Jinja's reason, and the way out."""
    said, line = error.message or "", error.lineno
    if "end of comment" in said:
        return f"`{{#` begins a comment that does not end with `#}}`, line {line}; {_AS_TEXT.format('{#')}"
    if "end of raw" in said:
        return f"`{{% raw %}}` is not closed, line {line}; write {{% endraw %}} where the text ends"
    if "Unexpected end of template" in said and (opened := _left_open(source)) is not None:
        kind, at = opened
        return f"`{{% {kind} %}}` is not closed, line {at}; write {{% end{kind} %}} where it ends"
    found = _construct(environment, source, line, said)
    if found is None:
        return f"invalid template, line {line}"
    quoted, at = found
    if (named := _NAME_WITH_BLANKS.fullmatch(quoted)) is not None:
        name = template_name(named[1])
        return f"invalid template, `{quoted}`, line {at}; a name has no blanks or signs, write `{{{{ {name} }}}}`"
    reason = " ".join(said.split())[:_REASON].rstrip(".")
    return f"invalid template, `{quoted}`, line {at} ({reason}); {_AS_TEXT.format(quoted[:2])}"


def refuse_swallowed(environment: Environment, source: str) -> None:
    """Refuse a comment in which another begins: the first is meant as text, and what lies between would be left out.

    Raises:
        Unfit: there is one.
    """
    if source.count("{#") < 2:
        return
    for line, kind, text in environment.lex(source):
        if kind == "comment" and "{#" in text:
            what = f"`{{#` begins a comment in which another `{{#` begins, line {line}"
            raise Unfit(f"{what}; {_AS_TEXT.format('{#')}")


def written(node: nodes.Node) -> str | None:
    """Return an expression as the template writes it: names, their parts and filters; None for anything else."""
    found = _path(node)
    return found if found is None or len(found) <= _QUOTED else None


def construct(node: nodes.Node) -> str | None:
    """Return how a statement or an operator that is not allowed is written."""
    return _WRITTEN.get(type(node))


def line_of(error: BaseException) -> int | None:
    """Return the template's line at which an error was raised while it was rendered."""
    line, frame = None, error.__traceback__
    while frame is not None:
        template = frame.tb_frame.f_globals.get("__jinja_template__")
        if template is not None:
            line = template.get_corresponding_lineno(frame.tb_lineno)
        frame = frame.tb_next
    return line


def _path(node: nodes.Node) -> str | None:
    match node:
        case nodes.Name():
            return node.name
        case nodes.Getattr():
            base, end = _path(node.node), f".{node.attr}"
        case nodes.Getitem(arg=nodes.Const(value=int(number))):
            base, end = _path(node.node), f"[{number}]"
        case nodes.Filter(node=nodes.Expr() as read):
            base, end = _path(read), f"|{node.name}"
        case _:
            return None
    return None if base is None else base + end


def _construct(environment: Environment, source: str, line: int, said: str) -> tuple[str, int] | None:
    """Return the construct at which the parser stopped, and its line.

    It is the first on that line that cannot be parsed alone, else the last on it, else the last on a line before.
    """
    lines = re.split(r"\r\n|\r|\n", source)
    wanted = "{%" if "tag" in said or "statement block" in said else "{{" if "print statement" in said else None
    for number in range(min(line, len(lines)), 0, -1):
        found = [one for one in _OPENING.finditer(lines[number - 1]) if one[0] != "{#"]
        of_kind = [one for one in found if one[0] == wanted] or found
        if of_kind:
            wholes = (_whole(lines[number - 1][one.start() :]) for one in (*of_kind[:_TRIED], of_kind[-1]))
            # The last is found also where each can be parsed alone.
            for whole in wholes:
                quoted = whole
                if not _parses(environment, whole):
                    break
            return quoted[:_QUOTED].rstrip(), number
    return None


def _whole(text: str) -> str:
    end = _CLOSING.search(text, 2)
    return text[: end.end() if end else None]


def _parses(environment: Environment, construct: str) -> bool:
    """Return whether a construct can be parsed with what belongs around it."""
    tag = _TAG.match(construct)
    before, behind = _AROUND.get(tag[1], ("", "")) if tag else ("", "")
    try:
        environment.parse(before + construct + behind)
    except (TemplateError, RecursionError, ValueError):
        return False
    return True


def _left_open(source: str) -> tuple[str, int] | None:
    """Return the innermost `if` or `for` without its end, and its line."""
    opened: list[re.Match[str]] = []
    for found in _BLOCK.finditer(source):
        if not found[1]:
            opened.append(found)
        elif opened:
            opened.pop()
    if not opened:
        return None
    return opened[-1][2], len(re.findall(r"\r\n|\r|\n", source[: opened[-1].start()])) + 1
