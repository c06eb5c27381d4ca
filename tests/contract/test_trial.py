"""One mail of a batch before it is sent: shown by `?preview=N`, or sent to its author by `?test_to=ADDRESS`."""

import base64
import json
from datetime import timedelta
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from mailroom.adapters.postgres.outbound.dispatching import SqlDispatch
from mailroom.adapters.postgres.outbound.outbox import SqlOutbox
from mailroom.adapters.postgres.outbound.quotas import SqlQuotas
from mailroom.domain.errors import TransientError
from mailroom.domain.mail.mime import mime
from mailroom.domain.outbound import trials
from mailroom.domain.outbound.quotas import Allowance
from mailroom.ports.dispatch import Outcome
from mailroom.testing.api import NOW, TestClient
from mailroom.testing.archive import MemoryArchive
from tests.support.batch_requests import ADMIN, batch, kept, message, sent, template

CASES = Path(__file__).parents[1] / "data" / "batches"
PEOPLE = [
    {"to": "Ada <ada@users.test>", "data": {"name": "Ada"}},
    {"to": "bob@users.test", "data": {"name": "Bob"}, "metadata": {"order": "7"}},
    {"to": "carl@users.test", "data": {}},
]


def letter(**changes: Any) -> dict[str, Any]:
    return template(*PEOPLE, **changes)


def preview(api: TestClient, asked: dict[str, Any], number: int = 1) -> Any:
    answer = api.post("/v1/batches", params={"preview": number}, json=asked)
    assert answer.status_code == 200, answer.text
    return answer.json()


def faults(api: TestClient, asked: dict[str, Any], **params: Any) -> list[tuple[str, str]]:
    answer = api.post("/v1/batches", params=params, json=asked)
    assert answer.status_code == 422, answer.text
    return [(".".join(one["where"]), one["what"]) for one in answer.json()["errors"]]


def test_a_preview_is_the_mail_that_would_leave(api: TestClient, engine: Engine, archive: MemoryArchive) -> None:
    """What the provider is given for the same request: texts, parties, headers and the size of the whole."""
    file = {"filename": "bill.pdf", "content": base64.b64encode(b"%PDF-1.7 x").decode()}
    asked = letter(
        text="Dear {{ name }},", reply_to="Desk <desk@acme.test>", headers={"X-Note": "7"}, attachments=[file]
    )
    shown = preview(api, asked, 2)
    asked["recipients"].pop()
    batch_id = api.post("/v1/batches", json=asked).json()["id"]
    mail = next(one for one in sent(engine, batch_id, archive) if one.to.address == "bob@users.test")

    raw = mime(mail, message_id=f"{mail.id}@invalid", date=NOW)
    headers = [(name, value) for name, value in message_from_bytes(raw, policy=policy.compat32).items()]
    expected = {name: str(value) for name, value in headers if name not in ("Date", "Message-ID")}
    found = {one["name"]: one["value"] for one in shown["headers"]}
    # Our id and the boundary made of it are new each time.
    assert {**found, "X-Correlation-ID": mail.id, "Content-Type": ""} == {**expected, "Content-Type": ""}
    assert (shown["text"], shown["html"], shown["subject"]) == (mail.text, mail.html, "Dear Bob")
    assert (shown["from"], shown["to"], shown["reply_to"]) == (
        "desk@acme.test",
        "bob@users.test",
        "Desk <desk@acme.test>",
    )
    assert (shown["preview"], shown["recipients"], shown["size"]) == (2, 3, len(raw))
    assert [(one["filename"], one["content_type"], one["size"]) for one in shown["attachments"]] == [
        ("bill.pdf", "application/pdf", 10)
    ]


def test_a_preview_stores_nothing_and_needs_only_its_own_row_to_be_right(api: TestClient, engine: Engine) -> None:
    """Whose third row lacks a name can look at the first; the third is refused with its place."""
    assert preview(api, letter())["to"] == "Ada <ada@users.test>"
    assert preview(api, letter())["text"].startswith("Dear Ada, look")
    assert faults(api, letter(), preview=3) == [
        (
            "recipients.2",
            "subject: `name` is missing in the data, line 1; if it may be missing, use the filter `default`",
        )
    ]
    assert faults(api, letter(), preview=4) == [("query.preview", "there is no recipient 4: the batch has 3")]
    assert kept(engine) == 0


