"""Reason words: one for each error and direction, old and new, and the page that lists them.

.venv/bin/python tests/unit/test_reasons.py > docs/reasons.md
"""

import inspect
import json
import pickle
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import typer
from typer.main import get_command

from mailroom.api.app import create_app
from mailroom.api.metrics.inbound import exposition
from mailroom.cli import _app
from mailroom.domain import errors
from mailroom.domain.delivery.events import Kind
from mailroom.domain.delivery.post_faults import PostFault
from mailroom.domain.delivery.reputation import Trip
from mailroom.domain.delivery.suppression import Cause
from mailroom.domain.delivery.tenant_webhooks import Disabled, facts_for_tenants
from mailroom.domain.errors import MailroomError, Quarantined, Reason
from mailroom.domain.inbound import reasons as inbound
from mailroom.domain.inbound.reasons import InboundReason, inbound_reason
from mailroom.domain.inbound.received_email import State
from mailroom.domain.outbound import reasons as outbound
from mailroom.domain.outbound.reasons import OutboundReason, outbound_reason
from mailroom.domain.outbound.resending import NotResent
from mailroom.domain.reasons import ReasonWord
from mailroom.ports.api_keys import Holder
from mailroom.ports.holds import HoldReason
from mailroom.ports.inbox_reader import Census, EmailCount, EmailLine, FilingTimes
from mailroom.testing.api import NOW, Memory, TestClient
from tests.support.signed_in import signed_in

ROOT = Path(__file__).parents[2]
TREE = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, MailroomError)]
KINDS = {
    InboundReason: ("Received e-mails", "`state` quarantined or failed; what a processor failed at"),
    OutboundReason: ("Messages that are sent", "`reason_code` of a message, its activities and tenants' webhooks"),
    NotResent: ("Messages that are not sent again", "`reason_code` of the answer to a resend"),
    Cause: ("Suppressed addresses", "`reason` of a suppression; a tenant may use a word of its own"),
    Trip: ("Circuit breakers", "`trip` of a breaker"),
    PostFault: (
        "POSTs to webhooks",
        "`fault_code` of an attempt; for one release `fault` has the other word",
    ),
    Disabled: ("Disabled webhooks", "`reason` of a webhook"),
}
ALL = [reason for kind in KINDS for reason in kind]
#: Classes that are newer than 0.1.0, and the word that their errors had in it.
NEWER = {
    "PermitExpired": "TurnOver",
    "SenderRefused": "Paused",
    "RecipientUnavailable": "TransientError",
    "RecipientGaveUp": "PermanentError",
    "RecipientRefused": "Refused",
    "ContentRefused": "Refused",
}


def page() -> str:
    """Return docs/reasons.md."""
    lines = [
        "# Reasons",
        "",
        "Generated from the code by `python tests/unit/test_reasons.py > docs/reasons.md`; a test compares. The words are stable:",
        "filters, metrics, webhooks and JSON (`reason_code`) have them. **Up to 0.1.0** is the word that some had before: for one",
        "release `reason` in JSON, webhooks and metrics still has it, filters take both, and rows that have it are read as the new one.",
    ]
    for kind, (title, where) in KINDS.items():
        lines += ["", f"## {title}", "", f"{where[0].upper()}{where[1:]}.", ""]
        lines += ["| reason | why | what to do | up to 0.1.0 |", "|---|---|---|---|"]
        for one in kind:
            old = f"`{one.old}`" if one.old != one.value else ""
            lines.append(f"| `{one.value}` | {one.sentence} | {one.remedy} | {old} |")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("error", TREE, ids=lambda kind: kind.__name__)
def test_every_error_has_a_reason_in_both_directions(error: type[MailroomError]) -> None:
    """A new class without an entry of its own would be stored as its base's reason, and its old word would be lost."""
    assert error in outbound.REASONS
    assert outbound_reason(error("virus")) is outbound.REASONS[error]
    if error is not Quarantined:
        assert inbound.REASONS[error] is inbound_reason(error("gone"))
    assert outbound.REASONS[error].old == NEWER.get(error.__name__, error.__name__)


