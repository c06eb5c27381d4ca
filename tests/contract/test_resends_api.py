"""Sending again as people meet it: the HTTP API, the buttons of the pages, and `mailroom resend`, on PostgreSQL."""

import json
from typing import Any

import pytest
from sqlalchemy import Engine, text
from typer.testing import CliRunner, Result

from mailroom.adapters.postgres.delivery.suppressions import SqlSuppressions
from mailroom.adapters.postgres.outbound.dispatching import SqlDispatch
from mailroom.cli.resend import app
from mailroom.domain.errors import ConfigurationError, MailroomError, OutcomeUnknown, PermanentError, Refused
from mailroom.ports.dispatch import Outcome
from mailroom.ports.provider import ProviderReceipt
from mailroom.ports.suppressions import Suppression
from mailroom.settings import Settings
from mailroom.testing.api import BROWSER, NOW, TestClient
from tests.support.batch_requests import ADMIN, UMBRELLA, batch, message, submitted

PRESSED = {**BROWSER, "Sec-Fetch-Site": "same-origin"}
REFUSED, FAILED = Refused("no such mailbox", code=550), PermanentError("a template that fails")
LOST = OutcomeUnknown("the answer was lost")


def ended(api: TestClient, engine: Engine, *results: MailroomError | ProviderReceipt) -> tuple[str, list[str]]:
    """Return a batch that came to these, and its messages."""
    batch_id = submitted(api, batch(*(message(to=f"u{at}@users.test") for at in range(len(results)))))["id"]
    claims = SqlDispatch(engine).claim(batch_id, most=100, provider="ses", now=NOW)
    outcomes = [Outcome(one.draft.id, one.attempt, result) for one, result in zip(claims, results, strict=True)]
    SqlDispatch(engine).settle(outcomes, now=NOW)
    return batch_id, [one.draft.id for one in claims]


