"""The port `RetentionRules`, and what the archive locks by its rules: in memory and in SQL alike."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from mailroom.adapters.aws.archive_s3 import S3Archive
from mailroom.adapters.aws.locked_objects import LockedObjects
from mailroom.adapters.postgres.archive.rules import SqlRetentionRules
from mailroom.archive.depositing import deposit_all
from mailroom.domain.archive.retention import (
    MOST_DAYS,
    RULES,
    FinalAction,
    Lock,
    LockRefused,
    RetentionClass,
    refuse_other_days,
)
from mailroom.domain.errors import ConfigurationError, Reason, TransientError
from mailroom.domain.tenants import NOBODY
from mailroom.inbound.routing import RoutingDecision
from mailroom.ports.retention_rules import RetentionRules
from mailroom.testing.archive import MemoryArchive
from mailroom.testing.retention_rules import MemoryRetentionRules
from mailroom.testing.strict_lock import StrictLockFake
from tests.support.archive_store import Counting, Store, store_on

NOW = datetime(2026, 11, 30, 10, tzinfo=UTC)
CONTENT = b"From: anna@acme.test\r\n\r\nhello\r\n"


@pytest.fixture
def store(emulator: str, engine: Engine) -> Store:
    return store_on(emulator, engine)


@pytest.fixture(params=["memory", "sql"])
def rules(request: pytest.FixtureRequest) -> RetentionRules:
    if request.param == "memory":
        return MemoryRetentionRules()
    return SqlRetentionRules(request.getfixturevalue("engine"))


def by_rules(store: Store, rules: RetentionRules) -> S3Archive:
    return S3Archive(store.s3, store.engine, bucket=store.bucket, lock_mode="GOVERNANCE", rules=rules)


def test_each_class_has_a_rule_from_the_start(rules: RetentionRules) -> None:
    """No deposit without a rule: documents are kept ten years, everything else thirty days."""
    days = {kind: rules.of(kind).days for kind in RetentionClass}

    assert days.pop(RetentionClass.DOCUMENT) == days.pop(RetentionClass.WITHDRAWN) == 3650
    assert set(days.values()) == {30}
    assert {(one.name, one.version) for one in rules.all()} == {(name, 1) for name in RULES}
    assert all(one.basis and one.by for one in rules.all())


def test_a_new_version_counts_from_now_on(rules: RetentionRules) -> None:
    """Why a deposit has its date can be read years later: the version that it names is still there."""
    added = rules.add("virus", days=90, basis="analysis takes a quarter", by="ada", now=NOW)

    assert (added.label, added.period, added.since, added.by) == ("virus/2", timedelta(days=90), NOW, "ada")
    assert rules.of(RetentionClass.VIRUS) == added
    assert [one.days for one in rules.all() if one.name == "virus"] == [30, 90]
    kept = rules.add("virus", days=60, basis="less", by="ada", now=NOW, action=FinalAction.KEEP)
    assert rules.add("virus", days=61, basis="more", by="ada", now=NOW).action is kept.action


NO_RULES = [
    ("contract", 30, "law"),
    ("withdrawn", 30, "law"),
    ("document", 0, "law"),
    ("document", -1, "law"),
    ("document", MOST_DAYS + 1, "law"),
    ("document", 30, " "),
    ("document", 30, "two\nlines"),
    ("document", 30, "nul \0"),
    ("document", 30, "x" * 501),
]


def test_what_is_no_rule_is_refused(rules: RetentionRules) -> None:
    """1,000 years under COMPLIANCE could not be undone, and a rule without a legal basis explains nothing."""
    before = list(rules.all())

    for name, days, basis in NO_RULES:
        with pytest.raises(ConfigurationError):
            rules.add(name, days=days, basis=basis, by="ada", now=NOW)

    assert list(rules.all()) == before


def test_a_version_has_an_entry_in_the_journal_of_operations(engine: Engine) -> None:
    """Who changed how long mail is kept is part of the evidence; the legal basis may name people and stays in the table."""
    SqlRetentionRules(engine).add("report", days=31, basis="asked by anna@acme.test", by="ada", now=NOW)

    with engine.connect() as connection:
        [(tenant, payload)] = connection.execute(
            text("select tenant, payload from journal where stream = 'operations' and kind = 'rule'")
        ).all()
    assert tenant == NOBODY
    assert payload == '{"action":"destroy","days":31,"kind":"rule","rule":"report/2","trigger":"deposited"}'


def test_two_at_once_make_two_versions_or_one(engine: Engine) -> None:
    """Two operators; none overwrites the other, and one may have to repeat."""

    def add(days: int) -> int:
        with suppress(TransientError):
            SqlRetentionRules(engine).add("virus", days=days, basis="law", by="ada", now=NOW)
            return 1
        return 0

    with ThreadPoolExecutor(4) as pool:
        added = sum(pool.map(add, range(40, 48)))

    versions = [one.version for one in SqlRetentionRules(engine).all() if one.name == "virus"]
    assert versions == list(range(1, added + 2))


def test_nothing_is_deposited_without_a_rule(store: Store) -> None:
    """A lock that nobody decided on cannot be undone, and no lock is no archive; S3 gets no call."""
    rules, counting = MemoryRetentionRules(), Counting(store.s3)
    rules.versions = [one for one in rules.versions if one.name != "virus"]
    archive = S3Archive(counting, store.engine, bucket=store.bucket, lock_mode="GOVERNANCE", rules=rules)

    with pytest.raises(ConfigurationError):
        archive.deposit("acme", CONTENT, retention=RetentionClass.VIRUS)

    assert counting.calls == []


def test_a_deposit_is_locked_by_the_rule_of_its_class_and_its_entry_names_it(store: Store) -> None:
    """The date in S3, the receipt's and the journal's are one."""
    rules = SqlRetentionRules(store.engine)
    named = text("select payload::jsonb ->> 'rule' from journal where kind = 'deposit' and subject = :id")

    for kind in RetentionClass:
        receipt = by_rules(store, rules).deposit("acme", CONTENT + kind.encode(), retention=kind)

        assert store.lock(receipt) == ("GOVERNANCE", receipt.retain_until)
        assert receipt.verified_at is not None
        assert receipt.retain_until - receipt.verified_at == rules.of(kind).period
        with store.engine.connect() as connection:
            assert connection.execute(named, {"id": receipt.archive_id}).scalar_one() == f"{kind.rule}/1"


def test_a_shorter_version_shortens_no_lock(store: Store) -> None:
    """A receipt has promised its date."""
    rules = SqlRetentionRules(store.engine)
    first = by_rules(store, rules).deposit("acme", CONTENT)
    rules.add("document", days=10, basis="the law has changed", by="ada", now=NOW)

    again, other = (
        by_rules(store, rules).deposit("acme", CONTENT),
        by_rules(store, rules).deposit("acme", CONTENT + b"."),
    )

    assert (again.retain_until, store.lock(again)[1]) == (first.retain_until, first.retain_until)
    assert other.retain_until < first.retain_until


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_shared_bytes_have_the_longest_lock_of_all_that_use_them(store: Store, order: tuple[int, int]) -> None:
    """The same attachment came with a virus and in a document, in either order."""
    archive = by_rules(store, SqlRetentionRules(store.engine))
    kinds = (RetentionClass.VIRUS, RetentionClass.DOCUMENT)

    receipts = [archive.deposit("acme", CONTENT, retention=kinds[one]) for one in order]

    until = store.lock(receipts[-1])[1]
    assert until - datetime.now(UTC) > timedelta(days=3600)
    assert until == receipts[-1].retain_until == max(one.retain_until for one in receipts)


class NoLedger:
    def deposited(self, *_: Any, **__: Any) -> None: ...


@pytest.mark.parametrize(
    "before",
    [
        RoutingDecision((), (NOBODY,), Reason.NO_ROUTE),
        RoutingDecision((), ("acme",), Reason.SPAM, {"acme": Reason.SPAM}),
        RoutingDecision((), ("acme",), Reason.VIRUS, {"acme": Reason.VIRUS}),
    ],
    ids=["unrouted", "quarantined", "virus"],
)
def test_a_mail_that_becomes_a_document_later_is_locked_as_one(store: Store, before: RoutingDecision) -> None:
    """An address was added and the mail replayed, or a person released it; until then it was locked for 30 days only."""
    archive, after = by_rules(store, SqlRetentionRules(store.engine)), RoutingDecision((), ("acme",))

    def deposited(routing: RoutingDecision) -> timedelta:
        how: Any = {"archive": archive, "ledger": NoLedger(), "now": NOW, "retention": routing.retention_class}
        [receipt] = deposit_all(_Entry(), routing.tenants, [CONTENT], **how).values()  # type: ignore[arg-type]
        assert store.lock(receipt)[1] == receipt.retain_until
        return receipt.retain_until - datetime.now(UTC)

    assert timedelta(days=29) < deposited(before) <= timedelta(days=30)
    assert timedelta(days=3649) < deposited(after) <= timedelta(days=3650)
    assert before.tenants == (NOBODY,) or deposited(before) > timedelta(days=3649)


class _Entry:
    id = "email"


def test_one_mail_is_locked_for_each_tenant_by_its_own_class() -> None:
    """One tenant's policy holds it back, the other has filed it: a document there alone."""
    archive = MemoryArchive(retention=timedelta(days=3650))
    routing = RoutingDecision((), ("acme", "globex"), None, {"acme": Reason.SPAM})
    how: Any = {"archive": archive, "ledger": NoLedger(), "now": NOW, "retention": routing.retention_class}

    receipts = deposit_all(_Entry(), routing.tenants, [CONTENT], **how)  # type: ignore[arg-type]

    left = {tenant: (one.retain_until - datetime.now(UTC)).days for (tenant, _), one in receipts.items()}
    assert (left["acme"] < 31, left["globex"] > 3600) == (True, True)


