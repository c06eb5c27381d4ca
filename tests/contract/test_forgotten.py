"""A mail that the ledger lost, in whole or in part, and what the archive's manifests restore of it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, text

from mailroom.adapters.postgres.inbound.ledger import SqlLedger
from mailroom.adapters.postgres.operations.restores import SqlRestores
from mailroom.archive.mail_manifests import digest_of, recall_envelope, reopen_filed
from mailroom.domain.archive.manifests import Manifest, RetentionClass, Source
from mailroom.domain.inbound.received_email import CANCELLED, Arrival, Entry, Envelope, ObjectRef, State
from mailroom.domain.inbound.verdicts import Verdict, Verdicts
from mailroom.inbound import sweeping
from mailroom.inbound.sweeping import Found, recalled, silent
from mailroom.ports.ledger import Lease
from mailroom.testing.counter import MemoryCounter
from mailroom.testing.manifests import MemoryManifests

CAME = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
NOW = CAME + timedelta(days=2)
REF = ObjectRef("inbound", "in/abc")
RAW = b"Subject: lease\r\n\r\n"
ENVELOPE = Envelope(("anna@acme.test", "bcc@acme.test"), "carl@sender.test", CAME, Verdicts(*[Verdict.PASS] * 5))
MANIFEST = Manifest(
    tenant="acme",
    ref=replace(REF, version="v1"),
    received_at=CAME + timedelta(seconds=1),
    envelope=replace(ENVELOPE, recipients=("anna@acme.test",)),
    named_by=Source.SES,
    attempt=1,
    retention=RetentionClass.DOCUMENT,
    sha256=digest_of(RAW),
    size=len(RAW),
)


class Desk:
    """A ledger that knows a mail by S3's event alone, and an archive with the manifests of two tenants."""

    def __init__(self, engine: Engine) -> None:
        self.ledger, self.manifests = SqlLedger(engine), MemoryManifests()
        self.manifests.keep(MANIFEST)
        bcc = replace(ENVELOPE, recipients=("bcc@acme.test",))
        self.manifests.keep(replace(MANIFEST, tenant="globex", envelope=bcc))
        assert self.ledger.register(Arrival(REF), now=NOW) is not None
        self.entry = self.ledger.begin(REF, now=NOW)

    def recalls(self, raw: bytes | None = RAW) -> Entry:
        sha256 = digest_of(raw) if raw is not None else None
        return recall_envelope(self.entry, sha256, manifests=self.manifests, ledger=self.ledger, now=NOW)

    def looks(self, after: str) -> Found:
        return recalled(ledger=self.ledger, manifests=self.manifests, after=after, now=NOW)

    def kinds(self) -> list[str]:
        return [one["kind"] for one in self.ledger.trace(self.entry.id)["activities"]]


@pytest.fixture
def mail_setup(engine: Engine) -> Desk:
    return Desk(engine)


@pytest.mark.parametrize("raw", [RAW, None], ids=["opened", "cannot be opened"])
def test_envelope_and_time_of_receipt_come_back_from_all_tenants_parts(mail_setup: Desk, raw: bytes | None) -> None:
    """Its recipients get it again, with the verdicts and the time it had; also a mail in quarantine."""
    found = mail_setup.recalls(raw)

    assert found.envelope is not None
    assert (set(found.envelope.recipients), found.envelope.verdicts) == (set(ENVELOPE.recipients), ENVELOPE.verdicts)
    assert (found.received_at, found.state) == (MANIFEST.received_at, State.PROCESSING)
    assert mail_setup.ledger.find(mail_setup.entry.id) == found
    assert mail_setup.kinds() == ["received", "started", "recalled"]


def test_other_bytes_under_the_same_key_get_no_envelope(mail_setup: Desk) -> None:
    """An overwritten object must not be filed for the recipients of the first one."""
    assert mail_setup.recalls(b"other") == mail_setup.entry


def test_a_mail_without_a_manifest_is_unchanged(mail_setup: Desk) -> None:
    """The usual case: a new mail that S3 announces first."""
    mail_setup.manifests.kept.clear()

    assert mail_setup.recalls() == mail_setup.entry
    assert mail_setup.kinds() == ["received", "started"]


def test_a_notification_that_came_meanwhile_is_the_one_that_counts(mail_setup: Desk) -> None:
    """SES's own notification was late and then came: nothing read from the archive may replace it."""
    late = replace(ENVELOPE, recipients=("dora@acme.test",))
    mail_setup.ledger.register(Arrival(REF, late), now=NOW)

    assert mail_setup.recalls().envelope == late


def test_headers_of_a_mail_give_back_its_time_alone(mail_setup: Desk, engine: Engine) -> None:
    """Its notification never came; should it come now, it must still count."""
    mail_setup.manifests.kept = [replace(MANIFEST, named_by=Source.HEADERS)]

    found = mail_setup.recalls()

    assert (found.envelope, found.received_at) == (None, MANIFEST.received_at)
    with engine.connect() as connection:
        assert connection.execute(text("select envelope is null and scan is null from inbound_email")).scalar_one()


