"""`mailroom check` on a real PostgreSQL and an emulated S3: a sound installation passes, each damage is named."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer
from sqlalchemy import Engine

from mailroom.adapters.aws.archive_s3 import S3Archive
from mailroom.adapters.aws.counter_s3 import S3Counter
from mailroom.adapters.aws.manifests_s3 import S3Manifests
from mailroom.adapters.postgres.inbound.ledger import SqlLedger
from mailroom.adapters.postgres.inbox.filing import SqlInbox
from mailroom.adapters.postgres.operations.restores import SqlRestores
from mailroom.adapters.postgres.outbound.outbox import SqlOutbox
from mailroom.adapters.postgres.tenants.directory import SqlDirectory
from mailroom.archive.mail_manifests import describe
from mailroom.audit.check import Places, check
from mailroom.audit.mails import Patience
from mailroom.audit.report import Report
from mailroom.audit.sent_mails import SentMail
from mailroom.domain.archive.manifests import key_of
from mailroom.domain.archive.retention import RetentionClass
from mailroom.domain.delivery.events import Kind
from mailroom.domain.inbound.received_email import Arrival, Attachment, Envelope, Item, ObjectRef, State
from mailroom.domain.inbound.routing import Address, Route
from mailroom.inbound.routing import RoutingDecision
from mailroom.ports.holds import HoldReason
from mailroom.sandbox.stand_ins.object_lock import like_s3
from mailroom.testing.notices import an_event
from mailroom.testing.retention_rules import MemoryRetentionRules
from tests.support.returned_mail import Returned
from tests.support.sending import office_on
from tests.support.tampering import tamper

RAW, PART = b"From: a@office.test\r\n\r\nhello\r\n", b"a page"
NOW = datetime.now(UTC)
_numbers = count()


@dataclass(frozen=True, slots=True)
class Installation:
    """An installation with one filed e-mail and one quarantined, made by the product's own writers."""

    s3: Any
    sqs: Any
    engine: Engine
    places: Places

    def execute(self, statement: str) -> None:
        tamper(self.engine, statement)

    def forgets(self, name: str) -> None:
        """Make the database one from before this mail."""
        mine = f"(select id from inbound_email where key = 'in/{name}')"
        for table in ("inbound_activity", "inbox_item"):
            attachments = (
                f"delete from attachment where item_id in (select id from inbox_item where email_id in {mine})"
            )
            self.execute(f"{attachments}; delete from {table} where email_id in {mine}")
        self.execute(f"delete from inbound_email where key = 'in/{name}'")

    def manifest_of(self, name: str, tenant: str = "acme") -> str:
        return key_of(tenant, ObjectRef(self.places.inbound_bucket, f"in/{name}"))

    def put(self, name: str) -> None:
        self.s3.put_object(Bucket=self.places.inbound_bucket, Key=f"in/{name}", Body=b"sealed")

    def wrong(
        self, *, limit_s: float = 0, since: datetime | None = None, sent: tuple[SentMail, ...] = ()
    ) -> dict[str, int]:
        """Return how often each kind of violation was found."""
        report = Report(emit=lambda _: None, progress=lambda _: None)
        patience = Patience(now=datetime.now(UTC), limit=timedelta(seconds=limit_s), since=since)
        check(self.places, s3=self.s3, sqs=self.sqs, report=report, patience=patience, deep=True, sent=sent)
        return dict(report.wrong)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    like_s3()
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def installation(endpoint: str, engine: Engine, database_url: str) -> Installation:
    made = {"region_name": "eu-west-1", "aws_access_key_id": "sandbox", "aws_secret_access_key": "sandbox"}
    s3: Any = boto3.client("s3", endpoint_url=endpoint, **made)
    sqs: Any = boto3.client("sqs", endpoint_url=endpoint, **made)
    number = next(_numbers)
    inbound, kept = f"check-in-{number}", f"check-kept-{number}"
    where: Any = {"LocationConstraint": "eu-west-1"}
    s3.create_bucket(Bucket=inbound, CreateBucketConfiguration=where)
    s3.create_bucket(Bucket=kept, CreateBucketConfiguration=where, ObjectLockEnabledForBucket=True)
    sqs.create_queue(QueueName=f"check-dead-{number}")
    dead = {"deadLetterTargetArn": f"arn:aws:sqs:eu-west-1:123456789012:check-dead-{number}", "maxReceiveCount": 5}
    url = sqs.create_queue(QueueName=f"check-{number}", Attributes={"RedrivePolicy": json.dumps(dead)})["QueueUrl"]
    installation = Installation(s3, sqs, engine, Places(database_url, inbound, kept, url))
    SqlDirectory(engine).add(Address("anna@acme.test", "acme", "anna"))
    _receive(installation, "filed1", _file)
    _receive(installation, "virus1", _quarantine)
    return installation


