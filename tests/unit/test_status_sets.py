"""Each set of statuses is written once; SQL and pages derive theirs."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailroom.adapters.postgres.outbound.models import IS_TROUBLE, IS_UNANSWERED, IS_WAITING
from mailroom.domain.inbound import received_email as inbound
from mailroom.domain.outbound import message as outbound

ROOT = Path(__file__).parents[2]
#: Where the sets are; migrations, which keep their own; and the audit, which shares no code with what it audits.
_ELSEWHERE = ("mailroom/domain/outbound/message.py", "mailroom/domain/inbound/received_email.py")
_APART = ("mailroom/adapters/postgres/migrations/", "mailroom/audit/")
NAMED = {
    **{name: frozenset(getattr(outbound, name)) for name in ("WAITING", "UNANSWERED", "UNDER_WAY", "OPEN", "TROUBLE")},
    "WITHHELD": frozenset(outbound.WITHHELD),
    **{f"inbound {name}": frozenset(getattr(inbound, name)) for name in ("FINAL", "OPEN", "UNSETTLED", "REPLAYABLE")},
}
_WORDS = {"Status": outbound.Status, "State": inbound.State, "EmailState": inbound.State}
_SQL = re.compile(
    r"\b(?:status|state)\s+(?:not\s+)?in\s*\(\s*['\"]|\b(?:status|state)\s*(?:=|<>)\s*(?:any|all)\s*\(\s*(?:array|'\{)",
    re.IGNORECASE,
)


def sources() -> Iterator[Path]:
    for folder in ("mailroom", "flows", "tasks", "blocks", "deployments"):
        for file in (ROOT / folder).rglob("*"):
            name = file.relative_to(ROOT).as_posix()
            if file.suffix in (".py", ".html") and name not in _ELSEWHERE and not name.startswith(_APART):
                yield file


def word_of(node: ast.expr) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in _WORDS:
        found = getattr(_WORDS[node.value.id], node.attr, None)
        return None if found is None else str(found)
    return None


def members(node: ast.AST) -> list[ast.expr]:
    """Return what a literal holds, or what one thing is compared with: `x is A or x is B`."""
    if isinstance(node, ast.Tuple | ast.List | ast.Set):
        return node.elts
    compared = node.values if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.Or) else []
    sides = [one.comparators[0] if isinstance(one, ast.Compare) else one for one in compared]
    return sides if len({ast.dump(one.left) for one in compared if isinstance(one, ast.Compare)}) == 1 else []


def copies(source: str) -> list[str]:
    """Return the literals of this module that repeat a named set, or all of one but a member."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if len(elements := members(node)) > 1:
            words = frozenset(filter(None, map(word_of, elements)))
            whole = len(words) == len(elements)
            near = [name for name, known in NAMED.items() if whole and len(words ^ known) <= (len(words) > 2)]
            found += [f"line {getattr(node, 'lineno', 0)}: {sorted(words)} is {near[0]}"] if near else []
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _SQL.search(node.value):
            found.append(f"line {node.lineno}: SQL that lists statuses")
    return found


def test_no_module_repeats_a_set_of_statuses() -> None:
    """A set that is written twice drifts: a status added to one is forgotten in the other."""
    wrong = dict[str, list[str]]()
    for file in sources():
        text = file.read_text()
        if found := copies(text) if file.suffix == ".py" else _SQL.findall(text):
            wrong[str(file.relative_to(ROOT))] = found

    assert not wrong, f"import the set from mailroom.domain.outbound.message or .inbound.received_email: {wrong}"


@pytest.mark.parametrize(
    "source",
    [
        'WAITING = ("accepted", "queued", "scheduled", "deferred")',
        'OPEN = ["accepted", "queued", "scheduled", "sending"]',
        "lost = {Status.UNKNOWN, Status.SENDING}",
        "[State.RECEIVED, State.PROCESSING]",
        "lost = status is Status.SENDING or status == 'unknown'",
        "columns = dict.fromkeys(('sending', 'unknown'), 1)",
        "query = \"select 1 from message where status\\n  in ('held')\"",
        "query = \"update message set reason = null where status = any(array['sending'])\"",
        "query = \"select 1 from message where status in ('sending', 'unknown')\"",
        "query = f\"select {what} from message m where m.status not in ('held')\"",
    ],
)
def test_copy_is_found(source: str) -> None:
    """In every form: words, members, SQL, all of a set or all but one."""
    assert copies(source)


@pytest.mark.parametrize("source", ["GOOD = (Status.DELIVERED, Status.OPENED)", 'names = ("failed", "kind")', "()"])
def test_what_is_no_copy_is_none(source: str) -> None:
    assert not copies(source)


def test_sql_says_the_same_as_the_sets() -> None:
    """SQL must have the words of the partial indexes, or PostgreSQL does not use them."""
    assert IS_WAITING == "status in ('accepted', 'queued', 'scheduled', 'deferred') and handed_at is null"
    assert IS_UNANSWERED == "status in ('sending', 'unknown')"
    assert IS_TROUBLE == "status in ('bounced', 'complained')"


def test_sets_hold_together() -> None:
    """A status is final or open, never both."""
    assert outbound.WAITING < outbound.UNDER_WAY < outbound.OPEN
    assert not outbound.WITHHELD & outbound.OPEN
    assert set(inbound.State) == inbound.FINAL | inbound.OPEN
    assert inbound.UNSETTLED < inbound.OPEN
