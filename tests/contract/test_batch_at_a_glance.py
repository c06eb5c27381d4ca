"""A batch that is paused, deferred, partly refused and read, all at once: its page, its JSON and its commands say each apart."""

import json
import re
from dataclasses import dataclass
from datetime import timedelta
from html import unescape

import pytest
from sqlalchemy import Engine, text
from typer.testing import CliRunner

from mailroom.adapters.postgres.delivery.events import SqlEvents
from mailroom.adapters.postgres.outbound.pauses import SqlPauses
from mailroom.cli.batch import app
from mailroom.cli.trace import app as trace_app
from mailroom.domain.delivery.events import Kind
from mailroom.domain.errors import ConfigurationError, OutcomeUnknown, RecipientUnavailable, Refused, SenderRefused
from mailroom.domain.outbound.message import Lane, Status
from mailroom.domain.outbound.reasons import OutboundReason
from mailroom.outbound.dispatching import Sender
from mailroom.outbound.retry_schedule import RecipientSchedule
from mailroom.settings import Settings
from mailroom.testing.api import BROWSER, NOW, TestClient
from mailroom.testing.notices import an_event
from tests.support.batch_requests import batch, message, submitted
from tests.support.sending import office_on

IDENTITY = "ses/123456789012/eu-west-1"
ANSWERS = [
    *[Refused("no such user", code=550)] * 2,
    *[RecipientUnavailable("not now", code=450)] * 3,
    OutcomeUnknown("the connection broke"),
]


@dataclass(frozen=True)
class Seen:
    """The batch in each place."""

    id: str
    page: str
    json: dict[str, object]
    command: str
    trace: str


@pytest.fixture
def seen(api: TestClient, engine: Engine, monkeypatch: pytest.MonkeyPatch, database_url: str) -> Seen:
    """A batch of ten: two refused, one unknown, three deferred, two waiting for their sender, two sent and opened."""
    for name, field in Settings.model_fields.items():
        if field.is_required():
            monkeypatch.setenv(f"MAILROOM_{name.upper()}", "nowhere")
    monkeypatch.setenv("MAILROOM_DATABASE_URL", database_url)
    batch_id = str(submitted(api, batch(*(message(to=f"u{at}@users.test") for at in range(10))))["id"])
    with office_on(engine) as office:
        office.provider.answers.extend(ANSWERS)
        office.outbound.schedule = RecipientSchedule(delays=(timedelta(hours=1),))
        Sender(batch_id, Lane.BULK, office.outbound, clock=lambda: NOW).send_some(10)
        *waiting, first, second = office.values("select id::text from message where status = 'dispatched'")
        events = [an_event(Kind.CLICKED, f"e{one}", provider="memory", message_id=one) for one in (first, second)]
        SqlEvents(engine).record(events, now=NOW)
        with engine.begin() as connection:
            not_yet = (
                "update message set status = 'accepted', handed_at = null, provider = 'ses' where id::text = any(:ids)"
            )
            connection.execute(text(not_yet), {"ids": waiting})
        error = SenderRefused("not verified", code="MessageRejected", sender_domain="acme.test")
        SqlPauses(engine).begin(error, identity=IDENTITY, provider="ses", sender_domain="acme.test", now=NOW)
        office.outbound.dispatch.defer(
            batch_id, until=NOW + timedelta(minutes=15), reason=OutboundReason.SENDER_REFUSED, now=NOW
        )
    run = CliRunner().invoke
    return Seen(
        batch_id,
        unescape(api.get(f"/batches/{batch_id}", headers=BROWSER).text),
        api.get(f"/v1/batches/{batch_id}").json(),
        run(app, ["show", batch_id]).stdout,
        run(trace_app, [batch_id]).stdout,
    )


def test_the_fields_say_each_apart(seen: Seen) -> None:
    """A program reads which of them it can do something about."""
    assert seen.json["statuses"] == {"clicked": 2, "deferred": 5, "rejected": 2, "unknown": 1}
    assert seen.json["deferred"] == 3
    assert seen.json["engagement"] == {"opened": 2, "clicked": 2, "unsubscribed": 0}
    paused = seen.json["paused"]
    assert isinstance(paused, dict)
    assert (paused["reason"], paused["until"]) == ("sender_refused", seen.json["next_at"])
    assert seen.json["deferred_until"] != seen.json["next_at"]


def test_the_page_says_each_apart(seen: Seen) -> None:
    """In the order in which a person acts: the pause, what can be sent again, then how far it is."""
    parts = [
        "paused</span> until",
        f"{OutboundReason.SENDER_REFUSED.sentence} acme.test. What to do",
        "<code>mailroom sender verify acme.test</code>",
        ">Send again</h2>",
        "2 rejected:",
        "Send 1 again: it may arrive twice",
        "3 deferred by their recipients' servers: next try",
        "Recipients: 2 opened, 2 clicked",
        "5 deferred",
    ]
    places = [seen.page.find(one) for one in parts]

    assert -1 not in places
    assert places == sorted(places)
    assert all(seen.page.count(one) == 1 for one in parts if one != "5 deferred")
    assert len(re.findall(r'aria-label="Paused"', seen.page)) == 1


def test_the_commands_say_each_apart(seen: Seen) -> None:
    """One line each; who reads no page learns of the pause and of what was not sent, with what to do."""
    _, paused, deferred, recipients, again = seen.command.splitlines()

    assert paused.startswith(
        "paused until 14 Mar 2026, 09:45 UTC, since 14 Mar 2026, 09:30 UTC: ses, for mail of acme.test"
    )
    assert "What to do: verify the domain at the provider (`mailroom sender verify acme.test`)" in paused
    assert deferred.startswith("3 deferred by their recipients' servers, next try 14 Mar 2026")
    assert recipients == "recipients: 2 opened, 2 clicked, 0 unsubscribed"
    assert f"2 rejected, 1 unknown; `mailroom resend --batch {seen.id} --dry-run`" in again
    waiting = [line for line in seen.trace.splitlines() if line.startswith("waiting")]
    assert [line.split()[1] for line in waiting] == ["paused", "3"]
    assert json.loads(CliRunner().invoke(app, ["show", seen.id, "--json"]).stdout)["paused"] == seen.json["paused"]


def test_a_batch_with_none_of_it_has_one_line(api: TestClient, seen: Seen) -> None:
    """Nothing is said of what is not there."""
    other = submitted(api, batch(message(to="x@users.test"), lane="bulk", **{"from": "desk@other.test"}))["id"]

    shown = CliRunner().invoke(app, ["show", other]).stdout

    assert len(shown.splitlines()) == 1
    assert Status.ACCEPTED in shown


def test_the_command_lists_batches_of_one_stream(api: TestClient, seen: Seen) -> None:
    """By the name that the batch shows; held batches are listed apart."""
    other = submitted(api, batch(message(to="x@users.test"), stream="weekly"))["id"]

    listed = CliRunner().invoke(app, ["list", "--stream", "weekly"]).stdout
    both = CliRunner().invoke(app, ["list", "--stream", "weekly", "--held"])

    assert [line.split()[0] for line in listed.splitlines()] == [other]
    assert CliRunner().invoke(app, ["list", "--stream", "transactional"]).stdout.startswith(seen.id)
    assert CliRunner().invoke(app, ["list", "--stream", "none"]).stdout == "no batches\n"
    assert isinstance(both.exception, ConfigurationError)
