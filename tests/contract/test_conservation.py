"""Conservation on a real PostgreSQL and an emulated S3: all mail is accounted for, and each removal is found."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import uuid4

import boto3
import pytest
from sqlalchemy import Engine

from mailroom.adapters.aws.manifests_s3 import S3Manifests
from mailroom.adapters.postgres.delivery.events import SqlEvents
from mailroom.adapters.postgres.inbound.ledger import SqlLedger
from mailroom.adapters.postgres.outbound.dispatching import SqlDispatch
from mailroom.adapters.postgres.outbound.outbox import SqlOutbox
from mailroom.archive.mail_manifests import keep_unopened
from mailroom.audit.check import Places, conserve
from mailroom.audit.mails import Patience
from mailroom.audit.report import Account, Report, difference
from mailroom.domain.delivery.events import Kind
from mailroom.domain.errors import OutcomeUnknown, Reason, Refused, TransientError
from mailroom.domain.inbound.received_email import Arrival, Entry, ObjectRef, State
from mailroom.domain.inbound.routing import Route
from mailroom.domain.outbound.message import Batch, Content, Draft, Party
from mailroom.ports.dispatch import Outcome
from mailroom.ports.provider import ProviderReceipt
from mailroom.testing.notices import an_event
from mailroom.testing.retention_rules import MemoryRetentionRules
from tests.support.tampering import tamper

NOW = datetime.now(UTC)
_numbers = count()


@dataclass(frozen=True, slots=True)
class Installation:
    """An installation with mails of two tenants under two prefixes, and messages in every kind of status."""

    s3: Any
    engine: Engine
    places: Places

    def execute(self, statement: str) -> None:
        tamper(self.engine, statement)

    def look(self, *, limit_s: float = 3600, since: datetime | None = None) -> Report:
        report = Report(emit=lambda _: None, progress=lambda _: None)
        patience = Patience(now=datetime.now(UTC), limit=timedelta(seconds=limit_s), since=since)
        conserve(self.places, s3=self.s3, archive_s3=self.s3, report=report, patience=patience)
        return report

    def receive(self, key: str, *tenants: str, state: State | None) -> None:
        """Store an object and the ledger's line in this state; None is one that is still in progress."""
        self.s3.put_object(Bucket=self.places.inbound_bucket, Key=key, Body=b"sealed")
        ledger, ref = SqlLedger(self.engine), ObjectRef(self.places.inbound_bucket, key)
        ledger.register(Arrival(ref), now=NOW)
        entry = ledger.begin(ref, now=NOW)
        routes = [Route(f"anna@{tenant}.test", tenant, "anna", "exact") for tenant in tenants]
        ledger.routed(entry.id, routes, now=NOW)
        if state:
            ledger.close(entry.id, state, now=NOW, reason="not_bound" if state is State.QUARANTINED else None)

    def send(self) -> None:
        """Store five sent messages with different outcomes, and one that is scheduled."""
        batch = Batch(id=str(uuid4()), tenant="acme", from_=Party("desk@acme.test"))
        drafts = [Draft(id=str(uuid4()), number=at, to=Party(f"u{at}@users.test"), content=0) for at in range(6)]
        SqlOutbox(self.engine).accept(batch, [Content(subject="a", text="b", html=None)], drafts, now=NOW)
        dispatch = SqlDispatch(self.engine)
        claims = dispatch.claim(batch.id, most=5, provider="ses", now=NOW)
        results: list[Any] = [
            ProviderReceipt("ses", "m0"),
            ProviderReceipt("ses", "m1"),
            Refused("no", code=550),
            OutcomeUnknown("lost"),
        ]
        results.append(TransientError("slow down"))
        later = NOW + timedelta(hours=2)
        dispatch.settle(
            [
                Outcome(claim.draft.id, claim.attempt, result, later)
                for claim, result in zip(claims, results, strict=True)
            ],
            now=NOW,
        )
        output = an_event(Kind.BOUNCED_HARD, message_id=claims[0].draft.id, provider_message_id="m0")
        SqlEvents(self.engine).record([output], now=NOW)


@pytest.fixture
def installation(aws: str, engine: Engine, database_url: str) -> Installation:
    s3: Any = boto3.client("s3")
    bucket = f"conserve-{next(_numbers)}"
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    where: Any = {"LocationConstraint": "eu-west-1"}
    s3.create_bucket(Bucket=f"{bucket}-kept", CreateBucketConfiguration=where, ObjectLockEnabledForBucket=True)
    installation = Installation(s3, engine, Places(database_url, bucket, f"{bucket}-kept", "none"))
    installation.receive("in/held", "acme", state=State.QUARANTINED)
    installation.receive("in/both", "acme", "umbrella", state=None)
    installation.receive("other/twice", "umbrella", state=State.DUPLICATE)
    installation.send()
    return installation


def test_what_is_whole_balances_for_each_tenant_and_prefix(installation: Installation) -> None:
    """One account for each tenant and prefix, so that one tenant's surplus cannot hide another's loss."""
    report = installation.look()

    balances = {account: dict(counts) for account, counts in report.balances.items()}
    assert report.is_clean, report.violations
    assert balances[Account("inbound", "*", "in/")] == {"came": 2, "quarantined": 1, "in flight": 1}
    assert balances[Account("inbound", "acme", "in/")] == {"came": 2, "quarantined": 1, "in flight": 1}
    assert balances[Account("inbound", "umbrella", "in/")] == {"came": 1, "in flight": 1}
    assert balances[Account("inbound", "umbrella", "other/")] == {"came": 1, "duplicate": 1}
    assert balances[Account("outbound", "acme", "")] == {"came": 6, "ended": 3, "pending": 3}


