"""Processors of filed mail: at most one answer, a signed webhook to the tenant, and processors of installed packages."""

import asyncio
import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from textwrap import dedent
from threading import Thread
from typing import Any

import pytest
from sqlalchemy import Engine, text

from mailroom.adapters.http import HttpWebhooks
from mailroom.adapters.postgres.inbound.ledger import SqlLedger
from mailroom.adapters.postgres.inbound.processing import SqlProcessings
from mailroom.adapters.postgres.tenants.directory import SqlDirectory, SqlTenants
from mailroom.domain.delivery.webhook_targets import WebhookTargets
from mailroom.domain.errors import OutcomeUnknown, Reason, Refused, TransientError
from mailroom.domain.inbound.received_email import Arrival, Envelope, ObjectRef
from mailroom.domain.inbound.routing import Address, Route
from mailroom.domain.inbound.verdicts import Verdict, Verdicts
from mailroom.domain.parsing import parse_email
from mailroom.inbound import digest, processors, tenant_webhook
from mailroom.inbound.processing import FiledMail, filed_mails
from mailroom.inbound.routing import RoutingDecision
from mailroom.ports.archive import Deposit
from mailroom.ports.inbound import Inbound
from mailroom.ports.tenants import Webhook
from mailroom.testing.archive import MemoryArchive
from mailroom.testing.replies import MemoryReplies

NOW = datetime.now(UTC).replace(microsecond=0)
GOOD = Verdicts(*[Verdict.PASS] * 5)
ROUTE = Route("anna@acme.test", "acme", "anna", "exact", None, "digest")
RAW = b"""From: Carl <carl@sender.test>\r
To: anna@acme.test\r
Subject: the lease\r
Message-ID: <1@sender.test>\r
MIME-Version: 1.0\r
Content-Type: multipart/mixed; boundary=b\r
\r
--b\r
Content-Type: application/pdf; name=lease.pdf\r
Content-Disposition: attachment; filename=lease.pdf\r
\r
%PDF-1.7 lease\r
--b\r
Content-Type: application/pdf; name=copy.pdf\r
Content-Disposition: attachment; filename=copy.pdf\r
\r
%PDF-1.7 lease\r
--b\r
Content-Type: application/pdf; name=lost.pdf\r
Content-Disposition: attachment; filename=lost.pdf\r
\r
%PDF-1.7 lost\r
--b--\r
"""


def a_deposit(digest_: str, tenant: str = "acme") -> Deposit:
    return Deposit(f"{tenant}/{digest_}", tenant, digest_, 7, "archive", digest_, "v1", "GOVERNANCE", NOW)


class Desk:
    """Carl's mail that was filed for Anna, and everything that processors use."""

    def __init__(self, engine: Engine, answers: Any = None) -> None:
        self.engine, self.ledger, self.directory = engine, SqlLedger(engine), SqlDirectory(engine)
        self.tenants, self.processings = SqlTenants(engine), SqlProcessings(engine)
        self.answers = MemoryReplies() if answers is None else answers
        self.directory.add(Address("anna@acme.test", "acme", "anna", "digest"))
        nothing: Any = None
        self.inbound = Inbound(
            mails=nothing, keys=nothing, archive=nothing, manifests=nothing, ledger=self.ledger, directory=self.directory, inbox=nothing, parser=nothing,
            queue=nothing, bucket="inbound", prefixes=("in/",),
            account_id="1", answers=self.answers, webhooks=HttpWebhooks(WebhookTargets(anywhere=True)), tenants=self.tenants,
            processings=self.processings, pages_url="http://mailroom.test",
        )  # fmt: skip

    def mail(self, name: str = "abc", *, raw: bytes = RAW, **envelope: Any) -> FiledMail:
        output = Envelope(**{"recipients": ("anna@acme.test",), "sender": "carl@sender.test", "received_at": NOW,
                           "verdicts": GOOD} | envelope)  # fmt: skip
        entry = self.ledger.register(Arrival(ObjectRef("inbound", f"in/{name}"), output), now=NOW)
        assert entry is not None
        parsed = parse_email(raw)
        kept = {
            ("acme", part.sha256): a_deposit(part.sha256) for part in parsed.attachments if part.filename != "lost.pdf"
        }
        [filed] = filed_mails(entry, RoutingDecision((ROUTE,), ("acme",)), parsed, raw, items=["item-1"], kept=kept)
        return filed

    def answer(self, mail: FiledMail) -> Mapping[str, Any]:
        return digest.answer(mail, self.inbound)


