"""`mailroom check` and manifests: a ledger that is older than the archive is named at once, with the remedy."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mailroom.adapters.postgres.archive.findings import SqlArchiveFindings
from mailroom.adapters.postgres.inbound.ledger import SqlLedger
from mailroom.audit.check import check
from mailroom.audit.mails import Patience
from mailroom.audit.report import Report, Violation
from mailroom.domain.inbound.received_email import State
from tests.contract.test_check import Installation, _manifests, endpoint, installation
from tests.support.archive_store import Refusing
from tests.support.lock_blind_s3 import LockBlind

__all__ = ["endpoint", "installation"]

HOUR = 3600


@pytest.fixture
def settled(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> Installation:
    """The installation some time after its mails came, by S3's clock, which is rounded down to the second."""
    later = datetime.now(UTC) + timedelta(seconds=5)
    monkeypatch.setattr("mailroom.audit.check.clock_of", lambda _s3, _bucket: later)
    return installation


def found(installation: Installation) -> list[Violation]:
    """Return the violations of a check with an hour of patience."""
    report = Report(emit=lambda _: None, progress=lambda _: None)
    patience = Patience(now=datetime.now(UTC), limit=timedelta(seconds=HOUR))
    check(installation.places, s3=installation.s3, sqs=installation.sqs, report=report, patience=patience, deep=False)
    assert report.counts["manifests"] >= 2
    return report.violations


def test_a_sound_installation_passes(settled: Installation) -> None:
    """Manifests are not deposits without a receipt."""
    assert found(settled) == []


def test_mails_that_the_ledger_forgot_are_named_once_each(settled: Installation) -> None:
    """With the bucket's object, or by the manifest alone where a lifecycle rule has emptied the bucket."""
    settled.forgets("filed1")
    settled.forgets("virus1")
    settled.s3.delete_object(Bucket=settled.places.inbound_bucket, Key="in/virus1")

    wrong = [(one.kind, one.subject) for one in found(settled) if one.kind != "unnamed deposit"]

    assert sorted(wrong) == [("forgotten", settled.manifest_of("virus1")), ("forgotten", "in/filed1")]


def test_a_manifest_of_a_mail_that_comes_meanwhile_is_not_wrong(installation: Installation) -> None:
    """The check reads SQL first; a mail described after that is not forgotten but new."""
    [manifest, *_] = _manifests(installation).find(_ref(installation, "filed1"))
    _manifests(installation).keep(replace(manifest, ref=replace(manifest.ref, key="in/new")))

    assert found(installation) == []


@pytest.mark.parametrize(
    ("state", "do"), [("received", "sweep-inbound"), ("quarantined", "mailroom replay"), ("filed", "receive-email")]
)
def test_a_line_that_knows_of_fewer_attempts_than_its_manifest_is_named(
    settled: Installation, state: str, do: str
) -> None:
    """The ledger was restored to before the mail was replayed, or to before it was filed."""
    settled.execute(
        "update inbound_activity set at = at - interval '1 hour';"
        f"update inbound_email set state = '{state}', reason = 'spam', attempts = 0 where key = 'in/virus1'"
    )

    [wrong] = [one for one in found(settled) if one.kind == "forgotten"]

    assert do in wrong.do
    assert "attempt 1" in wrong.do


def test_a_line_in_the_middle_of_its_attempt_is_not_wrong(settled: Installation) -> None:
    """Its manifest exists, its worker was killed, and its message will be redelivered: nothing was forgotten."""
    settled.execute(
        "update inbound_activity set at = at - interval '1 hour';"
        "update inbound_email set state = 'processing' where key = 'in/virus1'"
    )

    assert "forgotten" not in {one.kind for one in found(settled)}


def test_a_missing_manifest_is_named(settled: Installation) -> None:
    """Somebody with the bypass permission removed it; a restored database could not recover the mail."""
    bucket, key = settled.places.archive_bucket, settled.manifest_of("filed1")
    for one in settled.s3.list_object_versions(Bucket=bucket, Prefix=key)["Versions"]:
        settled.s3.delete_object(Bucket=bucket, Key=key, VersionId=one["VersionId"], BypassGovernanceRetention=True)
    line = SqlLedger(settled.engine).find("filed1")
    assert line is not None
    assert line.state is State.FILED

    report = Report(emit=lambda _: None, progress=lambda _: None)
    patience = Patience(now=datetime.now(UTC), limit=timedelta(seconds=HOUR))
    check(settled.places, s3=settled.s3, sqs=settled.sqs, report=report, patience=patience, deep=False)

    assert [(one.kind, one.subject) for one in report.violations] == [("missing manifest", line.id)]


@pytest.mark.parametrize("body", [b"{}", b"no json", b"[" * 9999])
def test_what_a_stranger_put_over_a_manifest_is_named_until_it_is_acknowledged(
    settled: Installation, body: bytes
) -> None:
    """The mail is still found by the version below; the foreign write must be reported, but not for ever."""
    bucket, key = settled.places.archive_bucket, settled.manifest_of("filed1")
    stranger = settled.s3.put_object(Bucket=bucket, Key=key, Body=body)["VersionId"]
    wrong = [one.kind for one in found(settled)]

    findings, now = SqlArchiveFindings(settled.engine, bucket), datetime.now(UTC)
    findings.meet(key, stranger, now=now)
    findings.acknowledge(key, stranger, by="root", note="a drill", now=now)

    assert wrong == ["versions"]
    assert found(settled) == []


def test_a_stranger_that_only_he_can_read_ends_no_check(settled: Installation) -> None:
    """One object encrypted with its writer's own key (SSE-C) would keep everything else from being checked."""
    bucket, key = settled.places.archive_bucket, settled.manifest_of("filed1")
    stranger = settled.s3.put_object(Bucket=bucket, Key=key, Body=b"{}")["VersionId"]
    s3: Any = Refusing(settled.s3, "InvalidRequest", {stranger}, heads="all")

    assert [one.kind for one in found(replace(settled, s3=s3))] == ["versions"]
    settled.forgets("filed1")
    assert "forgotten" in {one.kind for one in found(replace(settled, s3=s3))}


def test_a_manifests_lock_that_may_not_be_read_is_a_missing_permission(settled: Installation, endpoint: str) -> None:
    """S3 omits it from its answers; every manifest would be called wrong, and its lock missing."""
    blind = replace(settled, s3=LockBlind(endpoint).client)

    assert [(one.kind, "s3:GetObjectRetention is missing" in one.do) for one in found(blind)] == [("permission", True)]


def _ref(installation: Installation, name: str):  # type: ignore[no-untyped-def]
    line = SqlLedger(installation.engine).find(name)
    assert line is not None
    return line.ref
