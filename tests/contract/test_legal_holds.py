"""Legal holds: many for each deposit or e-mail, released by another person, and set in S3 while at least one is active."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError
from typer.testing import CliRunner

from mailroom.adapters.postgres.archive.holds import SqlHolds
from mailroom.adapters.postgres.tenants.people import SqlPeople
from mailroom.archive.holding import place_hold, release_hold, renew
from mailroom.cli import _archive_rules
from mailroom.cli.archive import app
from mailroom.domain.archive.holds import LegalHold
from mailroom.domain.archive.retention import RetentionClass
from mailroom.domain.errors import ConfigurationError, NotPermitted
from mailroom.domain.people import Role
from mailroom.ports.archive import Deposit
from mailroom.ports.people import NewPerson
from tests.support.archive_store import Passing
from tests.support.two_places import FIRST, SECOND, TwoPlaces, email_with, killed_at, two_places

NOW = datetime(2026, 11, 30, 10, tzinfo=UTC)
CONTENT = b"From: anna@acme.test\r\n\r\nhello\r\n"
WHY = "case 7 of anna@acme.test"


@pytest.fixture
def both(engine: Engine) -> TwoPlaces:
    return two_places(engine)


@pytest.fixture
def receipt(both: TwoPlaces) -> Deposit:
    """A deposit whose lock ends within 30 days."""
    return both.archive().deposit("acme", CONTENT, retention=RetentionClass.UNROUTED)


@pytest.fixture
def holds(both: TwoPlaces) -> SqlHolds:
    return SqlHolds(both.engine)


def place(both: TwoPlaces, subject: str, *, tenant: str = "acme", author: str = "ada") -> LegalHold:
    holds, copies = SqlHolds(both.engine), both.archive().copies
    return place_hold(subject, tenant=tenant, author=author, reason=WHY, holds=holds, copies=copies, now=NOW)


def release(both: TwoPlaces, hold: LegalHold, *, by: str = "bob") -> LegalHold:
    holds, copies = SqlHolds(both.engine), both.archive().copies
    return release_hold(hold.id, by=by, reason="settled", holds=holds, copies=copies, now=NOW)


def flags(both: TwoPlaces, receipt: Deposit) -> list[str]:
    """Return S3's legal hold of each copy."""
    found = []
    for s3, bucket in ((both.first, FIRST), (both.second, SECOND)):
        [one] = s3.list_object_versions(Bucket=bucket, Prefix=receipt.key)["Versions"]
        which = {"Bucket": bucket, "Key": receipt.key, "VersionId": one["VersionId"]}
        found.append(s3.get_object_legal_hold(**which)["LegalHold"]["Status"])
    return found


def test_nothing_is_deleted_while_one_hold_of_many_is_active(
    both: TwoPlaces, receipt: Deposit, holds: SqlHolds
) -> None:
    """Hold A is released, hold B stays: years after the lock has ended, S3 still refuses."""
    first, second = place(both, receipt.archive_id), place(both, receipt.archive_id, author="bob")
    release(both, first)
    both.first.clock = lambda: datetime.now(UTC) + timedelta(days=4000)
    which = {"Bucket": FIRST, "Key": receipt.key, "VersionId": receipt.version}

    with pytest.raises(ClientError):
        both.first.delete_object(**which)
    assert (holds.is_held(receipt.archive_id), flags(both, receipt)) == (True, ["ON", "ON"])

    release(both, second, by="ada")

    assert (holds.is_held(receipt.archive_id), flags(both, receipt)) == (False, ["OFF", "OFF"])
    both.first.delete_object(**which)


def test_a_hold_is_journalled_without_names(both: TwoPlaces, receipt: Deposit) -> None:
    """The journal proves who and why by digests; the row may be erased one day, the journal never."""
    hold = place(both, receipt.archive_id)
    release(both, hold)

    written = both.rows("select kind, subject, payload from journal where kind in ('hold', 'release') order by seq")
    assert [(kind, subject) for kind, subject, _ in written] == [
        ("hold", receipt.archive_id),
        ("release", receipt.archive_id),
    ]
    assert {json.loads(payload)["hold"] for *_, payload in written} == {hold.id}
    texts = [re.sub("[0-9a-f-]{32,}", "", payload) for *_, payload in written]
    assert not any(word in one for one in texts for word in ("ada", "bob", "anna", "case", "settled"))
    assert len({json.loads(payload)["actor"] for *_, payload in written}) == 2


def test_a_hold_on_an_email_is_on_all_its_deposits_of_the_tenant(
    both: TwoPlaces, receipt: Deposit, holds: SqlHolds
) -> None:
    """The raw e-mail and its attachments; another tenant's deposits of the same mail are not this tenant's to hold."""
    part = both.archive().deposit("acme", b"attachment")
    other = both.archive().deposit("globex", CONTENT)
    email = email_with(both, receipt.archive_id, part.archive_id, other.archive_id)

    hold = place(both, email)

    assert [flags(both, one) for one in (receipt, part)] == [["ON", "ON"]] * 2
    assert flags(both, other) == ["OFF", "OFF"]
    assert [holds.is_held(one.archive_id) for one in (receipt, part, other)] == [True, True, False]
    both_held = place(both, part.archive_id)
    release(both, hold)
    assert (flags(both, receipt), flags(both, part)) == (["OFF", "OFF"], ["ON", "ON"])
    assert holds.is_held(part.archive_id)
    release(both, both_held)