def test_a_preview_of_messages_counts_their_recipients(api: TestClient) -> None:
    """A message to two addresses is two mails."""
    asked = batch(message(to=["ada@users.test", "bob@users.test"]), message(to="carl@users.test", subject="Third"))

    assert [preview(api, asked, number)["to"] for number in (1, 2, 3)] == [
        "ada@users.test",
        "bob@users.test",
        "carl@users.test",
    ]
    assert preview(api, asked, 3)["subject"] == "Third"
    assert [preview(api, asked, 3)[name] for name in ("html", "unsubscribe", "suppressed")] == [None, None, False]


@pytest.mark.parametrize("number", ["0", "-1", "x", "", "100001"])
def test_what_is_no_number_of_a_recipient_is_refused(api: TestClient, engine: Engine, number: str) -> None:
    """A preview that was misspelt must not send."""
    assert api.post("/v1/batches", params={"preview": number}, json=letter()).status_code == 422
    assert api.post("/v1/batches", params={"preview": 1, "dry_run": "true"}, json=letter()).status_code == 422
    assert kept(engine) == 0


def test_a_preview_says_that_its_recipient_is_suppressed(api: TestClient) -> None:
    """By the tenant's own list: the global one may hold another tenant's recipients."""
    api.post("/v1/suppressions", json={"addresses": ["bob@users.test"]})
    api.post("/v1/suppressions", json={"addresses": ["ada@users.test"]}, headers=ADMIN)

    assert [preview(api, letter(), number)["suppressed"] for number in (1, 2)] == [False, True]


def test_a_test_mail_goes_to_its_author_and_the_letter_afterwards_under_the_same_key(
    api: TestClient, engine: Engine, archive: MemoryArchive
) -> None:
    """A batch of its own, marked, with the data of one recipient; the idempotency key of the letter stays free."""
    asked, key = letter(text="Dear {{ name }},"), {"Idempotency-Key": "november"}
    params = {"test_to": "Me <me@acme.test>", "preview": 2}
    first, again = (api.post("/v1/batches", params=params, json=asked, headers=key) for _ in range(2))
    other = api.post("/v1/batches", params={"test_to": "you@acme.test"}, json=asked, headers=key)
    asked["recipients"].pop()
    real = api.post("/v1/batches", json=asked, headers=key)

    assert [one.status_code for one in (first, again, other, real)] == [202, 202, 409, 202]
    assert first.json()["id"] == again.json()["id"] != real.json()["id"]
    assert again.headers["Idempotent-Replayed"] == "true"
    assert (first.json()["messages"], real.json()["messages"]) == (1, 2)
    [mail] = sent(engine, first.json()["id"], archive)
    assert (mail.to.address, mail.to.name, mail.subject, mail.text) == ("me@acme.test", "Me", "Dear Bob", "Dear Bob,")
    shown = api.get(f"/v1/batches/{first.json()['id']}").json()
    assert shown["metadata"] == {"mailroom-test": "true"}
    assert {one.to.address for one in sent(engine, real.json()["id"], archive)} == {"ada@users.test", "bob@users.test"}


def test_a_test_mail_goes_now_whatever_the_letters_time(api: TestClient, engine: Engine) -> None:
    """It is looked at before the letter is sent, and waits behind no newsletter."""
    asked = letter() | {
        "send_at": (NOW + timedelta(days=3)).isoformat(),
        "expires_at": (NOW + timedelta(days=4)).isoformat(),
    }

    api.post("/v1/batches", params={"test_to": "me@acme.test"}, json=asked)

    with engine.connect() as connection:
        [row] = connection.execute(text("select due_at, lane from message join batch on batch.id = batch_id")).all()
    assert (row.due_at, row.lane) == (NOW, "transactional")


def test_a_test_mail_is_not_counted_in_the_quota_and_given_back_nothing(api: TestClient, engine: Engine) -> None:
    """Also where the quota is used up, and where its first attempt fails; other mail is counted as before."""
    quotas, dispatch = SqlQuotas(engine), SqlDispatch(engine)
    quotas.allow("acme", Allowance(hour=1))
    one = api.post("/v1/batches", json=batch()).json()["id"]
    test = api.post("/v1/batches", params={"test_to": "me@acme.test"}, json=letter()).json()["id"]

    [counted] = dispatch.claim(one, most=9, provider="ses", now=NOW)
    [free] = dispatch.claim(test, most=9, provider="ses", now=NOW)
    before = quotas.used("acme", now=NOW)
    dispatch.settle([Outcome(free.draft.id, free.attempt, TransientError("later"))], now=NOW)
    after = quotas.used("acme", now=NOW)
    dispatch.settle([Outcome(counted.draft.id, counted.attempt, TransientError("later"))], now=NOW)

    assert set(before.values()) == {1}
    assert before == after
    assert set(quotas.used("acme", now=NOW).values()) == {0}
    assert len(dispatch.claim(test, most=9, provider="ses", now=NOW)) == 1