def _receive(installation: Installation, name: str, end: Callable[[Installation, SqlLedger, str], None]) -> None:
    installation.put(name)
    ledger, ref = SqlLedger(installation.engine), ObjectRef(installation.places.inbound_bucket, f"in/{name}")
    ledger.register(Arrival(ref, Envelope(("anna@acme.test",), "a@office.test", NOW)), now=NOW)
    entry = ledger.begin(ref, now=NOW)
    ledger.routed(entry.id, [Route("anna@acme.test", "acme", "anna", "exact")], now=NOW)
    end(installation, ledger, entry.id)


def _file(installation: Installation, ledger: SqlLedger, email_id: str) -> None:
    archive = _archive(installation)
    raw, part = archive.deposit("acme", RAW), archive.deposit("acme", PART)
    _describe(installation, ledger, email_id)
    ledger.deposited(email_id, archive_ids=[raw.archive_id, part.archive_id], now=NOW, manifests=["acme"])
    shown = Attachment(1, "a.pdf", "application/pdf", None, part.size, part.sha256, False, None, part.archive_id)
    nothing: dict[str, Any] = dict.fromkeys(("message_id", "subject", "from_", "date", "text", "html"))
    item = Item(
        "acme", "anna@acme.test", "anna", to=(), cc=(), raw_archive_id=raw.archive_id, attachments=(shown,), **nothing
    )
    SqlInbox(installation.engine).file(email_id, [item], now=NOW)
    ledger.close(email_id, State.FILED, now=NOW)


def _quarantine(installation: Installation, ledger: SqlLedger, email_id: str) -> None:
    kept = _archive(installation).deposit("acme", b"another " + RAW)
    _describe(installation, ledger, email_id)
    ledger.deposited(email_id, archive_ids=[kept.archive_id], now=NOW, manifests=["acme"])
    ledger.close(email_id, State.QUARANTINED, now=NOW, reason="virus")


def _describe(installation: Installation, ledger: SqlLedger, email_id: str) -> None:
    entry = ledger.find(email_id)
    assert entry is not None
    routing = RoutingDecision(
        (Route("anna@acme.test", "acme", "anna", "exact"),), ("acme",), recipients=("anna@acme.test",)
    )
    for manifest in describe(entry, routing, RAW):
        _manifests(installation).keep(manifest)


def _manifests(installation: Installation) -> S3Manifests:
    retention = timedelta(days=10)
    return S3Manifests(
        installation.s3,
        bucket=installation.places.archive_bucket,
        lock_mode="GOVERNANCE",
        rules=MemoryRetentionRules(retention),
    )


def _archive(installation: Installation) -> S3Archive:
    bucket, retention = installation.places.archive_bucket, timedelta(days=10)
    return S3Archive(
        installation.s3,
        installation.engine,
        bucket=bucket,
        lock_mode="GOVERNANCE",
        rules=MemoryRetentionRules(retention),
    )


def test_a_sound_installation_passes(installation: Installation) -> None:
    """A check with false alarms is switched off; an undisturbed installation has no violations."""
    sent = SentMail("filed1", ("anna@acme.test",), (hashlib.sha256(PART).hexdigest(),))

    assert installation.wrong(sent=(sent,)) == {}


def test_what_is_held_after_a_restore_is_named_until_a_person_decides(installation: Installation) -> None:
    """Held mail may have gone before the restore, so "nothing twice" is not yet proved."""
    with office_on(installation.engine) as office:
        batch_id, outbox = office.batch(2, now=NOW), SqlOutbox(installation.engine)
        outbox.hold([batch_id], reason=HoldReason.RESTORED, now=NOW)
        assert installation.wrong() == {"held after a restore": 1}

        outbox.cancel(None, batch_id, now=NOW)

        assert installation.wrong() == {}


def test_an_unrecognised_restore_is_named(installation: Installation) -> None:
    """Before any worker starts: by the identity, and by the counter beside the archive."""
    counter = S3Counter(installation.s3, bucket=installation.places.archive_bucket)
    SqlRestores(installation.engine, counter).advance()
    assert installation.wrong() == {}

    installation.execute("update installation set counter = counter - 1")
    assert installation.wrong() == {"restored database": 1}

    installation.execute("update installation set counter = counter + 1, identity = 'another'")
    assert installation.wrong() == {"restored database": 1}


