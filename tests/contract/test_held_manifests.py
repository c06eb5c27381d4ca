"""A legal hold on a mail is on its manifests too: every version, in both places, until the last hold ends."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, text

from mailroom.adapters.postgres.archive.holds import SqlHolds
from mailroom.archive.holding import place_hold, release_hold, renew
from mailroom.domain.archive.holds import LegalHold
from mailroom.domain.archive.retention import RetentionClass
from mailroom.ports.archive import Deposit
from tests.support.two_places import FIRST, SECOND, TwoPlaces, email_with, killed_at, two_places

NOW = datetime(2026, 11, 30, 10, tzinfo=UTC)


@pytest.fixture
def both(engine: Engine) -> TwoPlaces:
    return two_places(engine)


@pytest.fixture
def receipt(both: TwoPlaces) -> Deposit:
    return both.archive().deposit("acme", b"hello", retention=RetentionClass.UNROUTED)


@pytest.fixture
def holds(both: TwoPlaces) -> SqlHolds:
    return SqlHolds(both.engine)


def place(both: TwoPlaces, subject: str) -> LegalHold:
    holds, copies = SqlHolds(both.engine), both.archive().copies
    return place_hold(subject, tenant="acme", author="ada", reason="a case", holds=holds, copies=copies, now=NOW)


def release(both: TwoPlaces, hold: LegalHold) -> LegalHold:
    holds, copies = SqlHolds(both.engine), both.archive().copies
    return release_hold(hold.id, by="bob", reason="settled", holds=holds, copies=copies, now=NOW)


def test_the_manifests_of_a_held_mail_are_held_too(both: TwoPlaces, receipt: Deposit, holds: SqlHolds) -> None:
    """Without its manifest a mail is bytes: who received it, and by which decision, is there. Each version, in both places."""
    email_id, other = email_with(both, receipt.archive_id), email_with(both)
    mine, others = manifest_of(both, email_id, "mine"), manifest_of(both, other, "other")
    copies = both.archive().copies
    by_mail, by_deposit = place(both, email_id), place(both, receipt.archive_id)
    assert (held_versions(both, mine), held_versions(both, others)) == ([True] * 4, [False] * 4)

    release(both, by_mail)
    assert held_versions(both, mine) == [True] * 4
    manifest_version(both, mine)
    renew(holds, copies, now=NOW)
    assert held_versions(both, mine) == [True] * 6

    with killed_at("after commit of legal hold"):
        release(both, by_deposit)
    renew(holds, copies, now=NOW)

    assert held_versions(both, mine) == [False] * 6
    assert held_versions(both, others) == [False] * 4


def test_a_manifest_of_another_tenant_is_not_held(both: TwoPlaces, receipt: Deposit, holds: SqlHolds) -> None:
    email_id = email_with(both, receipt.archive_id)
    theirs = manifest_of(both, email_id, "theirs", tenant="other")

    place(both, email_id)

    assert held_versions(both, theirs) == [False] * 4


def manifest_of(both: TwoPlaces, email_id: str, name: str, *, tenant: str = "acme") -> str:
    """Add two versions of a manifest to both places, and its row; return its key."""
    key = f"{tenant}/aip/{name}.json"
    for version in ("1", "2"):
        manifest_version(both, key)
        with both.engine.begin() as connection:
            connection.execute(
                text(
                    "insert into archived_mail (tenant, email_id, key, version, sha256, rule, archived_at)"
                    " values (:tenant, cast(:id as uuid), :key, :version, '00', 'document/1', now())"
                ),
                {"tenant": tenant, "id": email_id, "key": key, "version": version},
            )
    return key


def manifest_version(both: TwoPlaces, key: str) -> None:
    until = datetime.now(UTC) + timedelta(days=1)
    for s3, bucket in ((both.first, FIRST), (both.second, SECOND)):
        locked = {"ObjectLockMode": "COMPLIANCE", "ObjectLockRetainUntilDate": until}
        s3.put_object(Bucket=bucket, Key=key, Body=b"{}", **locked)


def held_versions(both: TwoPlaces, key: str) -> list[bool]:
    """Return S3's legal hold of each version of a key, in both places."""
    buckets = ((both.first, FIRST), (both.second, SECOND))
    return [version.is_held for s3, bucket in buckets for version in s3._buckets[bucket][key]]