@pytest.mark.parametrize("reason", Reason, ids=str)
def test_a_quarantined_email_has_the_reason_it_was_quarantined_for(reason: Reason) -> None:
    """The same word under two names would be two filters."""
    assert inbound_reason(Quarantined(reason)) == reason
    assert inbound_reason(Quarantined(reason)).old == reason


def test_errors_outside_the_tree_have_a_reason_too() -> None:
    """A class of an adapter inherits its branch's; what no branch knows is unforeseen, and never its class's name."""

    class Offline(errors.Throttled):
        pass

    assert (inbound_reason(Offline("x")), outbound_reason(Offline("x"))) == ("throttled", "throttled")
    assert (inbound_reason(KeyError("x")), outbound_reason(KeyError("x"))) == ("unforeseen", "unforeseen")


@pytest.mark.parametrize("reason", ALL, ids=lambda one: f"{type(one).__name__}.{one.value}")
def test_every_reason_has_a_word_a_sentence_and_what_to_do(reason: ReasonWord) -> None:
    """Words are used in filters and labels; sentences on pages and in terminals."""
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", reason.value)
    for text in (reason.sentence, reason.remedy):
        assert text
        assert text[-1] != "."
        assert "|" not in text
        assert text.count("`") % 2 == 0
        assert not text[0].isupper() or text.startswith(("SES", "MAILROOM"))
    assert type(reason)(reason.value) is reason
    assert pickle.loads(pickle.dumps(reason)) is reason  # noqa: S301 - our own bytes
    assert json.dumps(reason) == f'"{reason.value}"'


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_no_two_reasons_share_a_spelling(kind: type[ReasonWord]) -> None:
    """A row that is read by its old word must be of one reason."""
    spellings = [word for one in kind for word in one.spellings]

    assert len(spellings) == len(set(spellings))
    assert all(kind.read(word) is one for one in kind for word in one.spellings)


def test_words_of_holds_and_events_are_among_the_reasons() -> None:
    """Holds and providers' events write their words into the same column."""
    reporting = (Kind.BOUNCED_HARD, Kind.BOUNCED_SOFT, Kind.COMPLAINED, Kind.REJECTED, Kind.SUPPRESSED)

    assert all(OutboundReason.read(word) == word for word in (*HoldReason, *reporting))
    assert all(one.sentence == OutboundReason(one.value).sentence for one in HoldReason)


def test_rows_of_the_release_before_are_read_as_the_new_word() -> None:
    """They are not rewritten; a received e-mail's may be the name of any Python class."""
    assert InboundReason.read("TransientError") is InboundReason.TEMPORARY_FAILURE
    assert InboundReason.read("ValueError") is InboundReason.UNFORESEEN
    assert OutboundReason.read("HardBounce") is None
    assert [InboundReason.read(odd) for odd in (None, "", "a word", 7, {}, "x\n")] == [None] * 6
    assert [InboundReason.old_word(word) for word in ("temporary_failure", "TransientError", "ValueError", "odd")] == [
        "TransientError", "TransientError", "ValueError", "odd",
    ]  # fmt: skip


def test_every_fault_of_the_http_client_has_a_word() -> None:
    """A new class of the client would be stored by its name."""

    def leaves(kind: type[Exception]) -> list[str]:
        return [name for one in kind.__subclasses__() for name in leaves(one)] or [kind.__name__]

    assert [name for name in leaves(httpx.RequestError) if PostFault.read(name) is None] == []


def test_facts_of_an_activity_have_both_words() -> None:
    """A receiver that compares `reason` goes on; what a provider reports as a reason stays as it is."""
    assert facts_for_tenants({"reason": "refused", "code": "550", "run_id": "r"}) == {
        "reason": "Refused", "reason_code": "refused", "code": "550",
    }  # fmt: skip
    for kept in ({"reason": "Bad content"}, {"reason": {"a": 1}}, {"code": "550"}):
        assert facts_for_tenants(kept) == kept