@pytest.fixture
def processing_setup(engine: Engine) -> Desk:
    return Desk(engine)


def test_sender_gets_a_receipt_for_each_attachment(processing_setup: Desk) -> None:
    """Archived, a duplicate, or not stored: each with its archive id, and the mail marked as automatic."""
    output = processing_setup.answer(processing_setup.mail())

    [(raw, sender, recipient)] = processing_setup.answers.sent
    answer = message_from_bytes(raw, policy=policy.default)
    kept = a_deposit(hashlib.sha256(b"%PDF-1.7 lease").hexdigest()).archive_id
    assert output == {"answer_id": "answer-1"}
    assert (sender, recipient) == ("anna@acme.test", "carl@sender.test")
    assert (answer["Auto-Submitted"], answer["In-Reply-To"]) == ("auto-replied", "<1@sender.test>")
    assert answer["Subject"] == "Receipt: the lease"
    body = answer.get_content()
    assert f"lease.pdf: archived, archive id {kept}" in body
    assert f"copy.pdf: duplicate, archive id {kept}" in body
    assert "lost.pdf: rejected" in body


def test_deposit_of_an_earlier_mail_is_a_duplicate(processing_setup: Desk) -> None:
    """The archive stores one; the sender learns that it already had it."""
    mail = processing_setup.mail()
    kept = next(iter(mail.receipts.values()))
    values = {name: getattr(kept, name) for name in kept.__slots__} | {"deposited_at": NOW - timedelta(days=1)}
    with processing_setup.engine.begin() as connection:
        names = ", ".join(values)
        places = ", ".join(f":{name}" for name in values)
        connection.execute(text(f"insert into deposit ({names}) values ({places})"), values)

    processing_setup.answer(mail)

    assert b"lease.pdf: duplicate" in processing_setup.answers.sent[0][0].replace(b"=\r\n", b"")


def test_mail_is_answered_once_however_often_it_runs(processing_setup: Desk) -> None:
    """A retry, a redelivery, two workers: the intent was recorded before the first answer was sent."""
    mail = processing_setup.mail()

    output = [processing_setup.answer(mail) for _ in range(3)]

    assert len(processing_setup.answers.sent) == 1
    assert output[1:] == [{"not_answered": "done_before"}] * 2


def test_answer_that_may_have_left_is_never_sent_again(engine: Engine) -> None:
    """SES takes no idempotency key that would make the second one harmless."""
    processing_setup = Desk(engine, MemoryReplies(OutcomeUnknown("lost")))
    mail = processing_setup.mail()

    assert processing_setup.answer(mail) == {"not_answered": "unknown"}
    assert processing_setup.answer(mail) == {"not_answered": "done_before"}
    assert processing_setup.answers.sent == []


def test_answer_that_did_not_leave_is_tried_again(engine: Engine) -> None:
    """SES throttles: nothing was sent, so the intent is withdrawn for the next try."""
    processing_setup = Desk(engine, MemoryReplies(TransientError("slower")))
    mail = processing_setup.mail()

    with pytest.raises(TransientError):
        processing_setup.answer(mail)

    assert processing_setup.answer(mail) == {"answer_id": "answer-1"}


def test_sender_gets_one_answer_an_hour(processing_setup: Desk) -> None:
    """Two machines that ignore RFC 3834 would otherwise answer each other endlessly; other senders are not affected."""
    output = [processing_setup.answer(processing_setup.mail(f"m{number}")) for number in range(3)]
    other = processing_setup.answer(processing_setup.mail("other", sender="dora@sender.test"))

    assert [one.get("not_answered") for one in output] == [None, "too_often", "too_often"]
    assert other == {"answer_id": "answer-2"}


def headed(header: str) -> bytes:
    return header.encode() + b"\r\n" + RAW


@pytest.mark.parametrize(
    "header",
    [
        "Auto-Submitted: auto-replied",
        "Auto-Submitted: auto-generated (a robot)",
        "AUTO-SUBMITTED: Auto-Notified; x=y",
        "Precedence: bulk",
        "Precedence: list",
        "Precedence: junk",
        "List-Id: <list.sender.test>",
        "List-Unsubscribe: <https://sender.test/u>",
        "X-Auto-Response-Suppress: All",
        "X-Loop: anna@acme.test",
        "Content-Type: multipart/report; report-type=delivery-status",
        "Return-Path: <>",
        "Subject: x\r\n folded\r\nAuto-Submitted:\r\n auto-replied",
    ],
)
def test_automatic_mail_is_never_answered(processing_setup: Desk, header: str) -> None:
    """RFC 3834 section 2: no answer to an answer, a list, a newsletter or a report, in any spelling."""
    assert set(processing_setup.answer(processing_setup.mail(raw=headed(header)))) == {"not_answered"}
    assert processing_setup.answers.sent == []