def test_what_an_email_gets_later_is_held_too(both: TwoPlaces, receipt: Deposit, holds: SqlHolds) -> None:
    """A replay finds an attachment: the row counts at once, S3's hold follows."""
    email = email_with(both, receipt.archive_id)
    place(both, email)
    part = both.archive().deposit("acme", b"attachment")
    with both.engine.begin() as connection:
        connection.execute(
            text("update inbound_email set archive_ids = archive_ids || cast(:id as text)"), {"id": part.archive_id}
        )

    assert holds.is_held(part.archive_id)
    assert renew(holds, both.archive().copies, now=NOW) == 1
    assert flags(both, part) == ["ON", "ON"]


@pytest.mark.parametrize(("act", "expected"), [("place", ["ON", "ON"]), ("release", ["OFF", "OFF"])])
def test_a_process_that_ends_before_s3_is_called_is_made_up_for(
    both: TwoPlaces, receipt: Deposit, holds: SqlHolds, act: str, expected: list[str]
) -> None:
    """The row is what counts; `renew` brings S3 to it."""
    hold = place(both, receipt.archive_id) if act == "release" else None

    with killed_at("after commit of legal hold"):
        place(both, receipt.archive_id) if hold is None else release(both, hold)
    assert flags(both, receipt) != expected
    assert holds.is_held(receipt.archive_id) is (act == "place")
    renew(holds, both.archive().copies, now=NOW)

    assert flags(both, receipt) == expected


def test_a_hold_that_s3_refuses_stops_no_other(both: TwoPlaces, receipt: Deposit, holds: SqlHolds) -> None:
    """A permission is missing in the second account: the reconciliation goes on, and the row stops an elimination."""
    other = both.archive().deposit("acme", b"other")
    for one in (receipt, other):
        holds.place(one.archive_id, tenant="acme", author="ada", reason=WHY, now=NOW)
    which = {"Bucket": FIRST, "Key": receipt.key}

    class Refusing(Passing):
        def put_object_legal_hold(self, **asked: Any) -> Any:
            if asked["Key"] == which["Key"]:
                raise ClientError({"Error": {"Code": "AccessDenied"}}, "PutObjectLegalHold")
            return self.s3.put_object_legal_hold(**asked)

    assert renew(holds, both.archive(first=Refusing(both.first)).copies, now=NOW) == 2

    assert (flags(both, receipt), flags(both, other)) == (["OFF", "OFF"], ["ON", "ON"])
    assert holds.is_held(receipt.archive_id)
    with pytest.raises(NotPermitted) as refused:
        both.archive(first=Refusing(both.first)).copies.hold([receipt.archive_id], is_held=True)
    assert refused.value.permission == "s3:PutObjectLegalHold"


def test_a_hold_that_is_not_committed_is_none(both: TwoPlaces, receipt: Deposit, holds: SqlHolds) -> None:
    with killed_at("before commit of legal hold"):
        place(both, receipt.archive_id)

    assert (list(holds.all()), flags(both, receipt)) == ([], ["OFF", "OFF"])
    assert "hold" not in both.kinds()


def test_a_repaired_copy_is_held_as_the_other(both: TwoPlaces, receipt: Deposit) -> None:
    place(both, receipt.archive_id)
    both.second._buckets[SECOND].clear()

    both.archive().copies.repair(receipt.archive_id, from_place="first", to_place="second")

    assert flags(both, receipt) == ["ON", "ON"]


def test_only_another_person_releases_and_only_once(both: TwoPlaces, receipt: Deposit, holds: SqlHolds) -> None:
    """One person alone must not be able to hold and release; the database refuses it too."""
    hold = place(both, receipt.archive_id)

    with pytest.raises(ConfigurationError, match="another person"):
        release(both, hold, by="ada")
    with pytest.raises(LookupError):
        holds.release(str(uuid4()), by="bob", reason="settled", now=NOW)
    with pytest.raises(ConfigurationError, match="reason"):
        holds.release(hold.id, by="bob", reason=" ", now=NOW)
    assert flags(both, receipt) == ["ON", "ON"]
    released = release(both, hold)
    with pytest.raises(ConfigurationError, match="already"):
        release(both, hold, by="carl")

    assert (holds.find(hold.id), released.released_by) == (released, "bob")
    assert (list(holds.all()), list(holds.all(released=True))) == ([], [released])


CHANGES = (
    "update legal_hold set reason = 'another'",
    "update legal_hold set released_at = now(), released_by = author, release_reason = 'x'",
    "update legal_hold set released_at = now()",
    "delete from legal_hold",
    "truncate legal_hold",
)


