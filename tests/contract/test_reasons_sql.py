"""Reasons on PostgreSQL: what is written, how rows of the previous release are read, and what each reader gets of both."""

import inspect
import json
import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Engine, text
from typer.testing import CliRunner

from mailroom.adapters.postgres.inbound.ledger import SqlLedger
from mailroom.adapters.postgres.inbound.processing import SqlProcessings
from mailroom.adapters.postgres.inbox.inbox_reader import SqlInboxReader
from mailroom.adapters.postgres.outbound.dispatching import SqlDispatch
from mailroom.adapters.postgres.outbound.outbox import SqlOutbox
from mailroom.api.metrics.inbound import exposition
from mailroom.cli import trace
from mailroom.domain import errors
from mailroom.domain.errors import MailroomError, Refused
from mailroom.domain.inbound.reasons import InboundReason, inbound_reason
from mailroom.domain.inbound.received_email import ObjectRef, State
from mailroom.domain.outbound.reasons import OutboundReason, outbound_reason
from mailroom.outbound.run_outcomes import CANCELLED_IN_PREFECT
from mailroom.ports.dispatch import Outcome
from mailroom.testing.api import TestClient, settings
from tests.support.batch_requests import ADMIN
from tests.support.sending import Office, office_on
from tests.support.tenant_endpoints import NOW, Desk, Receiver

TREE = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, MailroomError)]
CLASSES = re.compile("|".join(rf"\b{kind.__name__}\b" for kind in TREE) + r"|\b(Interrupted|Cancelled|ProcessDied)\b")


@pytest.fixture
def outbound_side(engine: Engine) -> Iterator[Office]:
    with office_on(engine) as outbound_side:
        yield outbound_side


@pytest.fixture
def ledger(engine: Engine) -> SqlLedger:
    return SqlLedger(engine)


def stored(engine: Engine) -> Iterator[str]:
    """Yield every row of every table, as JSON."""
    with engine.connect() as connection:
        tables = connection.execute(text("select tablename from pg_tables where schemaname = 'public'")).scalars().all()
        for table in tables:
            yield from connection.execute(text(f'select to_jsonb(t)::text from "{table}" t')).scalars()


def values(engine: Engine, statement: str) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.execute(text(statement)).scalars())


def rejected(engine: Engine, batch_id: str, word: str) -> str:
    """Return a refused message whose row and activity have the reason in this word; activities are append-only."""
    [claim] = SqlDispatch(engine).claim(batch_id, most=1, provider="ses", now=NOW)
    SqlDispatch(engine).settle([Outcome(claim.draft.id, 1, Refused("no", code=550))], now=NOW)
    output = {"id": claim.draft.id, "word": word, "now": NOW, "facts": json.dumps({"reason": word})}
    with engine.begin() as connection:
        connection.execute(text("update message set reason = :word where id = :id"), output)
        noted = (
            "insert into activity (message_id, at, kind, facts) values (:id, :now, 'rejected', cast(:facts as jsonb))"
        )
        connection.execute(text(noted), output)
    return claim.draft.id


def test_what_is_written_of_a_message_is_a_stable_word(outbound_side: Office) -> None:
    """Every error of the tree as an outcome, and every other source of a reason: no row has the name of a class."""
    engine, dispatch = outbound_side.engine, SqlDispatch(outbound_side.engine)
    batch_id = outbound_side.batch(len(TREE), now=NOW)
    claims = dispatch.claim(batch_id, most=len(TREE), provider="ses", now=NOW)
    outcomes = [
        Outcome(claim.draft.id, claim.attempt, kind("virus"), NOW) for claim, kind in zip(claims, TREE, strict=True)
    ]

    dispatch.settle(outcomes, now=NOW)
    came_of_it = set(outbound_side.values("select reason from message"))
    dispatch.defer(batch_id, until=NOW, reason=OutboundReason.PROVIDER_SLOW_OR_AWAY, now=NOW)
    outbound_side.outbound.dispatch.strand(before=NOW, now=NOW)
    SqlOutbox(engine).cancel(None, batch_id, now=NOW, reason=CANCELLED_IN_PREFECT)

    noted = set(outbound_side.values("select facts ->> 'reason' from activity where facts ? 'reason'"))
    assert came_of_it == {outbound_reason(kind("virus")) for kind in TREE}
    by_recipient = {"recipient_unavailable", "recipient_gave_up"}
    assert noted == {"provider_slow_or_away", "cancelled_in_prefect"} | by_recipient
    assert [row for row in stored(engine) if CLASSES.search(row)] == []


def test_what_is_written_of_an_email_is_a_stable_word(engine: Engine, ledger: SqlLedger) -> None:
    """Every error of the tree, what is outside it, and a process that the e-mail killed."""
    for at, kind in enumerate([*TREE, ValueError]):
        entry = ledger.begin(ObjectRef("inbound", f"in/{at}", ""), now=NOW)
        error = kind("gone")
        ledger.close(entry.id, State.FAILED, now=NOW, reason=inbound_reason(error))
        SqlProcessings(engine).end(entry.id, "p/acme", "failed", now=NOW, facts={"reason": inbound_reason(error).value})
    ledger.record_death(ledger.begin(ObjectRef("inbound", "in/died", ""), now=NOW).id, now=NOW, facts={})

    words = set(values(engine, "select reason from inbound_email"))
    assert words <= set(InboundReason)
    assert "process_died" in words
    assert [row for row in stored(engine) if CLASSES.search(row)] == []