def test_mail_that_a_person_sent_is_answered(processing_setup: Desk) -> None:
    """`Auto-Submitted: no` says so."""
    assert "answer_id" in processing_setup.answer(processing_setup.mail(raw=headed("Auto-Submitted: no")))


@pytest.mark.parametrize(
    ("sender", "why"),
    [
        ("", "null_sender"),
        ("no address", "unknown_sender"),
        ("MAILER-DAEMON@sender.test", "automatic"),
        ("no-reply@sender.test", "automatic"),
        ("owner-list@sender.test", "automatic"),
        ("list-request@sender.test", "automatic"),
        ("Anna@ACME.test", "own_address"),
        ("anna+x@acme.test", "own_address"),
        ("j\u00fcrgen@sender.test", "unusable_address"),
    ],
)
def test_addresses_that_no_answer_may_go_to(processing_setup: Desk, sender: str, why: str) -> None:
    """Machines, lists, null senders, and above all our own inboxes: two of them would write to each other for ever."""
    assert processing_setup.answer(processing_setup.mail(sender=sender)) == {"not_answered": why}


@pytest.mark.parametrize("check", ["spf", "spam", "virus"])
@pytest.mark.parametrize("word", [word for word in Verdict if word is not Verdict.PASS])
def test_sender_or_content_that_did_not_pass_gets_no_answer(processing_setup: Desk, check: str, word: Verdict) -> None:
    """A forged sender would make us write to the victim, once for each forged mail."""
    assert "not_answered" in processing_setup.answer(processing_setup.mail(verdicts=replace(GOOD, **{check: word})))
    assert processing_setup.answers.sent == []


def test_failed_dmarc_gets_no_answer_though_spf_passed(processing_setup: Desk) -> None:
    """The envelope may be honest and the header's sender forged."""
    assert "not_answered" in processing_setup.answer(processing_setup.mail(verdicts=replace(GOOD, dmarc=Verdict.FAIL)))


def test_mail_without_a_notification_of_ses_gets_no_answer(processing_setup: Desk) -> None:
    """Its sender is not authenticated."""
    assert processing_setup.answer(replace(processing_setup.mail(), envelope=None)) == {
        "not_answered": "unknown_sender"
    }


def test_hostile_subject_and_names_stay_within_their_lines(processing_setup: Desk) -> None:
    """A line feed in the sender's text must not become a header or a line of the receipt."""
    mail = processing_setup.mail()
    part = replace(mail.parsed.attachments[0], filename="a.pdf\r\nBcc: x@y.test\u2028evil")
    parsed = replace(mail.parsed, subject="x\r\nBcc: victim@y.test", message_id="<1>\r\nX: y", attachments=(part,))

    processing_setup.answer(replace(mail, parsed=parsed))

    answer = message_from_bytes(processing_setup.answers.sent[0][0], policy=policy.default)
    assert (answer["Bcc"], answer["X"], answer["In-Reply-To"]) == (None, None, None)
    assert answer["Subject"] == "Receipt: x Bcc: victim@y.test"
    assert "a.pdf Bcc: x@y.test evil: archived" in answer.get_content()


class Receiving(BaseHTTPRequestHandler):
    """A tenant's endpoint: answers with the statuses that a test queues, then 200."""

    got: list[tuple[str, dict[str, str], bytes]]
    statuses: list[int]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.got.append((self.path, dict(self.headers), body))
        self.send_response(self.statuses.pop(0) if self.statuses else 200)
        self.send_header("Location", "http://169.254.169.254/")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


@pytest.fixture
def receiving() -> Iterator[type[Receiving]]:
    kind = type("Endpoint", (Receiving,), {"got": [], "statuses": []})
    server = HTTPServer(("127.0.0.1", 0), kind)
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    kind.url = f"http://127.0.0.1:{server.server_port}/hook?x=1"  # type: ignore[attr-defined]
    yield kind
    server.shutdown()
    server.server_close()


