"""`mailroom send` and `mailroom trace` against the API on a real server and a real database."""

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from click.testing import Result
from pydantic import SecretStr
from sqlalchemy import Engine, text
from typer.testing import CliRunner

from mailroom.adapters.postgres.outbound.dispatching import SqlDispatch
from mailroom.adapters.postgres.outbound.pauses import SqlPauses
from mailroom.adapters.postgres.outbound.quotas import SqlQuotas
from mailroom.cli import _api_client, send
from mailroom.cli._api_client import ApiClient
from mailroom.cli._app import app
from mailroom.domain.errors import ConfigurationError, RecipientUnavailable, Refused, SenderRefused
from mailroom.domain.outbound.message import Limits
from mailroom.domain.outbound.quotas import Allowance
from mailroom.ports.dispatch import Outcome
from mailroom.ports.provider import ProviderReceipt
from mailroom.testing.api import NOW, TestClient, settings
from mailroom.testing.archive import MemoryArchive
from tests.support.batch_requests import kept, sent
from tests.support.http_server import serving

LETTER = "Subject: Invoice for {{ name }}\nReply-To: desk@acme.test\n\nDear {{ name }},\n\npay {{ total }}.\n"
PEOPLE = "to,name,total,reference\nada@users.test,Ada,1,\n\nBob Moore <bob@users.test>,Bob,2,\n"


@pytest.fixture(autouse=True)
def _outside(monkeypatch: pytest.MonkeyPatch, api: TestClient, database_url: str, tmp_path: Path) -> Iterator[None]:
    """A shell with the API's address and key, in a folder with two files."""
    for name, value in settings().environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MAILROOM_DATABASE_URL", database_url)
    monkeypatch.chdir(tmp_path)
    Path("letter.txt").write_text(LETTER)
    Path("people.csv").write_text(PEOPLE)
    with serving(api.app) as url:
        monkeypatch.setenv("MAILROOM_API_URL", url)
        monkeypatch.setenv("MAILROOM_API_KEY", "acme-key")
        yield


def run(*arguments: str, code: int = 0) -> Result:
    ended = CliRunner().invoke(app, arguments)
    assert ended.exit_code == code, f"{ended.output}{ended.exception!r}"
    return ended


def sending(*arguments: str, file: str = "people.csv", template: str = "letter.txt", code: int = 0) -> Result:
    return run("send", file, "--template", template, "--from", "desk@acme.test", *arguments, code=code)


def stopped(*arguments: str, **files: str) -> str:
    """Return the error with which the command ends, as `main` prints it."""
    with pytest.raises(ConfigurationError) as output:
        CliRunner().invoke(app, ["send", *_files(**files), *arguments], catch_exceptions=False)
    return str(output.value)


def _files(file: str = "people.csv", template: str = "letter.txt") -> list[str]:
    return [file, "--template", template, "--from", "desk@acme.test"]