def test_metrics_count_old_and_new_rows_as_one_reason() -> None:
    """The label that dashboards know has the old word; the second series has the stable one, and no series comes twice."""
    old, new = (
        EmailCount(State.FAILED, word, 2, NOW, route=to)
        for word, to in (("TransientError", "exact"), ("temporary_failure", None))
    )
    lines = exposition(Census(tallies=(old, new), items=0, times=FilingTimes(), workers=()), NOW).splitlines()

    assert 'mailroom_inbound_reasons{state="failed",reason_code="temporary_failure"} 4' in lines
    assert 'mailroom_inbound_emails{state="failed",reason="TransientError",route="exact"} 2' in lines


def _failed(reason: str, at: datetime) -> EmailLine:
    return EmailLine(
        id=str(uuid4()), message_id=uuid4().hex, state=State.FAILED, reason=reason, attempts=1, run_id=None,
        received_at=at, closed_at=at, facts={},
    )  # fmt: skip


@pytest.fixture
def memory() -> Memory:
    memory = Memory()
    memory.keys.holders = {"key": Holder("root")}
    words = "TransientError", "temporary_failure", "no_route", "word_of_a_newer_release"
    memory.reader.ledger = [(_failed(word, NOW - timedelta(minutes=at)), frozenset()) for at, word in enumerate(words)]
    return memory


def test_the_api_has_both_words_the_sentence_and_what_to_do(memory: Memory) -> None:
    """Readers of the old and of the new word both find theirs; a filter accepts either."""
    client = TestClient(create_app(memory.services()), headers={"Authorization": "Bearer key"})

    def listed(query: str = "") -> list[tuple[str, str, str | None]]:
        items = client.get(f"/v1/inbound{query}").json()["items"]
        return [(one["reason"], one["reason_code"], one["why"]) for one in items]

    failure = ("TransientError", "temporary_failure", InboundReason.TEMPORARY_FAILURE.sentence)
    assert listed() == [
        failure,
        failure,
        ("no_route", "no_route", InboundReason.NO_ROUTE.sentence),
        ("word_of_a_newer_release", "word_of_a_newer_release", None),
    ]
    assert listed("?reason=TransientError") == listed("?reason=temporary_failure") == [failure, failure]
    assert listed("?reason=word_of_a_newer_release")[0][0] == "word_of_a_newer_release"


def test_the_quarantine_page_says_why_and_what_to_do(memory: Memory) -> None:
    """A word is for filters; a person reads a sentence, and finds the command."""
    pages = signed_in(create_app(memory.services()))

    text = pages.get("/quarantine").text

    assert InboundReason.NO_ROUTE.sentence in text
    assert "What to do: add the address with <code>mailroom address add</code>" in text
    assert "temporary failure" in text
    assert "TransientError" not in text


COMMANDS = sorted({quoted for one in ALL for quoted in re.findall(r"`mailroom ([^`]+)`", one.remedy)})


@pytest.mark.parametrize("quoted", COMMANDS)
def test_every_command_that_a_reason_names_is_there(quoted: str) -> None:
    """A reason must name a command that exists."""
    command: Any = get_command(_app.app)
    context = typer.Context(command)
    for word in quoted.split():
        if not hasattr(command, "get_command") or word.isupper():
            break
        command = command.get_command(context, word)
        assert command is not None, word
    options = {name for one in command.params for name in one.opts}
    assert {word for word in quoted.split() if word.startswith("--")} <= options


def test_no_class_name_is_stored_as_a_reason() -> None:
    """A renamed class would be another word in rows, filters and metrics."""
    writes = re.compile(r"""\breason["']?\s*[=:].*__(name|qualname)__""")
    code = [
        path
        for folder in ("mailroom", "flows", "tasks", "blocks", "deployments")
        for path in (ROOT / folder).rglob("*.py")
    ]

    assert [path.name for path in code if writes.search(path.read_text())] == []


def test_the_page_of_reasons_is_up_to_date() -> None:
    """If it fails, run the command in the first line of the page."""
    assert (ROOT / "docs" / "reasons.md").read_text() == page()


if __name__ == "__main__":
    print(page(), end="")