def test_tenant_is_notified_with_a_signature_that_it_can_check(processing_setup: Desk, receiving: Any) -> None:
    """A holder of the secret can prove that we wrote it, its content and its time; it holds no texts of the mail."""
    processing_setup.tenants.set_webhook("acme", Webhook(receiving.url, "s3cret"))
    mail = processing_setup.mail()

    output = tenant_webhook.notify(mail, processing_setup.inbound)

    [(path, headers, body)] = receiving.got
    at, digest_ = (word.partition("=")[2] for word in headers["Mailroom-Signature"].split(","))
    expected = hmac.new(b"s3cret", f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    said = json.loads(body)
    assert (output, path) == ({"status": 200}, "/hook?x=1")
    assert hmac.compare_digest(digest_, expected)
    assert abs(int(at) - datetime.now(UTC).timestamp()) < 300
    assert headers["Mailroom-Delivery"] == f"{mail.email_id}.acme"
    assert (said["event"], said["items"][0]["url"]) == ("email.filed", "http://mailroom.test/items/item-1")
    assert [part["archive_id"] is not None for part in said["attachments"]] == [True, True, False]


@pytest.mark.parametrize(
    ("status", "error"),
    [(503, TransientError), (429, TransientError), (404, Refused), (401, Refused), (302, Refused), (301, Refused)],
)
def test_answer_of_an_endpoint_decides_whether_it_is_tried_again(
    processing_setup: Desk, receiving: Any, status: int, error: type[Exception]
) -> None:
    """A redirect is never followed: it would lead where the URL itself may not."""
    processing_setup.tenants.set_webhook("acme", Webhook(receiving.url, "s3cret"))
    receiving.statuses.append(status)

    with pytest.raises(error):
        tenant_webhook.notify(processing_setup.mail(), processing_setup.inbound)
    assert len(receiving.got) == 1


def test_tenant_without_a_url_is_not_notified(processing_setup: Desk) -> None:
    """The address names the processor before the tenant has set a URL."""
    assert tenant_webhook.notify(processing_setup.mail(), processing_setup.inbound) == {"not_told": "no_url"}


def test_what_a_policy_holds_back_is_not_processed(processing_setup: Desk) -> None:
    """No automatic action on doubtful mail; and each tenant's processor sees its own part alone."""
    entry = processing_setup.ledger.begin(ObjectRef("inbound", "in/x"), now=NOW)
    other = Route("bob@other.test", "other", "bob", "exact", None, "webhook")
    plain = Route("carla@acme.test", "acme", "carla", "exact")
    routing = RoutingDecision((ROUTE, other, plain), ("acme", "other"), None, {"acme": Reason.SPAM})
    kept = {("acme", "d"): a_deposit("d"), ("other", "d"): a_deposit("d", "other")}

    [filed] = filed_mails(entry, routing, parse_email(RAW), RAW, items=["1", "2", "3"], kept=kept)

    assert (filed.tenant, filed.items, filed.key) == ("other", ("2",), "webhook/other")
    assert [receipt.tenant for receipt in filed.receipts.values()] == ["other"]


def test_example_of_the_documentation_works_as_an_installed_package(
    processing_setup: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page shows a module and an entry point; this installs exactly these, as pip would."""
    page = (Path(__file__).parents[2] / "docs/adding-a-processor.md").read_text()
    module = page.partition("    # acme_mail.py\n")[2].partition("\nInstall it")[0]
    (tmp_path / "acme_mail.py").write_text(dedent(module))
    (tmp_path / "acme_mail-1.dist-info").mkdir()
    (tmp_path / "acme_mail-1.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: acme-mail\nVersion: 1\n")
    points = tmp_path / "acme_mail-1.dist-info/entry_points.txt"
    points.write_text("[mailroom.processors]\nstamp = acme_mail:stamp\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    processors.known_processors.cache_clear()
    archive = MemoryArchive()
    kept = archive.deposit("acme", b"%PDF-1.7 lease")
    processing_setup.inbound = replace(processing_setup.inbound, archive=archive)
    mail = processing_setup.mail()

    [step] = processors.known_processors()["stamp"]
    noted = step.run(replace(mail, receipts={kept.sha256: kept}), processing_setup.inbound)

    processors.known_processors.cache_clear()
    assert noted == {"bytes": 14}


def test_row_of_an_intent_is_claimed_by_one_of_many(processing_setup: Desk) -> None:
    """Eight workers with the same mail, and two mails of one sender at the same moment."""
    mails = [processing_setup.mail("a"), processing_setup.mail("b")]

    async def race() -> list[str | None]:
        def claim(mail: FiledMail) -> str | None:
            return processing_setup.processings.claim(
                mail.email_id, "digest", now=NOW, sender="s", once_in=timedelta(hours=1)
            )

        return await asyncio.gather(*(asyncio.to_thread(claim, mails[number % 2]) for number in range(8)))

    assert asyncio.run(race()).count(None) == 1