def test_everyone_in_a_file_gets_the_template_filled(engine: Engine, archive: MemoryArchive) -> None:
    """A spreadsheet and a letter are all that the office has."""
    output = json.loads(sending("--json").stdout)

    mails = {mail.to.address: mail for mail in sent(engine, output["id"], archive)}
    assert (output["messages"], output["repeated"]) == (2, False)
    assert mails["bob@users.test"].to.name == "Bob Moore"
    assert mails["bob@users.test"].subject == "Invoice for Bob"
    assert mails["ada@users.test"].text == "Dear Ada,\n\npay 1.\n"
    assert mails["ada@users.test"].reply_to.address == "desk@acme.test"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "\ufeffto;name;total\r\nada@users.test;Ada;1\r\nbob@users.test;Bob;2\r\n"),
        ("a.csv", "name\ttotal\tto\nAda\t1\tada@users.test\nBob\t2\tbob@users.test"),
        ("a.csv", 'to,name,total\n"ada@users.test","Ada","1\nEUR"\n,,\nbob@users.test,Bob,2\n'),
        (
            "a.json",
            '[{"to": "ada@users.test", "name": "Ada", "total": 1}, {"to": "bob@users.test", "name": "B", "total": 2}]',
        ),
        (
            "a.json",
            '[{"to": "ada@users.test", "data": {"name": "A", "total": 1}}, {"to": "b@users.test", "name": "B", "total": 2}]',
        ),
    ],
    ids=["semicolons-and-bom", "tabs", "quoted-lines", "json", "json-as-the-api"],
)
def test_recipients_come_in_what_offices_export(engine: Engine, name: str, content: str) -> None:
    """Excel in half of Europe writes semicolons, and everywhere a byte order mark."""
    Path(name).write_text(content)

    assert "2 messages submitted as batch" in sending(file=name).stdout
    assert kept(engine) == 2


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (
            "a.csv",
            "to,name\nada@users.test,Ada\nbob@users.test\n",
            "a.csv, row 3: 1 cells, but the header has 2",
        ),
        ("a.csv", "to,name\nada@users.test,Ada\n,Bob\n", "a.csv, row 3: `to` is missing"),
        ("a.csv", "email,name\na@users.test,Ada\n", "a.csv, row 1: the header needs a column `to`"),
        ("a.csv", "to,name,name\na@users.test,Ada,B\n", "a.csv, row 1: each column needs a different name"),
        ("a.csv", 'to,name\na@users.test,"Ada\n', "invalid CSV"),
        ("a.csv", "to,name\n", "a.csv: no recipients"),
        ("a.csv", b"to,name\nada@users.test,Ren\x8e\n", "a.csv, line 2: neither UTF-8 nor Windows-1252"),
        ("a.json", '[{"to": "a@users.test"}, {"name": "Bob"}]', "a.json, row 2: `to` is missing"),
        ("a.json", '[{"to": "a@users.test"}, "bob"]', "a.json, row 2: must be an object"),
        ("a.json", '[{"to": "a@users.test"},\n oops]', "a.json, line 2: invalid JSON"),
        ("a.json", '{"to": "a@users.test"}', "a.json: recipients in JSON must be an array"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_by_its_row(
    engine: Engine, name: str, content: str | bytes, said: str
) -> None:
    """With thousands of rows the user needs the number of the wrong one; none of them is sent."""
    Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())

    assert said in stopped(file=name)
    assert kept(engine) == 0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("Dear {{ name }},\n\nhello", "line 1: a template starts with `Subject: ...`"),
        ("Reply-To: a@x.test\n\nhello", "the first line must be `Subject: ...`"),
    ],
)
def test_a_letter_without_a_subject_is_refused(content: str, said: str) -> None:
    """Its first paragraph would become a header, or be lost."""
    Path("letter.txt").write_text(content)

    assert said in stopped()


def test_a_batch_too_large_for_a_request_is_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    """The API would stop reading in the middle, which looks like an API that is away."""
    monkeypatch.setattr(_api_client, "LIMITS", Limits(body=100))

    assert "split the file" in stopped()


def test_what_the_api_finds_wrong_is_named_by_its_row_too(engine: Engine) -> None:
    """Addresses and templates are validated in one place, the API."""
    Path("people.csv").write_text("to,name,total\nada@users.test,Ada,1\n\nnobody,Bob,2\n")

    ended = CliRunner().invoke(app, ["send", *_files()])

    assert isinstance(ended.exception, ConfigurationError)
    assert "people.csv, row 4: " in ended.stderr
    assert "nobody" not in ended.stderr
    assert kept(engine) == 0


def test_a_dry_run_shows_what_would_come_of_it(engine: Engine, api: TestClient) -> None:
    """Before thousands get it: who is not reached, what it costs, and when it is done."""
    api.post("/v1/suppressions", json={"addresses": ["bob@users.test"]})
    SqlQuotas(engine).allow("acme", Allowance(hour=1))
    Path("people.csv").write_text(PEOPLE + "ada@users.test,Ada,1,\ncarl@users.test,Carl,3,\n")

    shown = dict(line.split(None, 1) for line in sending("--dry-run").stdout.splitlines())

    assert shown["mails"] == "2"
    assert shown["suppressed"] == "1  (row 4)"
    assert shown["duplicates"] == "1  (row 5)"
    assert shown["quota"] == "2 of 1 left this hour"
    assert shown["done"] == (
        "14 Mar 2026, 10:00 UTC at the earliest, limited by the quota; the provider's rate is unknown today"
    )
    assert json.loads(sending("--dry-run", "--json").stdout)["suppressed"] == [1]
    assert kept(engine) == 0


def test_a_dry_run_of_what_is_wrong_fails_and_says_where(engine: Engine) -> None:
    """A script with a dry run first must stop."""
    Path("people.csv").write_text("to,name,total\nnobody,Bob,2\nada@users.test,Ada,1\n")

    ended = sending("--dry-run", code=1)

    assert "people.csv, row 2: " in ended.stderr
    assert "1, so nothing would be submitted" in ended.stdout