_LATER = datetime.now(UTC).replace(microsecond=0) + timedelta(days=20)
REFUSED: dict[str, Callable[[], Lock]] = {
    "shorter": lambda: Lock("COMPLIANCE", _LATER - timedelta(seconds=1)),
    "weaker": lambda: Lock("GOVERNANCE", _LATER + timedelta(days=1)),
    "past": lambda: Lock("COMPLIANCE", datetime.now(UTC) - timedelta(seconds=1)),
    "in 1,000 years": lambda: Lock("COMPLIANCE", datetime.now(UTC) + timedelta(days=365_000)),
    "the last date": lambda: Lock("COMPLIANCE", datetime.max.replace(tzinfo=UTC)),
    "naive": lambda: Lock("COMPLIANCE", (_LATER + timedelta(days=1)).replace(tzinfo=None)),
    "no mode": lambda: Lock("", _LATER + timedelta(days=1)),
}


@pytest.mark.parametrize("why", REFUSED)
def test_a_lock_is_only_extended_and_s3_gets_no_other_call(why: str) -> None:
    """An emulator or another store may be lenient about it: the archive must not depend on S3's refusal."""
    counting = Counting(StrictLockFake())
    objects = LockedObjects(counting, "archive")

    with pytest.raises(LockRefused):
        objects.extend("acme/00/0", "v1", REFUSED[why](), present=Lock("COMPLIANCE", _LATER))
    if why not in ("shorter", "weaker"):
        with pytest.raises(LockRefused):
            objects.put("acme/00/0", CONTENT, "0" * 64, REFUSED[why](), over=None)

    assert counting.calls == []


def test_a_setting_that_contradicts_the_rule_stops_the_start(rules: RetentionRules) -> None:
    """A lock of ten years instead of the 30 days that the operator believes in could not be undone."""
    document = rules.of(RetentionClass.DOCUMENT)
    refuse_other_days(None, document)
    refuse_other_days(3650, document)

    with pytest.raises(ConfigurationError, match="--days 30"):
        refuse_other_days(30, document)