def statuses(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        return list(connection.execute(text("select status from message order by number")).scalars())


def suppress(engine: Engine, address: str) -> None:
    SqlSuppressions(engine).add([Suppression(address=address, reason="manual", tenant="acme", since=NOW)])


@pytest.fixture
def installation(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of an installation of which nothing but the database is there."""
    for name, field in Settings.model_fields.items():
        if field.is_required():
            monkeypatch.setenv(f"MAILROOM_{name.upper()}", "nowhere")
    monkeypatch.setenv("MAILROOM_DATABASE_URL", database_url)


def run(*words: str) -> Result:
    return CliRunner().invoke(app, words)


def output(*words: str) -> Any:
    return json.loads(run(*words, "--json").stdout)


def test_a_message_is_sent_again_by_its_id(api: TestClient, engine: Engine) -> None:
    """Answered with the message as it stands; a second request says that it is under way."""
    _, [one] = ended(api, engine, REFUSED)

    first, second = api.post(f"/v1/messages/{one}/resend"), api.post(f"/v1/messages/{one}/resend", json={})

    assert (first.status_code, first.json()["status"], first.json()["reason_code"]) == (202, "queued", "resent")
    assert (second.status_code, second.json()["reason_code"]) == (409, "under_way")
    history = api.get(f"/v1/messages/{one}/activities").json()["items"]
    assert [step["kind"] for step in history] == ["accepted", "sending", "rejected", "queued"]
    assert {"was": "rejected", "by": "acme", "reason": "resent"}.items() <= history[-1]["facts"].items()


def test_what_has_gone_is_refused_with_a_reason_and_what_instead(api: TestClient, engine: Engine) -> None:
    """RFC 9457, for programs: `reason_code`; for people: a sentence."""
    _, [sent, lost] = ended(api, engine, ProviderReceipt("ses", "0100-1"), LOST)

    gone, unknown = api.post(f"/v1/messages/{sent}/resend"), api.post(f"/v1/messages/{lost}/resend")
    risked = api.post(f"/v1/messages/{lost}/resend", json={"may_duplicate": True})

    assert (gone.status_code, gone.headers["content-type"]) == (409, "application/problem+json")
    assert (gone.json()["status"], gone.json()["message_status"], gone.json()["reason_code"]) == (
        409,
        "dispatched",
        "sent",
    )
    assert gone.json()["what_to_do"] in gone.json()["detail"]
    assert (unknown.status_code, unknown.json()["reason_code"]) == (409, "may_duplicate")
    assert (risked.status_code, risked.json()["reason_code"]) == (202, "sent_again")


def test_a_batch_is_sent_again_by_status_and_reason(api: TestClient, engine: Engine) -> None:
    """The dry run first, which counts what would go, what not, and why."""
    batch_id, _ = ended(api, engine, REFUSED, REFUSED, FAILED, LOST, ProviderReceipt("ses", "0100-1"))
    suppress(engine, "u1@users.test")
    url = f"/v1/batches/{batch_id}/resend"

    seen = api.post(url, json={"dry_run": True})
    refused = api.post(url, json={"reasons": ["refused"], "statuses": ["rejected"]})
    rest, nothing = api.post(url), api.post(url)

    assert seen.status_code == 200
    assert {name: seen.json()[name] for name in ("dry_run", "resent", "not_resent", "may_arrive_twice")} == {
        "dry_run": True, "resent": 2, "not_resent": 2, "may_arrive_twice": 0,
    }  # fmt: skip
    groups = {(one["status"], (one["not_resent"] or {}).get("reason_code")): one for one in seen.json()["groups"]}
    assert {key: one["messages"] for key, one in groups.items()} == {
        ("rejected", None): 1, ("rejected", "still_suppressed"): 1, ("failed", None): 1, ("unknown", "may_duplicate"): 1,
    }  # fmt: skip
    assert all(one["why"] and one["what_to_do"] for one in groups.values())
    assert (refused.status_code, refused.json()["resent"]) == (202, 1)
    assert (rest.json()["resent"], nothing.json()["resent"]) == (1, 0)
    assert statuses(engine) == ["queued", "rejected", "queued", "unknown", "dispatched"]
    line = api.get(f"/v1/batches/{batch_id}").json()
    assert (line["statuses"]["queued"], sum(line["statuses"].values()), line["messages"]) == (2, 5, 5)
    assert line["next_at"] is not None


@pytest.mark.parametrize(
    "asked",
    [
        {"statuses": ["bounced"]}, {"statuses": ["nonsense"]}, {"reasons": ["no_such_reason"]}, {"reasons": ["\x00"]},
        {"reasons": ["refused"] * 101}, {"dryrun": True}, {"may_duplicate": "perhaps"}, [],
    ],
)  # fmt: skip
def test_a_filter_that_is_none_is_refused_and_sends_nothing(api: TestClient, engine: Engine, asked: Any) -> None:
    """A misspelt `dry_run` would send, a misspelt reason choose nothing."""
    batch_id, _ = ended(api, engine, REFUSED)

    assert api.post(f"/v1/batches/{batch_id}/resend", json=asked).status_code == 422
    assert statuses(engine) == ["rejected"]


def test_another_tenants_mail_is_not_there(api: TestClient, engine: Engine) -> None:
    """By the API and by the buttons."""
    batch_id, [one] = ended(api, engine, REFUSED)

    for path in (f"/v1/messages/{one}/resend", f"/v1/batches/{batch_id}/resend"):
        assert api.post(path, headers=UMBRELLA).status_code == 404
    for path in (f"/messages/{one}/resend", f"/batches/{batch_id}/resend?status=rejected"):
        assert api.post(path, headers=UMBRELLA | PRESSED).status_code == 404
    assert statuses(engine) == ["rejected"]
    assert api.post(f"/v1/messages/{one}/resend", headers=ADMIN).status_code == 202


def test_the_button_of_a_message_sends_it_again_once(api: TestClient, engine: Engine) -> None:
    """A double click is one attempt; a form of another site is none."""
    _, [one] = ended(api, engine, REFUSED)
    page, path = api.get(f"/messages/{one}", headers=BROWSER).text, f"/messages/{one}/resend"

    forged = api.post(path, headers={**BROWSER, "Sec-Fetch-Site": "cross-site"})
    twice = [api.post(path, headers=PRESSED, follow_redirects=False) for _ in range(2)]

    assert f'<form method="post" action="{path}">' in page
    assert ">Send again</button>" in page
    assert forged.status_code == 403
    assert [(answer.status_code, answer.headers["location"]) for answer in twice] == [(303, f"/messages/{one}")] * 2
    assert statuses(engine) == ["queued"]
    assert "Send again" not in api.get(f"/messages/{one}", headers=BROWSER).text


def test_the_button_of_an_unknown_message_says_that_it_may_arrive_twice(api: TestClient, engine: Engine) -> None:
    """Nobody presses it without having read it."""
    _, [one, suppressed] = ended(api, engine, LOST, REFUSED)
    suppress(engine, "u1@users.test")
    page, path = api.get(f"/messages/{one}", headers=BROWSER).text, f"/messages/{one}/resend"

    assert f'action="{path}?may_duplicate=true"' in page
    assert ">Send again: it may arrive twice</button>" in page
    assert api.post(path, headers=PRESSED).status_code == 409
    assert api.post(f"{path}?may_duplicate=true", headers=PRESSED, follow_redirects=False).status_code == 303
    assert "its address is still suppressed" in api.get(f"/messages/{suppressed}", headers=BROWSER).text
    assert api.post(f"/messages/{suppressed}/resend", headers=PRESSED).status_code == 409
    assert statuses(engine) == ["queued", "rejected"]


def test_the_page_of_a_batch_has_a_button_for_each_reason(api: TestClient, engine: Engine) -> None:
    """With what happened, what to do, and how many."""
    batch_id, _ = ended(api, engine, REFUSED, REFUSED, REFUSED, FAILED, LOST, LOST)
    suppress(engine, "u2@users.test")
    page, path = api.get(f"/batches/{batch_id}", headers=BROWSER).text, f"/batches/{batch_id}/resend"

    pressed = api.post(f"{path}?status=rejected&reason=refused", headers=PRESSED, follow_redirects=False)
    after = api.get(pressed.headers["location"], headers=BROWSER).text

    assert f'action="{path}?status=rejected&amp;reason=refused"' in page
    assert ">Send 2 again</button>" in page
    assert ">Send 2 again: they may arrive twice</button>" in page
    assert "1 rejected: the provider will never accept this recipient or content." in page
    assert "Not sent again: its address is still suppressed." in page
    assert pressed.status_code == 303
    assert "2 messages are sent again." in after
    assert statuses(engine) == ["queued", "queued", "rejected", "failed", "unknown", "unknown"]


def test_a_hostile_reason_is_only_text(api: TestClient, engine: Engine) -> None:
    """A row may say anything, and so may a URL."""
    batch_id, _ = ended(api, engine, REFUSED)
    with engine.begin() as connection:
        connection.execute(text("update message set reason = :odd"), {"odd": '"><script>&reason=%00'})
    page, path = api.get(f"/batches/{batch_id}", headers=BROWSER).text, f"/batches/{batch_id}/resend"

    assert "<script>" not in page
    assert api.post(f"{path}?status=rejected&reason=%00", headers=PRESSED).status_code == 422
    assert (
        api.post(f"{path}?status=delivered", headers=PRESSED, follow_redirects=False).headers["location"].endswith("=0")
    )
    quoted = "%22%3E%3Cscript%3E%26reason%3D%2500"
    assert f"reason={quoted}" in page
    api.post(f"{path}?status=rejected&reason={quoted}", headers=PRESSED)
    assert statuses(engine) == ["queued"]


@pytest.mark.usefixtures("installation")
def test_the_command_shows_what_would_go_and_then_sends_it(api: TestClient, engine: Engine) -> None:
    """By batch, with reasons and what to do."""
    batch_id, _ = ended(api, engine, REFUSED, REFUSED, FAILED, LOST)
    suppress(engine, "u1@users.test")

    seen, shown = output("--batch", batch_id, "--dry-run"), run("--batch", batch_id, "--dry-run").stdout
    assert (seen["resent"], seen["not_resent"], seen["dry_run"]) == (2, 2, True)
    assert "1 rejected (refused): would be sent again" in shown
    assert "1 rejected (refused): would not be sent again, its address is still suppressed. What to do: " in shown
    assert "2 would be sent again, 2 not: a dry run" in shown
    assert statuses(engine) == ["rejected", "rejected", "failed", "unknown"]

    went = run("--batch", batch_id, "--status", "failed", "--reason", "permanent_failure").stdout
    assert "1 are sent again, 0 are not" in went
    assert output("--batch", batch_id, "--may-duplicate")["may_arrive_twice"] == 1
    assert statuses(engine) == ["queued", "rejected", "queued", "queued"]
    assert (
        "nothing of this batch can be sent again with these filters"
        in run("--batch", batch_id, "--status", "failed").stdout
    )


@pytest.mark.usefixtures("installation")
def test_the_command_takes_ids_and_fails_where_one_is_not_sent(api: TestClient, engine: Engine) -> None:
    """A script sees it by the exit code; the others go all the same."""
    batch_id, [refused, sent, lost] = ended(api, engine, REFUSED, ProviderReceipt("ses", "0100-1"), LOST)

    ended_ = run(refused, sent, lost, batch_id)

    assert ended_.exit_code == 1
    assert f"{refused}  1 rejected (refused): sent again" in ended_.stdout
    assert f"{sent}  1 dispatched (no reason): not sent again, the provider has accepted it" in ended_.stdout
    assert f"{lost}  1 unknown (outcome_unknown): not sent again, its outcome is unknown" in ended_.stdout
    assert "it names no message; of a batch: `mailroom resend --batch ID`" in ended_.stderr
    assert output(lost, "--may-duplicate")["resent"] == 1


@pytest.mark.usefixtures("installation")
@pytest.mark.parametrize(
    "words",
    [
        (), ("some-id", "--batch", "other"), ("some-id", "--status", "failed"), ("--status", "failed"),
        ("--batch", "x", "--status", "bounced"), ("--batch", "x", "--reason", "nonsense"), ("--batch", "x"),
    ],
)  # fmt: skip
def test_a_command_that_chooses_nothing_says_what_to_give(engine: Engine, words: tuple[str, ...]) -> None:
    """One clear line."""
    assert isinstance(run(*words).exception, ConfigurationError)