def test_the_same_key_sends_nothing_twice(engine: Engine) -> None:
    """A job that runs again after a crash does not know whether it had sent."""
    first, again = (sending("--key", "november", "--json").stdout for _ in range(2))

    assert json.loads(first)["id"] == json.loads(again)["id"]
    assert json.loads(again)["repeated"] is True
    assert "this key was already used" in sending("--key", "november").stdout
    assert kept(engine) == 2


def test_a_batch_goes_at_its_time(engine: Engine) -> None:
    """Letters are written the evening before."""
    sending("--at", "2026-03-15T08:00")

    with engine.connect() as connection:
        [due_at] = connection.execute(text("select distinct due_at from message")).scalars()
    assert due_at.isoformat() == "2026-03-15T08:00:00+00:00"
    assert "--at soon: use 90m" in stopped("--at", "soon")


def test_waiting_ends_when_all_have_gone(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused mail makes the command fail, because a job's output goes unread."""
    monkeypatch.setattr(send, "_pause_s", lambda _: 0.02)
    dispatch, over = SqlDispatch(engine), threading.Event()

    def work() -> None:
        while not over.is_set():
            with engine.connect() as connection:
                found = connection.execute(text("select id from batch")).scalars().all()
            for batch_id in found:
                for claim in dispatch.claim(str(batch_id), most=1, provider="ses", now=NOW):
                    bob = claim.draft.to.address == "bob@users.test"
                    result = Refused("no", code=550) if bob else ProviderReceipt("ses", "0100")
                    dispatch.settle([Outcome(claim.draft.id, claim.attempt, result)], now=NOW)
            over.wait(0.05)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        ended = sending("--wait", code=1)
    finally:
        over.set()
        worker.join()

    why, statuses = ended.stdout.splitlines()[-2:]
    assert set(statuses.split(", ")) == {"1 dispatched", "1 rejected"}
    assert why.startswith(
        "1 rejected (refused): the provider will never accept this recipient or content. What to do: "
    )


def test_waiting_ends_without_mails_that_wait_for_their_recipients_servers(engine: Engine) -> None:
    """These may wait for days; the command says how many and until when, and does not fail."""
    dispatch, over = SqlDispatch(engine), threading.Event()

    def work() -> None:
        while not over.wait(0.05):
            with engine.connect() as connection:
                batch_ids = connection.execute(text("select id from batch")).scalars().all()
            for claim in (
                claim for one in batch_ids for claim in dispatch.claim(str(one), most=2, provider="smtp", now=NOW)
            ):
                error = RecipientUnavailable("not now", code=450)
                dispatch.settle([Outcome(claim.draft.id, claim.attempt, error, NOW + timedelta(minutes=5))], now=NOW)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        ended = sending("--wait")
    finally:
        over.set()
        worker.join()

    assert ended.stdout.splitlines()[-2:] == [
        "2 deferred",
        "2 deferred by their recipients' servers, next try 14 Mar 2026, 09:35 UTC",
    ]


def test_waiting_says_once_that_the_provider_is_paused(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bar that stands still for an hour says neither why nor what to do."""
    asked: list[Any] = []
    error = SenderRefused("not verified", code="MessageRejected", sender_domain="acme.test")

    def batch(client: ApiClient, batch_id: str) -> Any:
        asked.append(batch_id)
        status, reason = ("deferred", "sender_refused") if len(asked) < 4 else ("dispatched", None)
        with engine.begin() as connection:
            changed = text("update message set status = :status, reason = :reason")
            connection.execute(changed, {"status": status, "reason": reason})
        if len(asked) == 1:
            SqlPauses(engine).begin(error, identity="ses/1", provider="ses", sender_domain="acme.test", now=NOW)
        return real(client, batch_id)

    real = ApiClient.batch
    monkeypatch.setattr(ApiClient, "batch", batch)
    monkeypatch.setattr(send, "_pause_s", lambda _: 0)

    ended = sending("--wait")

    assert ended.stderr.count("paused until 14 Mar 2026, 09:45 UTC") == 1
    assert "(`mailroom sender verify acme.test`)" in ended.stderr
    assert ended.stdout.splitlines()[-1] == "2 dispatched"


def test_a_wrong_key_and_an_unreachable_server_are_reported_plainly(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The two mistakes of every first try."""
    monkeypatch.setenv("MAILROOM_API_KEY", "wrong")
    assert "the API key is invalid" in stopped()
    monkeypatch.delenv("MAILROOM_API_KEY")
    assert "set both" in stopped()
    monkeypatch.delenv("MAILROOM_API_URL")
    monkeypatch.setenv("MAILROOM_DATA", str(tmp_path / "nowhere"))
    assert "mailroom up" in stopped()


def test_the_help_teaches_by_an_example() -> None:
    """A new user wants a line to copy."""
    output = run("send", "--help").stdout

    assert "mailroom send people.csv --template letter.txt --from desk@acme.test --dry-run" in output
    assert "ada@users.test,Ada,12.50" in output


def test_a_trace_finds_what_was_sent_by_any_of_its_ids(engine: Engine, archive: MemoryArchive) -> None:
    """A provider's support asks by its id, a customer by the batch's."""
    output = json.loads(sending("--json").stdout)
    mails = sent(engine, output["id"], archive)

    batch = json.loads(run("trace", output["id"], "--json").stdout)
    [by_id] = json.loads(run("trace", mails[0].id, "--json").stdout)["messages"]

    assert batch["batch"]["statuses"] == {"dispatched": 2}
    assert {message["id"] for message in batch["messages"]} == {mail.id for mail in mails}
    assert [activity["kind"] for activity in by_id["activities"]] == ["accepted", "sending", "dispatched"]
    with engine.begin() as connection:
        connection.execute(
            text("update message set provider_message_id = '0100-x' where id = :id"), {"id": mails[0].id}
        )
    assert json.loads(run("trace", "0100-x", "--json").stdout)["messages"][0]["message"]["id"] == mails[0].id
    assert "provider  ses  0100-x, attempt 1" in run("trace", "0100-x").stdout
    assert "2 dispatched" in run("trace", output["id"]).stdout


def test_a_trace_names_the_run_that_sent_it(engine: Engine) -> None:
    """Where an activity has a run, it is linked; an unreachable server is reported, and nothing is lost."""
    output, run_id = json.loads(sending("--json").stdout), str(uuid4())
    message = json.loads(run("trace", output["id"], "--json").stdout)["messages"][0]["id"]
    note = text("insert into activity (message_id, at, kind, facts) values (:id, now(), 'sending', :facts)")
    with engine.begin() as connection:
        connection.execute(note, {"id": message, "facts": json.dumps({"run_id": run_id})})

    found: dict[str, Any] = json.loads(run("trace", message, "--json").stdout)["messages"][0]

    assert found["run"]["id"] == run_id
    assert found["run"]["state"].startswith("unknown")


def test_a_trace_of_nothing_says_what_it_takes() -> None:
    """An id of another installation, or a word that is no id."""
    for unknown in ("0100-nothing", str(uuid4())):
        with pytest.raises(ConfigurationError, match="nothing has the id"):
            CliRunner().invoke(app, ["trace", unknown], catch_exceptions=False)


def test_a_stream_is_named_on_the_command_line(engine: Engine) -> None:
    """What recipients leave by unsubscribing; a name that is none is a fault of the whole batch."""
    output = json.loads(sending("--stream", "weekly-news", "--json").stdout)

    with engine.connect() as connection:
        named = text("select stream from batch where id = :id")
        assert connection.execute(named, {"id": output["id"]}).scalar_one() == "weekly-news"
    ended = CliRunner().invoke(app, ["send", *_files(), "--stream", "Weekly News"])
    assert isinstance(ended.exception, ConfigurationError)
    assert "stream" in ended.stderr


def test_unsubscribe_adds_our_link_to_header_and_template(
    api: TestClient, engine: Engine, archive: MemoryArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One option: no header to know, no URL to make. The mails are bulk mail by that, and their stream can be left."""
    services = api.app.state.services  # type: ignore[attr-defined]
    links = {"unsubscribe_key": SecretStr("k" * 32), "public_url": "https://mail.acme.test"}
    linked = replace(services, settings=services.settings.model_copy(update=links))
    monkeypatch.setattr(api.app.state, "services", linked)  # type: ignore[attr-defined]
    Path("news.txt").write_text("Subject: News\n\nLeave: {{ unsubscribe_url }}\n")

    output = json.loads(sending("--unsubscribe", "--json", template="news.txt").stdout)

    mails = sent(engine, output["id"], archive, leave_url="https://mail.acme.test/u/{}".format)
    assert [mail.text for mail in mails] == [f"Leave: {mail.unsubscribe}\n" for mail in mails]
    assert mails[0].unsubscribe == f"https://mail.acme.test/u/{mails[0].id}"