def test_a_mail_that_was_filed_by_its_headers_is_opened_again(mail_setup: Desk) -> None:
    """Its notification came after the dump was made: the ledger says filed, and the Bcc recipient has nothing."""
    mail_setup.ledger.close(mail_setup.entry.id, State.FILED, now=NOW)
    filed = mail_setup.ledger.find(mail_setup.entry.id)
    assert filed is not None

    opened = reopen_filed(filed, manifests=mail_setup.manifests, ledger=mail_setup.ledger, now=NOW)

    assert (opened.state, opened.envelope is not None) == (State.RECEIVED, True)
    assert mail_setup.kinds()[-2:] == ["recalled", "reopened"]
    claim = Lease("this", NOW - timedelta(minutes=1))
    assert mail_setup.ledger.begin(REF, now=NOW, claim=claim).attempts == 2


def test_a_filed_mail_of_which_the_archive_knows_no_more_stays_filed(mail_setup: Desk) -> None:
    """A Retry of it repeats what processors failed at, and files nothing."""
    mail_setup.manifests.kept.clear()
    mail_setup.ledger.close(mail_setup.entry.id, State.FILED, now=NOW)
    filed = mail_setup.ledger.find(mail_setup.entry.id)
    assert filed is not None

    assert reopen_filed(filed, manifests=mail_setup.manifests, ledger=mail_setup.ledger, now=NOW).state is State.FILED


def restored(engine: Engine) -> None:
    """Mark the database as recognised as restored."""
    SqlRestores(engine, MemoryCounter()).recognise(because="a test")


def test_what_failed_before_a_restore_is_announced_until_it_is_tried_again(mail_setup: Desk, engine: Engine) -> None:
    """The queue redelivered it after the dump, it was filed and its message deleted: no other message will come."""
    later = datetime.now(UTC) + timedelta(days=1)
    mail_setup.ledger.close(mail_setup.entry.id, State.FAILED, now=NOW, reason="TransientError")
    assert silent(ledger=mail_setup.ledger, before=later) == [], "its message is in the queue"

    restored(engine)

    assert silent(ledger=mail_setup.ledger, before=later) == [REF]
    mail_setup.ledger.begin(REF, now=later)
    mail_setup.ledger.close(mail_setup.entry.id, State.FAILED, now=later, reason="TransientError")
    assert silent(ledger=mail_setup.ledger, before=later + timedelta(days=1)) == []


@pytest.mark.parametrize("word", [CANCELLED.value, CANCELLED.old])
def test_what_a_person_cancelled_before_a_restore_stays_cancelled(mail_setup: Desk, engine: Engine, word: str) -> None:
    """It waits for `mailroom replay`, also where the release before cancelled it."""
    mail_setup.ledger.close(mail_setup.entry.id, State.FAILED, now=NOW, reason=word)
    restored(engine)

    assert silent(ledger=mail_setup.ledger, before=datetime.now(UTC)) == []


@pytest.mark.parametrize("state", [State.FILED, State.QUARANTINED])
def test_a_mail_whose_notification_came_after_the_dump_comes_back_by_itself(
    mail_setup: Desk, engine: Engine, state: State
) -> None:
    """The ledger says that it was closed by its headers alone, and the archive names a Bcc."""
    mail_setup.ledger.close(mail_setup.entry.id, state, now=NOW, reason="spam")

    assert mail_setup.looks("") == Found([], ""), "no restore"
    restored(engine)
    found = mail_setup.looks("")

    assert found.lost == [REF]
    assert silent(ledger=mail_setup.ledger, before=datetime.now(UTC)) == [REF]
    assert mail_setup.looks(found.until) == Found([], found.until)


def test_closed_lines_are_compared_some_at_a_time(
    mail_setup: Desk, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In an installation without notifications every line is such a line."""
    monkeypatch.setattr(sweeping, "_COMPARED", 2)
    mail_setup.ledger.close(mail_setup.entry.id, State.FILED, now=NOW)
    for number in range(5):
        one = mail_setup.ledger.register(
            Arrival(ObjectRef("inbound", f"in/{number}")), now=NOW + timedelta(hours=number + 1)
        )
        assert one is not None
        mail_setup.ledger.close(one.id, State.FILED, now=NOW + timedelta(days=1))
    restored(engine)

    found, after = list[ObjectRef](), ""
    for _ in range(5):
        look = mail_setup.looks(after)
        found, after = found + look.lost, look.until
    assert found == [REF]

    SqlRestores(engine, MemoryCounter()).recognise(because="another")
    assert mail_setup.looks(after).until != after, "another restore is another look"
    assert mail_setup.looks("nonsense " + "x").lost == []