DAMAGES = {
    "no item": "delete from attachment; delete from inbox_item",
    "missing item": "update inbox_item set recipient = 'bob@acme.test'",
    "duplicate item": "alter table inbox_item drop constraint inbox_item_email_id_tenant_recipient_key;"
    " insert into inbox_item select (jsonb_populate_record(i, jsonb_build_object('id', gen_random_uuid()))).*"
    " from inbox_item i",
    "duplicate line": "alter table inbound_email drop constraint inbound_email_bucket_key_version_key;"
    " insert into inbound_email select (jsonb_populate_record(e, jsonb_build_object('id', gen_random_uuid()))).*"
    " from inbound_email e where state = 'quarantined'",
    "filed twice": "insert into inbound_activity (email_id, at, kind, facts)"
    " select email_id, at, kind, facts from inbound_activity where kind = 'filed'",
    "no reason": "update inbound_email set reason = null where state = 'quarantined'",
    "not archived": "update inbound_email set archive_ids = '{}' where state = 'quarantined'",
    "stuck": "update inbound_email set state = 'processing' where state = 'quarantined'",
    "unknown state": "update inbound_email set state = 'strange' where state = 'quarantined'",
    "no receipt": "update inbound_email set archive_ids = array_append(archive_ids, 'acme/none')",
    "unnamed deposit": "update inbound_email set archive_ids = '{}' where state = 'quarantined'",
    "item not archived": "update inbound_email set archive_ids = '{}' where state = 'filed'",
    "wrong deposit": "update attachment set sha256 = repeat('0', 64)",
    "attachments": "update attachment set number = 2",
    "altered": "update deposit set size = size + 1",
    "missing deposit": "update deposit_copy set version = 'gone'",
    "removed copy": "delete from deposit_copy where archive_id = (select min(archive_id) from deposit)",
    "not locked": "update deposit_copy set retain_until = retain_until + interval '1 day'",
    "wrong receipt": "update deposit set sha256 = repeat('0', 64)",
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_every_kind_of_damage_in_sql_is_named(installation: Installation, kind: str) -> None:
    """A check proves something only if each kind of damage was seen to be found."""
    installation.execute(DAMAGES[kind])

    assert kind in installation.wrong()


@pytest.mark.parametrize("removed", ["deposit_copy", "deposit_copy, deposit"])
def test_a_removed_row_is_named_though_its_object_is_young(installation: Installation, removed: str) -> None:
    """Without its row an object looks like a deposit that is under way, and journal or receipt know better."""
    for table in removed.split(", "):
        installation.execute(f"delete from {table}")

    assert installation.wrong(limit_s=3600)["removed copy"] == 3


def test_an_object_without_a_notification_is_named_once_it_is_old(installation: Installation) -> None:
    """Its notification was lost. While it is young the notification may still be on its way."""
    installation.put("forgotten")

    assert installation.wrong() == {"unknown object": 1}
    assert installation.wrong(limit_s=60) == {}


def test_a_second_version_of_a_deposit_is_named(installation: Installation) -> None:
    """The archive is write-once: another version of a content is a second deposit without a receipt."""
    bucket = installation.places.archive_bucket
    key = installation.s3.list_objects_v2(Bucket=bucket)["Contents"][0]["Key"]

    installation.s3.put_object(Bucket=bucket, Key=key, Body=b"other bytes")

    assert installation.wrong() == {"versions": 1}


def test_an_object_of_the_archive_without_a_receipt_is_named(installation: Installation) -> None:
    """An interrupted deposit is adopted by its mail's next attempt; one that stays was lost with its mail."""
    installation.s3.put_object(Bucket=installation.places.archive_bucket, Key="acme/00/00", Body=b"x")

    assert installation.wrong() == {"no receipt": 1}


def test_a_quarantined_mail_that_is_nowhere_any_more_is_lost(installation: Installation) -> None:
    """Mail that could not be decrypted is only in the bucket, and somebody emptied it."""
    installation.execute(
        "update inbound_email set reason = 'not_bound', archive_ids = '{}' where state = 'quarantined'"
    )
    installation.execute("delete from deposit where size > 35")
    installation.s3.delete_object(Bucket=installation.places.inbound_bucket, Key="in/virus1")

    assert installation.wrong()["lost"] == 1


def test_dead_letters_are_named(installation: Installation) -> None:
    """They are mails that will not be retried; a person has to send them back."""
    dead = installation.sqs.get_queue_url(
        QueueName=installation.places.inbound_queue_url.rpartition("/")[2].replace("-", "-dead-")
    )
    installation.sqs.send_message(QueueUrl=dead["QueueUrl"], MessageBody="{}")

    assert installation.wrong() == {"dead letters": 1}


@pytest.mark.parametrize(
    ("sent", "kind"),
    [
        (SentMail("never", ("anna@acme.test",), ()), "lost"),
        (SentMail("virus1", ("anna@acme.test",), ()), "lost"),
        (SentMail("filed1", (), ()), "duplicate item"),
        (SentMail("filed1", ("anna@acme.test",), ("0" * 64,)), "wrong content"),
    ],
)
def test_what_a_sender_knows_is_compared(installation: Installation, sent: SentMail, kind: str) -> None:
    """The ledger may be consistent in itself and still differ from what was accepted."""
    assert installation.wrong(sent=(sent,)) == {kind: 1}


@pytest.mark.parametrize(
    ("event", "wrong"), [("bounced_hard", {}), ("delayed", {"no event": 1}), (None, {"no event": 1})]
)
def test_a_report_by_mail_has_no_item_and_its_message_has_the_event(
    installation: Installation, event: str | None, wrong: dict[str, int]
) -> None:
    """It is in nobody's inbox by design, so the message's history proves that it was not lost; any other facts do not."""
    returned = Returned(installation.engine)
    [(message, _)] = returned.sends()
    returned.events.record([an_event(Kind.BOUNCED_HARD, "mail/1", message_id=message, provider="smtp")], now=NOW)

    def end(installation: Installation, ledger: SqlLedger, email_id: str) -> None:
        kept = _archive(installation).deposit("acme", b"returned " + RAW, retention=RetentionClass.REPORT)
        ledger.routed(email_id, [Route("b@bounces.acme.test", "acme", "", "report")], now=NOW)
        _describe(installation, ledger, email_id)
        ledger.deposited(email_id, archive_ids=[kept.archive_id], now=NOW, manifests=["acme"])
        facts = {"report_of": message, "event": event} if event else {"report_of": "no id", "event": "bounced_hard"}
        ledger.close(email_id, State.FILED, now=NOW, facts=facts)

    _receive(installation, "report1", end)

    assert installation.wrong() == wrong


def test_what_came_before_the_wanted_time_is_left_alone(installation: Installation) -> None:
    """On an archive of years the check of one hour must take no longer than that hour's mails."""
    installation.execute("update inbound_email set state = 'strange', received_at = now() - interval '3 days'")

    assert installation.wrong(since=datetime.now(UTC) + timedelta(seconds=1)) == {}


@pytest.mark.parametrize(("held", "wrong"), [("{}", {"missing item": 1}), ('{"globex": "spam"}', {})])
def test_only_a_tenant_whose_policy_holds_the_mail_back_may_be_without_an_item(
    installation: Installation, held: str, wrong: dict[str, int]
) -> None:
    """Each tenant decides what it trusts; the others get the mail all the same."""
    routes = ",".join(
        json.dumps({"tenant": tenant, "recipient": f"anna@{tenant}.test"}) for tenant in ("acme", "globex")
    )
    installation.execute(
        "insert into inbound_activity (email_id, at, kind, facts)"
        f""" select email_id, at, 'routed', '{{"routes": [{routes}], "held": {held}}}' """
        " from inbound_activity where kind = 'filed'"
    )

    assert installation.wrong() == wrong


def test_a_row_that_cannot_be_used_is_named_and_the_others_are_looked_at(installation: Installation) -> None:
    """An impossible time, or a history of another shape, must not end the check of everything else."""
    installation.execute("update inbound_email set received_at = 'infinity' where state = 'quarantined'")
    installation.execute("update inbound_activity set facts = '{\"routes\": 5}'")
    installation.put("forgotten")

    wrong = installation.wrong()

    assert (wrong["unusable time"], wrong["unusable row"], wrong["unknown object"]) == (1, 1, 1)


def test_a_counter_that_advances_while_a_check_looks_is_no_restore(installation: Installation) -> None:
    """A check takes minutes, and the counter advances every five seconds while mail is sent: its snapshot is behind."""
    restores = SqlRestores(installation.engine, S3Counter(installation.s3, bucket=installation.places.archive_bucket))
    restores.advance()
    report = Report(emit=lambda _: None, progress=lambda _: None)

    def meanwhile() -> Iterator[SentMail]:
        restores.advance()
        yield from ()

    patience = Patience(now=datetime.now(UTC), limit=timedelta(seconds=0))
    check(
        installation.places,
        s3=installation.s3,
        sqs=installation.sqs,
        report=report,
        patience=patience,
        deep=False,
        sent=meanwhile(),
    )

    assert restores.counter() == 2
    assert report.wrong == {}
