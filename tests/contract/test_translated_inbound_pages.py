"""The pages of received mail, of the quarantine, of the installation's state and of OpenID Connect in every language."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine

from mailroom.adapters.postgres.inbox.inbox_reader import SqlInboxReader
from mailroom.adapters.postgres.operations.status import SqlStatusFacts
from mailroom.api.app import create_app
from mailroom.api.pages import openid, translations
from mailroom.api.pages.reader import read_by
from mailroom.api.services import OpenIdServices, Services
from mailroom.domain.errors import PermanentError, Refused, TransientError
from mailroom.domain.inbound.filing_policy import Finding, Scan
from mailroom.domain.inbound.reasons import InboundReason
from mailroom.domain.inbound.received_email import Attachment, State
from mailroom.domain.inbound.replaying import ReplayAction, ReplayState
from mailroom.domain.inbound.verdicts import CHECKS, Verdict, Verdicts
from mailroom.domain.inbox.notices import TEXTS
from mailroom.domain.mail.carried import HeaderField
from mailroom.domain.mail.contained import Contained
from mailroom.domain.openid import OpenIdFault
from mailroom.domain.outbound.reasons import OutboundReason
from mailroom.operations.status import StatusReader, StatusRow
from mailroom.operations.status_rows import sources
from mailroom.ports.holds import HeldCount, HoldReason
from mailroom.ports.inbox_reader import WorkerLine
from mailroom.ports.item_marks import Mark
from mailroom.ports.pauses import Pause
from mailroom.ports.previewer import NoPreview, Preview
from mailroom.ports.reconciliations import Reconciliation
from mailroom.ports.scheduler import ScheduledDeployment
from mailroom.ports.status import InstallationFacts
from mailroom.testing.api import BROWSER, NOW, Memory, TestClient, an_item, two_tenants
from mailroom.testing.previewer import MemoryPreviewer
from tests.contract.test_status import Fixed
from tests.support.inboxes import an_email, save
from tests.support.marked_language import Marked, outside
from tests.support.quarantined_mails import SPAM, Desk

ROOT = {"Authorization": "Bearer admin"}
ACME = {"Authorization": "Bearer acme"}
HTML = '<p>Hi <a href="https://acme.test">x</a><img src="https://acme.test/x.png"><b style="display:none">y</b></p>'
HOURS = timedelta(hours=9)
#: Steps of an e-mail, with a fact of each.
STEPS = ("received", "started", "routed", "archived", "processed", "quarantined", "released", "died", "filed")


class Answering(MemoryPreviewer):
    """Gives the answer that a test wants: a page, or why there is none."""

    def __init__(self) -> None:
        self.answer: Preview | NoPreview | None = None

    def preview(self, _content: bytes, page: int) -> Preview | NoPreview:
        """Return the answer; without one no process could be started."""
        if self.answer is None:
            raise TransientError("busy")
        return self.answer


class Said(SqlStatusFacts):
    """The facts of an installation in which everything that can be wrong is, or nothing is known yet."""

    def __init__(self, facts: InstallationFacts) -> None:
        self._facts = facts

    def facts(self, *, now: datetime, within: timedelta) -> InstallationFacts:
        """Return them."""
        return self._facts


def wrong() -> InstallationFacts:
    return InstallationFacts(
        last_hour=1_234,
        filing_time=timedelta(seconds=1.5),
        oldest_unfiled=NOW - HOURS,
        quarantined=2,
        quarantined_lately=1,
        replays_left=1,
        waiting_messages=1,
        waiting_batches=1,
        oldest_due=NOW - timedelta(days=3),
        held={reason: HeldCount(2, 1_000) for reason in HoldReason},
        pauses=[
            Pause(
                identity="i",
                provider="ses",
                sender_domain=None,
                since=NOW - HOURS,
                until=NOW + HOURS,
                probes=1,
                reason=OutboundReason.SENDER_REFUSED,
                code="x",
            )
        ],
        breakers=2,
        workers=[
            WorkerLine("w-1", NOW, 2, "archive", None),
            WorkerLine("w-2", NOW, 1, None, "poison"),
            WorkerLine("w-3", NOW - HOURS, 0, None, None),
        ],
        skipped={"replays": 2},
        proof=Reconciliation(begun_at=NOW - HOURS, ended_at=NOW - HOURS, differences={"inbound": 2}, counts={}),
        schema="0034",
    )


def status_of(facts: InstallationFacts, **parts: Any) -> StatusReader:
    def hangs() -> int:
        raise KeyError("unforeseen")

    ran = {"last_at": NOW - HOURS, "last_state": "Crashed", "last_message": "2 findings"}
    listed = Fixed(
        ScheduledDeployment("watch", paused=True, **ran),
        ScheduledDeployment("reconcile", next_at=NOW - HOURS),
        ScheduledDeployment("prune"),
        ScheduledDeployment("tidy", next_at=NOW + HOURS, **ran),
    )
    queues = {"inbound": lambda: 2, "mailbox": lambda: 1, "hooks": lambda: 0, "broken": hangs}
    given: dict[str, Any] = {"dead_letters": queues, "scheduler": listed} | parts
    return StatusReader(sources(Said(facts), **given), patience_s=20)


class Provider:
    """A provider of OpenID Connect that answers with a fault."""

    name = "Acme"

    def __init__(self) -> None:
        self.fault: Exception = TransientError("away")

    def sign_in_url(self, _attempt: object) -> str:
        """Raise the fault."""
        raise self.fault


class World(Desk):
    """Mails with everything that a mail can have; e-mails in quarantine for every reason, and replays of them."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.memory = two_tenants()
        self.previewer, self.provider = Answering(), Provider()
        services = replace(self.memory.services(), previewer=self.previewer)
        self.items = list(self._items(self.memory))
        self.mail = self._client(services)
        held = replace(
            services,
            reader=SqlInboxReader(engine),
            ledger=self.ledger,
            runs=self.runs,
            addresses=self.book,
            replayer=self.replayer,
        )
        self.held, self.empty = self._client(held), services
        self._quarantine()

    def _client(self, services: Services) -> TestClient:
        return TestClient(create_app(services), base_url="https://mail.example", follow_redirects=False)

    def _items(self, memory: Memory) -> Iterator[str]:
        kept = memory.archive.deposit("acme", b"bytes").archive_id
        inner = (
            Contained("b.pdf", 5, 1, "application/pdf", "0" * 64, text="hi", text_cut=True, unopened=True),
            Contained("c.txt", 5, 2, inside=1),
        )
        parts = [
            Attachment(at, f"{at}.pdf", kind, found, 5, "0" * 64, inline, None, kept, inner if at == 1 else ())
            for at, (kind, found, inline) in enumerate(
                [
                    ("application/pdf", "application/pdf", False),
                    ("text/plain", None, False),
                    ("image/png", "image/png", True),
                ],
                start=1,
            )
        ]
        full = an_item(
            html=HTML,
            cc=("d@x.test",),
            reply_to=("e@x.test",),
            text="> quoted\nhttps://acme.test/\n",
            attachments=tuple(parts),
            defects=tuple(TEXTS),
            left_out={word: {"count": 2, "bytes": 10_000} for word in TEXTS},
            plus_tokens=("a", "b"),
            automatic_reply=True,
            partial_id="p",
            partial_number=1,
            in_reply_to=("<1@x>",),
            references=("<2@x>",),
            header_fields=(HeaderField("x-mailer", "y"),),
            not_carried={"header_fields": 2, "invitations": 1},
            protection=("pgp_encrypted", "smime_signed"),
        )
        several = an_item(attachments=tuple(parts[:1]), defects=("too_many_files",), plus_token="z", text="")
        verdicts = Verdicts(**dict.fromkeys(CHECKS, Verdict.FAIL), dmarc_policy="reject")
        memory.activities += [
            {"at": NOW.isoformat(), "kind": step, "facts": {"reason": "no_route", "attempt": 1, "outcome": "failed"}}
            for step in STEPS
        ]
        unrouted = tuple(f"{at}@nowhere.test" for at in range(22))
        found = {finding: Scan(finding, "clamav", "why", NOW) for finding in Finding}
        yield memory.file(full, verdicts=verdicts, scan=found[Finding.INFECTED], run_id="1", unrouted=unrouted).id
        yield memory.file(
            several, verdicts=Verdicts(**dict.fromkeys(CHECKS, Verdict.GRAY)), done=Mark(by="ann", at=NOW)
        ).id
        yield memory.file(an_item(text="", from_=None), scan=found[Finding.UNSCANNED], envelope_sender="x@y.test").id
        passed = Verdicts(**dict.fromkeys(CHECKS, Verdict.PASS))
        yield memory.file(an_item(html="<p>x", text=None), verdicts=passed, scan=found[Finding.CLEAN], deposits={}).id
        yield memory.file(an_item(), withdrawn="spam").id

    def _quarantine(self) -> None:
        for at, reason in enumerate((*InboundReason, None)):
            state = State.QUARANTINED if at % 2 else State.FAILED
            facts = {"why": "x", "code": 7}
            save(self.engine, an_email(state, reason=reason.value if reason else None, facts=facts, received_at=NOW))
        self.receives("lost", "nobody@nowhere.test")
        self.receives("part", "anna@acme.test", "bob@other.test", verdicts=SPAM)
        self.replay = self.begins(states=(State.QUARANTINED, State.FAILED)).id
        self.begins(action=ReplayAction.RELEASE, reason="spam")
        self.works("lost")
        states = list(ReplayState)
        rows = self.sql("select email_id from replay_mail")
        for row, state in zip(rows, states, strict=False):
            self.sql("update replay_mail set state = :state where email_id = :id", state=state.value, id=row.email_id)

    def pages(self, language: str) -> Iterator[tuple[str, str]]:
        """Yield each page, with a name of it."""
        yield from self._mails(language)
        yield from self._quarantines(language)
        yield from self._states(language)
        yield from self._sign_ins(language)

    def _mails(self, language: str) -> Iterator[tuple[str, str]]:
        for at, one in enumerate(self.items):
            for name, key in (("root", ROOT), ("acme", ACME)):
                yield f"item {at} {name}", self.get(self.mail, f"/items/{one}", key, language)
        for step in ("done", "undo", "done"):
            pressed = {"Sec-Fetch-Site": "same-origin"} | BROWSER | ACME
            assert self.mail.post(f"/items/{self.items[3]}/{step}", headers=pressed).status_code == 303
        yield "marked item", self.get(self.mail, f"/items/{self.items[3]}?was={self.items[1]}", ACME, language)
        drawn = Preview(content=b"x", content_type="image/png", width=10, height=10, page=2, pages=3)
        for answer in (drawn, *NoPreview, None):
            self.previewer.answer = answer
            path = f"/items/{self.items[0]}/attachments/1/preview?page=2"
            yield f"preview {answer!r:.40}", self.get(self.mail, path, ACME, language)

    def _quarantines(self, language: str) -> Iterator[tuple[str, str]]:
        reasons = [f"?reason={one}" for one in ("no_route", "spam", "poison", "unknown_word")]
        begin = [f"/replay?action={action}&reason=no_route" for action in ("replay", "release")]
        address = "/address?recipient=nobody@nowhere.test"
        for path in ("", *reasons, *begin, "/replay", "/replay?reason=x", f"/replays/{self.replay}", address):
            yield f"quarantine {path}", self.get(self.held, f"/quarantine{path}", ROOT, language)
        yield "quarantine of a tenant", self.get(self.held, "/quarantine", ACME, language)
        yield "empty quarantine", self.get(self.mail, "/quarantine", ROOT, language)
        yield "no replays", self.get(self.mail, "/quarantine/replay?reason=no_route", ROOT, language)
        for tenant in ("no name", "acme"):
            form = {"recipient": "nobody@nowhere.test", "tenant": tenant, "user": "u", "processor": "none"}
            headers = {"Sec-Fetch-Site": "same-origin", "Accept-Language": language} | BROWSER | ROOT
            answer = self.held.post("/quarantine/address", data=form, headers=headers)
            assert answer.status_code == 422
            yield f"address of {tenant}", answer.text

    def _states(self, language: str) -> Iterator[tuple[str, str]]:
        good = InstallationFacts(workers=[WorkerLine("w-1", NOW, 2, None, None)], schema="0034")
        for name, reader in (
            ("all", status_of(wrong())),
            ("new", status_of(InstallationFacts(), scheduler=Fixed(), dead_letters={})),
            ("good", status_of(good, dead_letters={}, scheduler=None)),
        ):
            client = self._client(replace(self.empty, status=reader))
            yield f"status {name}", self.get(client, "/status", ROOT, language)

    def _sign_ins(self, language: str) -> Iterator[tuple[str, str]]:
        settings = self.empty.settings.model_copy(update={"openid_client_secret": SecretStr("s" * 32)})
        client = self._client(
            replace(self.empty, settings=settings, openid=OpenIdServices(self.provider))  # type: ignore[arg-type]
        )
        yield "sign in", self.get(client, "/sign-in", {}, language)
        yield "no attempt", self.get(client, "/sign-in-with-openid/callback?code=x&state=y", {}, language)
        yield "no provider", self.get(self.mail, "/sign-in-with-openid", {}, language)
        for fault in (TransientError("away"), PermanentError("wrong")):
            self.provider.fault = fault
            yield f"fault {fault}", self.get(client, "/sign-in-with-openid", {}, language)

    def get(self, client: TestClient, path: str, headers: dict[str, str], language: str) -> str:
        answer = client.get(path, headers=BROWSER | {"Accept-Language": language} | headers)
        assert answer.headers["content-language"] == language, path
        assert answer.status_code != 500, path
        return str(answer.text)