def test_notices_of_objects_that_are_none_of_ours_are_no_loss(installation: Installation) -> None:
    """No one checked that they exist; a forged notification must not make the proof fail."""
    ledger = SqlLedger(installation.engine)
    installation.s3.put_object(Bucket=installation.places.inbound_bucket, Key="beside/there", Body=b"a report")
    for bucket, key in (
        (installation.places.inbound_bucket, "beside/there"),
        (installation.places.inbound_bucket, "beside/never"),
        ("another-bucket", "in/held"),
    ):
        ref = ObjectRef(bucket, key)
        ledger.register(Arrival(ref), now=NOW)
        ledger.close(ledger.begin(ref, now=NOW).id, State.QUARANTINED, now=NOW, reason=Reason.FOREIGN_OBJECT)

    report = installation.look()

    assert report.is_clean, report.violations
    assert dict(report.balances[Account("inbound", "*", "beside/")]) == {"came": 2, "quarantined": 2}


def rests(report: Report) -> int:
    """Return the total unaccounted for, inbound and outbound; the tenants' inbound accounts are parts of the whole."""
    whole = [counts for account, counts in report.balances.items() if account.tenant == "*" or not account.prefix]
    return sum(difference(counts) for counts in whole)


LOSSES = {
    "delete from inbound_email where key = 'in/held'": ("unknown object", "in/held", 1),
    "update inbound_email set state = 'strange' where key = 'in/held'": ("unknown state", None, 1),
    "delete from message where status = 'rejected'": ("missing message", None, 1),
    "update batch set messages = 5": ("strange message", None, -1),
    "update message set status = 'strange' where status = 'bounced'": ("unknown status", None, 1),
    "update message set status = 'delivered' where status = 'rejected'": ("untold status", None, 0),
    "delete from activity where kind = 'bounced_hard'": ("untold status", None, 0),
    "update message set attempts = 2 where status = 'bounced'": ("attempts", None, 0),
    "update message set due_at = now() - interval '2 hours' where status = 'accepted'": ("stuck message", None, 0),
    "update message set status = 'sending', handed_at = now() - interval '2 hours' where status = 'rejected'": (
        "stuck message",
        None,
        0,
    ),
}


@pytest.mark.parametrize("damage", LOSSES)
def test_what_is_taken_away_or_altered_by_hand_is_found(installation: Installation, damage: str) -> None:
    """A proof is worth something only if each kind of loss was seen to be found."""
    kind, subject, rest = LOSSES[damage]
    installation.execute(damage)

    report = installation.look(limit_s=3600 if "hours" in damage else 0)

    found = [one.subject for one in report.violations if one.kind == kind]
    assert len(found) == 1
    assert subject in (None, *found)
    assert rests(report) == rest


def test_object_deleted_before_it_was_archived_is_reported(installation: Installation) -> None:
    """Neither bucket nor archive has it: the mail is lost, whatever the ledger says."""
    installation.s3.delete_object(Bucket=installation.places.inbound_bucket, Key="in/held")

    report = installation.look()

    assert dict(report.wrong) == {"lost": 1}
    assert difference(report.balances[Account("inbound", "*", "in/")]) == -1


def test_object_that_the_archive_has_may_leave_the_bucket(installation: Installation) -> None:
    """A lifecycle rule empties the bucket; the archive keeps the mail."""
    installation.execute("update inbound_email set archive_ids = '{acme/x}' where key = 'in/held'")
    installation.s3.delete_object(Bucket=installation.places.inbound_bucket, Key="in/held")

    assert difference(installation.look().balances[Account("inbound", "*", "in/")]) == 0


def test_young_object_without_a_line_is_in_flight(installation: Installation) -> None:
    """Its notification is on the way; an alarm for every mail would be switched off."""
    installation.s3.put_object(Bucket=installation.places.inbound_bucket, Key="in/new", Body=b"sealed")

    young, old = installation.look(), installation.look(limit_s=0)

    assert young.is_clean
    assert difference(young.balances[Account("inbound", "*", "in/")]) == 0
    assert difference(old.balances[Account("inbound", "*", "in/")]) == 1


def test_what_an_open_breaker_stops_is_not_stuck(installation: Installation) -> None:
    """It waits for a person, and the breaker raises its own alarm."""
    installation.execute("update message set due_at = now() - interval '2 hours' where status = 'accepted'")
    installation.execute(
        "insert into breaker (id, tenant, trip, sent, bounced, complained, runs, opened_at)"
        " values (gen_random_uuid(), 'acme', 'bounces', 1, 1, 0, '{}', now())"
    )

    assert installation.look().is_clean


def test_mail_that_the_archive_describes_and_the_ledger_forgot_is_named_at_once(installation: Installation) -> None:
    """The database was restored: an hour of patience, made for notifications on their way, would be an hour of loss."""
    manifests = S3Manifests(
        installation.s3, bucket=installation.places.archive_bucket, lock_mode="GOVERNANCE", rules=MemoryRetentionRules()
    )
    ref = ObjectRef(installation.places.inbound_bucket, "in/held")
    keep_unopened(Entry("1", ref, State.PROCESSING, None, 1, received_at=NOW), "not_bound", manifests=manifests)
    time.sleep(2)  # S3 rounds its times down to the second.
    assert installation.look().is_clean
    installation.execute("delete from inbound_email where key = 'in/held'")

    report = installation.look()

    [found] = report.violations
    assert (found.kind, found.subject) == ("forgotten", "in/held")
    assert "sweep-inbound" in found.do


def test_window_leaves_out_what_is_older_on_both_sides(installation: Installation) -> None:
    """Each hour's proof takes an hour's work; at its edge nothing may seem lost."""
    report = installation.look(since=datetime.now(UTC) + timedelta(seconds=5))

    assert report.is_clean
    assert not any(difference(counts) for counts in report.balances.values())