def emails(engine: Engine, ledger: SqlLedger, *words: str) -> None:
    for at, word in enumerate(words):
        entry = ledger.begin(ObjectRef("inbound", f"in/{at}", ""), now=NOW)
        ledger.close(entry.id, State.FAILED, now=NOW, reason=word)


FOUND: dict[str | None, list[str]] = {
    "temporary_failure": ["TransientError", "temporary_failure"],
    "TransientError": ["TransientError", "temporary_failure"],
    "cancelled": ["Cancelled"],
    "unforeseen": ["ValueError", "unforeseen"],
    "ValueError": ["ValueError"],
    "no_route": ["no_route"],
    "a newer word": ["a newer word"],
    "' or true --": [],
}
STORED = sorted({word for found in FOUND.values() for word in found})


def test_a_filter_by_either_word_finds_rows_of_both(engine: Engine, ledger: SqlLedger) -> None:
    """`mailroom replay --reason` and `/v1/inbound?reason=`: rows are not rewritten by an upgrade."""
    emails(engine, ledger, *STORED)
    reader = SqlInboxReader(engine)

    for word, found in {**FOUND, None: STORED}.items():
        entries = ledger.select(states=[State.FAILED], reason=word, since=None, limit=9)
        lines = reader.emails(None, states=[], reason=word, since=None, after=None, limit=9).lines

        assert sorted(str(one.reason) for one in entries) == found, word
        assert sorted(str(one.reason) for one in lines) == found, word


def test_rows_of_both_releases_are_one_series(engine: Engine, ledger: SqlLedger) -> None:
    """Prometheus refuses a page with a duplicate series."""
    emails(engine, ledger, "TransientError", "temporary_failure", "ValueError", "unforeseen")

    lines = exposition(SqlInboxReader(engine).census(), datetime.now(UTC)).splitlines()

    series = Counter(line.rpartition(" ")[0] for line in lines if line.startswith("mailroom_inbound_"))
    assert set(series.values()) == {1}
    assert 'mailroom_inbound_emails{state="failed",reason="TransientError",route=""} 2' in lines
    assert 'mailroom_inbound_reasons{state="failed",reason_code="temporary_failure"} 2' in lines
    assert 'mailroom_inbound_reasons{state="failed",reason_code="unforeseen"} 2' in lines


def test_a_message_is_shown_by_both_words(api: TestClient, outbound_side: Office) -> None:
    """JSON still says `Refused`; a person reads a sentence, whichever release wrote the row."""
    reason = OutboundReason.REFUSED
    for word in reason.spellings:
        message_id = rejected(outbound_side.engine, outbound_side.batch(1, now=NOW), word)

        output = api.get(f"/v1/messages/{message_id}", headers=ADMIN).json()
        activities = api.get(f"/v1/messages/{message_id}/activities", headers=ADMIN).json()["items"]
        page = api.get(f"/messages/{message_id}", headers={**ADMIN, "Accept": "text/html"}).text

        words = [output[name] for name in ("reason", "reason_code", "why", "what_to_do")]
        remedy = reason.remedy.replace("resend ID", f"resend {message_id}")
        assert words == ["Refused", "refused", reason.sentence, remedy]
        assert activities[-1]["facts"] == {"reason": "Refused", "reason_code": "refused"}
        assert "Why: the provider will never accept this recipient or content. What to do: see the code" in page
        assert "Refused" not in page


def test_a_webhook_has_both_words(engine: Engine) -> None:
    """A receiver that compares `reason` with `Refused` keeps working for a release."""
    desk = Desk(engine)
    desk.subscribe("rejected")
    for word in OutboundReason.REFUSED.spellings:
        [message_id] = desk.send()
        batch_id = values(engine, f"select batch_id::text from message where id = '{message_id}'")[0]
        rejected(engine, batch_id, word)
        receiver = Receiver()

        desk.notify(receiver)

        [(_, body, _)] = receiver.posts
        event = json.loads(body)["events"][-1]
        assert (event["message"]["reason"], event["message"]["reason_code"]) == ("Refused", "refused")
        assert event["message"]["why"] == OutboundReason.REFUSED.sentence
        assert event["facts"] == {"reason": "Refused", "reason_code": "refused"}


def test_trace_says_why_and_what_to_do(
    engine: Engine, ledger: SqlLedger, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command that every page and report names."""
    for name, value in (settings().environment() | {"MAILROOM_DATABASE_URL": database_url}).items():
        monkeypatch.setenv(name, value)
    emails(engine, ledger, "TransientError")
    [entry] = ledger.select(states=[State.FAILED], reason=None, since=None, limit=1)

    said = CliRunner().invoke(trace.app, [entry.id]).stdout
    output = json.loads(CliRunner().invoke(trace.app, [entry.id, "--json"]).stdout)["email"]

    assert "failed (temporary_failure)" in said
    assert f"why       {InboundReason.TEMPORARY_FAILURE.sentence}\n" in said
    assert "TransientError" not in said
    assert (output["reason"], output["reason_code"]) == ("TransientError", "temporary_failure")