@pytest.fixture
def world(engine: Engine) -> World:
    return World(engine)


def test_no_page_has_a_text_that_is_not_translated(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each text comes by the catalogue; one that does not would be English between two in French."""
    marked = Marked("en")
    monkeypatch.setattr(translations, "translation", lambda language: marked)

    found = {(name, *outside(page)) for name, page in world.pages("en")}

    assert len(found) > 40
    assert {one for one in found if len(one) > 1} == set()


@pytest.mark.parametrize("language", ["de", "fr"])
def test_every_page_is_in_the_language_that_its_reader_asks_for(world: World, language: str) -> None:
    """All of them are made, whatever the placeholders of a translation are."""
    for name, page in world.pages(language):
        assert f'<html lang="{language}">' in page, name
        assert "%(" not in page, name
        assert "⟦" not in page, name


@pytest.mark.parametrize("fault", OpenIdFault)
@pytest.mark.parametrize(
    ("language", "words"), [("de", "Sie sind nicht angemeldet"), ("fr", "Vous n&#39;êtes pas connecté")]
)
def test_a_person_who_is_not_signed_in_reads_why(fault: OpenIdFault, language: str, words: str) -> None:
    """Each fault of the provider's answer, with what to do, and none of it in English."""
    services = replace(Memory().services(), openid=OpenIdServices(Provider()))  # type: ignore[arg-type]
    with read_by(language, "UTC"):
        page = bytes(openid._refused(services, Refused("no", step=fault.value)).body).decode()

    assert words in page
    assert fault.sentence not in page
    assert fault.remedy not in page


def test_a_row_of_the_status_is_english_for_programs() -> None:
    """The API, and alarms made of it, have the words that they had."""
    rows: list[StatusRow] = list(status_of(wrong()).look(now=NOW).rows)
    said = {row.name: row.value for row in rows}

    assert said["Mail"] == "1,234 in the last hour, 0 in the last day"
    assert said["Filing in the last hour"] == "95 of 100 filed within 1.5 seconds"
    assert said["Oldest due"] == "due for 3 days"
    assert said["Waiting"] == "1 message of 1 batch"
    assert said["w-1"] == "works on 2 e-mails; paused: archive is unavailable"
    assert said["Dead letters: inbound"] == "2 messages were given up"