def test_no_request_marks_itself_as_a_test(api: TestClient, engine: Engine) -> None:
    """What has the mark is not counted: a newsletter with it would pass the quota."""
    reserved = "the metadata name mailroom-test is reserved"
    marked = {trials.MARK: "true"}

    assert faults(api, batch(metadata=marked)) == [("metadata", reserved)]
    assert faults(api, batch(message(metadata=marked))) == [("messages.0.metadata", reserved)]
    assert faults(api, template(PEOPLE[0] | {"metadata": marked})) == [("recipients.0.metadata", reserved)]
    assert kept(engine) == 0


def test_test_mails_of_a_day_are_bounded(api: TestClient, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The quota counts none of them, so they have a limit of their own."""
    monkeypatch.setattr("mailroom.outbound.trial.MOST", 2)
    params = {"test_to": "me@acme.test"}
    answers = [api.post("/v1/batches", params=params, json=letter()).status_code for _ in range(2)]

    [(where, what)] = faults(api, letter(), **params)

    assert answers == [202, 202]
    assert (where, what.partition(",")[0]) == ("query.test_to", "2 test mails were sent within a day")
    outbox = SqlOutbox(engine)
    assert [outbox.tests_since(tenant, NOW - trials.PERIOD) for tenant in ("acme", "umbrella")] == [2, 0]
    assert outbox.tests_since("acme", NOW + timedelta(seconds=1)) == 0


def test_an_address_that_gets_no_mail_is_answered_clearly(api: TestClient, engine: Engine) -> None:
    """The author would wait for a mail that is withheld, and take the letter for broken."""
    api.post("/v1/suppressions", json={"addresses": ["me@acme.test"]})

    [(where, what)] = faults(api, letter(), test_to="Me <ME@acme.test>")

    assert (where, what.partition(":")[0]) == ("query.test_to", "this address is suppressed")
    assert [place for place, _ in faults(api, letter(), test_to="nobody")] == ["query.test_to"]
    assert [place for place, _ in faults(api, letter(), test_to="")] == ["query.test_to"]
    assert [place for place, _ in faults(api, letter(), test_to="me@users.test", preview=3)] == ["recipients.2"]
    assert kept(engine) == 0


@pytest.mark.parametrize(
    ("name", "place", "said"),
    [
        ("null-value.json", "recipients.0", "text: `name` is missing in the data, line 1"),
        ("float-comma.json", "recipients.0", "text: `a|float` is not a plain number, line 1"),
        ("css-comment.json", "template", "html: `{#` begins a comment that does not end with `#}`, line 1"),
    ],
)
def test_the_cases_of_issue_e_are_refused_with_their_place(
    api: TestClient, engine: Engine, name: str, place: str, said: str
) -> None:
    """The requests as they came: construct, line and recipient."""
    [(where, what)] = faults(api, json.loads((CASES / name).read_text()))

    assert (where, what.partition(";")[0]) == (place, said)
    assert kept(engine) == 0


def test_a_batch_in_many_languages_is_one_batch(api: TestClient) -> None:
    """Each reader's `locale` is in the data."""
    asked = template(
        *({"to": f"{one}@users.test", "data": {"name": "x", "total": "1234.5", "locale": one}} for one in ("de", "fr")),
        text="{{ total|money('EUR') }}",
    )

    assert [preview(api, asked, number)["text"].replace("\xa0", " ") for number in (1, 2)] == [
        "1.234,50 €",
        "1\u202f234,50 €",
    ]


def test_who_left_another_stream_still_gets_a_test_mail(
    api: TestClient, engine: Engine, archive: MemoryArchive
) -> None:
    """An author reads some of the tenant's mail and has left the rest; the preview of a recipient says the same."""
    for address in ("me@acme.test", "ada@users.test"):
        api.post("/v1/suppressions", json={"addresses": [address], "stream": "weekly"})
    weekly, offers = (letter() | {"stream": stream} for stream in ("weekly", "offers"))

    assert [where for where, _ in faults(api, weekly, test_to="me@acme.test")] == ["query.test_to"]
    made = api.post("/v1/batches", params={"test_to": "me@acme.test"}, json=offers).json()["id"]
    assert [mail.to.address for mail in sent(engine, made, archive)] == ["me@acme.test"]
    assert [preview(api, asked)["suppressed"] for asked in (weekly, offers)] == [True, False]