def test_a_row_is_only_released(both: TwoPlaces, receipt: Deposit) -> None:
    place(both, receipt.archive_id)

    for change in CHANGES:
        with pytest.raises(DBAPIError), both.engine.begin() as connection:
            connection.execute(text(change))


def test_what_the_tenant_does_not_have_cannot_be_held(both: TwoPlaces, receipt: Deposit) -> None:
    """Another tenant's deposit is not found, like one that is not there."""
    for subject in ("acme/nothing", "no id", "", str(uuid4())):
        with pytest.raises(LookupError):
            place(both, subject)
    with pytest.raises(LookupError):
        place(both, receipt.archive_id, tenant="globex")

    assert "hold" not in both.kinds()


def test_a_reason_is_one_line_for_people(both: TwoPlaces, receipt: Deposit, holds: SqlHolds) -> None:
    for reason in ("", " ", "two\nlines", "nul\0", "x" * 501, "\ud800"):
        with pytest.raises(ConfigurationError):
            holds.place(receipt.archive_id, tenant="acme", author="ada", reason=reason, now=NOW)


@pytest.fixture
def command(both: TwoPlaces, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """`mailroom archive`, of the operator `by`, on this archive."""

    class Opened:
        store = type(
            "Store",
            (),
            {
                "legal_holds": SqlHolds(both.engine),
                "retention_rules": _rules(both),
                "people": SqlPeople(both.engine),
            },
        )()
        stored_archive = both.archive()

    monkeypatch.setattr(_archive_rules, "Opened", Opened)

    def run(*arguments: str, by: str = "ada") -> Any:
        monkeypatch.setenv("LOGNAME", by)
        result = CliRunner().invoke(app, list(arguments))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.stdout

    return run


def _rules(both: TwoPlaces) -> Any:
    from mailroom.adapters.postgres.archive.rules import SqlRetentionRules

    return SqlRetentionRules(both.engine)


def test_operators_hold_and_release_by_commands(command: Callable[..., Any], both: TwoPlaces, receipt: Deposit) -> None:
    """With --dry-run nothing changes; the second operator releases what the first has placed."""
    words = ("hold", receipt.archive_id, "--tenant", "acme", "--reason", WHY)
    assert command(*words, "--dry-run") == "would hold 1 deposit\n"
    assert command("holds") == "no legal holds\n"
    [placed] = json.loads(command(*words, "--json"))

    assert f"by ada: {WHY}" in command("holds")
    assert command("release", placed["id"], "--reason", "settled", "--dry-run", by="bob").startswith("would release")
    with pytest.raises(ConfigurationError, match="another person"):
        command("release", placed["id"], "--reason", "settled")
    command("release", placed["id"], "--reason", "settled", by="bob")
    with pytest.raises(ConfigurationError, match="no such deposit"):
        command("hold", receipt.archive_id, "--tenant", "globex", "--reason", WHY)

    assert command("holds", "--tenant", "acme") == "no legal holds\n"
    assert "by bob: settled" in command("holds", "--all")


def test_operators_list_and_add_rules_by_commands(command: Callable[..., Any]) -> None:
    words = ("rule", "set", "virus", "--days", "90", "--basis", "analysis")
    assert "virus/1  30 days, then destroy" in command("rules")
    assert command(*words, "--dry-run") == "would be 90 days, now 30 days by virus/1\n"
    assert "virus/2" not in command("rules")

    assert "virus/2  90 days, then destroy  analysis" in command(*words)
    assert [one["days"] for one in json.loads(command("rules", "--all", "--json")) if one["name"] == "virus"] == [
        30,
        90,
    ]
    with pytest.raises(ConfigurationError, match="no such rule"):
        command("rule", "set", "contract", "--days", "90", "--basis", "analysis", "--dry-run")


def test_operators_who_share_an_account_name_themselves(
    command: Callable[..., Any], both: TwoPlaces, receipt: Deposit
) -> None:
    """An operator's address is the author; who is none cannot be named, nor one with another address."""
    people = SqlPeople(both.engine)
    for name in ("ada", "bob"):
        people.add(NewPerson(f"{name}@ops.test", Role.OPERATOR, None, (), "cli"))
    people.add(NewPerson("anna@acme.test", Role.ADMINISTRATOR, "acme", (), "cli"))
    words = ("hold", receipt.archive_id, "--tenant", "acme", "--reason", WHY)
    [placed] = json.loads(command(*words, "--as", "Ada@OPS.test", "--json"))
    release_it = ("release", placed["id"], "--reason", "settled")

    assert placed["author"] == "ada@ops.test"
    for stranger in ("anna@acme.test", "carl@ops.test", "no address", ""):
        with pytest.raises(ConfigurationError):
            command(*words, "--as", stranger)
        with pytest.raises(ConfigurationError):
            command(*release_it, "--as", stranger)
    with pytest.raises(ConfigurationError, match="another person"):
        command(*release_it, "--as", "ada@ops.test")
    command(*release_it, "--as", "bob@ops.test")

    assert "by bob@ops.test: settled" in command("holds", "--all")
