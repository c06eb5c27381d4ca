"""A status and a state are one row each: every place that treats them differently reads the row, or is compared with it here."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import pytest

from mailroom.api.pages.batch_progress import Tone, refresh_s, segments, settled, tone
from mailroom.audit import batches, mails, messages
from mailroom.domain.delivery.events import Kind, advance
from mailroom.domain.delivery.tenant_webhooks import KINDS, USUAL
from mailroom.domain.inbound import received_email
from mailroom.domain.inbound.received_email import FINAL, REPLAYABLE, UNSETTLED, State
from mailroom.domain.outbound import message
from mailroom.domain.outbound.message import UNDER_WAY, WAITING, WITHHELD, Party, SendingStage, Status
from mailroom.ports.message_reader import BatchLine

ROOT = Path(__file__).resolve().parents[2]
DELIVERY = ROOT / "docs" / "delivery.md"
STYLES = ROOT / "mailroom" / "api" / "pages" / "static"
#: Migrations keep the words of their time; vendors have their own words, some equal to ours.
ELSEWHERE = ("postgres/migrations/", "delivery/webhooks/")
#: How few words in a row are still a rule about each of them and not a table.
TABLE = 3
IN_A_QUERY = re.compile(r"\bin \(\s*((?:['\"][a-z_]+['\"][,\s]*)+)\)")


@dataclass(frozen=True)
class Written:
    """A list of words as it is written in the product, and where."""

    place: str
    words: frozenset[str]


def lists_in(source: str, name: str) -> Iterator[Written]:
    """Yield the lists of words in a module: `("queued", Status.HELD)` and `status in ('queued', 'held')` in a query."""
    for node in ast.walk(ast.parse(source)):
        place = f"{name}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Tuple | ast.List | ast.Set):
            yield Written(place, frozenset(filter(None, map(word_of, node.elts))))
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from lists_in_text(node.value, place)


def word_of(node: ast.expr) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in ("Status", "State"):
        return node.attr.lower()
    return ""


def lists_in_text(text: str, place: str) -> Iterator[Written]:
    for found in IN_A_QUERY.finditer(text):
        yield Written(place, frozenset(re.findall("[a-z_]+", found[1])))


@cache
def all_lists() -> list[Written]:
    """Return the lists of words in the product: modules, queries, templates."""
    found: list[Written] = []
    for top in ("mailroom", "flows", "tasks", "blocks", "deployments"):
        for path in sorted((ROOT / top).rglob("*")):
            name = path.relative_to(ROOT).as_posix()
            if path.suffix == ".py" and not any(part in name for part in ELSEWHERE):
                found += lists_in(path.read_text(), name)
            elif path.suffix == ".html":
                found += lists_in_text(path.read_text(), name)
    return found


def forgotten(written: Written, enum: type[Status] | type[State]) -> set[str]:
    """Return the words that a list leaves out of a stage of which it has others; nothing where it is no list of them."""
    said = {one for one in enum if one in written.words}
    if len(said) < TABLE:
        return set()
    return {one for one in enum if one not in said and one.stage in {other.stage for other in said}}


def a_batch(*statuses: Status) -> BatchLine:
    """Return a batch with one message in each of these statuses."""
    now = datetime.now(UTC)
    return BatchLine(
        id="b", tenant="acme", from_=Party("a@acme.test"), lane="bulk", policy="", metadata={}, messages=len(statuses),
        statuses=dict.fromkeys(statuses, 1), created_at=now, send_at=None, expires_at=None, cancelled_at=None, next_at=None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("module", "row"), [(message, 'HELD = "held", SendingStage.HELD'), (received_email, 'FAILED = "failed", ReceivingStage.FAILED')]
)  # fmt: skip
def test_a_status_without_a_stage_cannot_be_imported(module: object, row: str) -> None:
    """Most places need only the row: an incomplete one must fail at import, not in a running worker."""
    source = Path(str(getattr(module, "__file__", ""))).read_text()
    assert row in source

    with pytest.raises((ValueError, RuntimeError)):
        exec(compile(source.replace(row, row.partition(",")[0]), "<cut>", "exec"), {"__name__": module.__name__})


@pytest.mark.parametrize("enum", [Status, State])
def test_no_list_in_the_product_forgets_a_status(enum: type[Status] | type[State]) -> None:
    """A list of statuses is one of stages: a status that is added to a stage fails here for each place that repeats its words."""
    missed = {one.place: sorted(words) for one in all_lists() if (words := forgotten(one, enum))}

    assert missed == {}


def test_a_list_that_forgets_a_status_is_found() -> None:
    """In a tuple, in a query, in a template; with our words and with the enum's."""
    tuple_, query = (
        'OPEN = ("accepted", Status.QUEUED, "sending")',
        "Q = \"where status in ('accepted', 'queued', 'held')\"",
    )
    template = '{% if m.status in ("scheduled", "queued", "held") %}'
    found = [*lists_in(tuple_, "a"), *lists_in(query, "b"), *lists_in_text(template, "c")]

    left = {one.place.partition(":")[0]: forgotten(one, Status) for one in found if forgotten(one, Status)}

    assert left.keys() == {"a", "b", "c"}
    assert Status.SCHEDULED in left["a"] & left["b"]
    assert Status.ACCEPTED in left["c"]


@pytest.mark.parametrize("status", Status)
def test_every_page_knows_what_to_draw_of_a_status(status: Status) -> None:
    """A batch with one message in it is drawn whole, in a colour that the style sheet has."""
    line = a_batch(status)

    assert [share.width for share in segments(line)] == [100]
    assert settled(line) == int(status.is_final)
    assert refresh_s(line, line.created_at) in (None, 2, 30)
    assert any(f".{tone(status)}" in path.read_text() for path in STYLES.glob("*.css"))
    assert set(Tone) == {tone(other) for other in Status}


@pytest.mark.parametrize("status", Status)
def test_a_status_is_at_an_end_or_something_is_to_happen(status: Status) -> None:
    """A status in neither set would stay for ever, and one in both would be counted twice."""
    assert status.is_final != (status in UNDER_WAY or status.stage in (SendingStage.HELD, SendingStage.UNKNOWN))
    assert (status in WAITING) == status.is_waiting
    assert (status in WITHHELD) == status.is_withheld
    assert not (status.is_waiting and status.is_withheld)


@pytest.mark.parametrize("status", Status)
def test_a_tenant_may_be_notified_of_every_status(status: Status) -> None:
    """An endpoint may choose any of them; the default leaves out internal steps."""
    ours = status.stage in (SendingStage.WAITING, SendingStage.SENDING)

    assert status in KINDS
    assert (status in USUAL) != ours


@pytest.mark.parametrize("status", Status)
def test_events_and_the_document_know_every_status(status: Status) -> None:
    """A late event of a message in it is answered, and docs/delivery.md has its row."""
    assert {advance(status, kind) for kind in Kind} <= set(Status)
    assert f"\n| {status} |" in DELIVERY.read_text()


@pytest.mark.parametrize("status", Status)
def test_the_audit_knows_every_status(status: Status) -> None:
    """It shares no code with what it audits, so its own words are compared here: a status that it does not know is a violation."""
    taken = status.stage in (SendingStage.SENT, SendingStage.ARRIVED, SendingStage.RETURNED)

    assert (status in messages._ENDED) == status.is_final
    assert (status in messages._PENDING) != status.is_final
    assert (status in batches._TAKEN) == taken
    assert (status in batches._WAITING) == status.is_waiting


@pytest.mark.parametrize("state", State)
def test_the_audit_knows_every_state(state: State) -> None:
    """An e-mail in an unknown state would be missing from the balance."""
    assert (mails._PLACES[state] == "in flight") == state.is_waiting
    assert (state in mails._UNDER_WAY) == state.is_waiting


@pytest.mark.parametrize("state", State)
def test_a_state_is_at_an_end_or_something_is_to_happen(state: State) -> None:
    """The queue's message is deleted at an end only; what failed comes back, or a person replays it."""
    assert (state in FINAL) == state.is_final != state.is_waiting
    assert state.is_waiting == (state in UNSETTLED or state in REPLAYABLE) or state.is_final
    assert not (state in UNSETTLED and state in REPLAYABLE)


def test_the_audit_has_no_word_of_a_removed_status() -> None:
    """The audit would wait for a status that no longer exists."""
    assert {*messages._ENDED, *messages._PENDING} == set(Status)
    assert set(mails._PLACES) == set(State)
