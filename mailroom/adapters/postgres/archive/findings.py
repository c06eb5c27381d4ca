"""Findings of archive checks, in SQL: kept until the fault is gone or an operator has acknowledged them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Engine, ScalarSelect, and_, case, delete, func, not_, null, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from mailroom.adapters.postgres.archive.models import DepositCopyRow
from mailroom.adapters.postgres.engine import transaction
from mailroom.adapters.postgres.models import ArchiveFindingRow, DepositRow, table
from mailroom.ports.archive_findings import ArchiveFinding, ScannedRange

_findings = table(ArchiveFindingRow)
_row, _deposit, _copy = _findings.c, table(DepositRow).c, table(DepositCopyRow).c
_insert = insert(_findings)

#: Kinds about a deposit itself; all other kinds are about unknown objects beside it.
DAMAGES = ("missing deposit", "altered", "wrong receipt")

#: The most keys with open findings that are checked again in one run.
_MOST_OPEN = 1000


class SqlArchiveFindings:
    """The port `ArchiveFindings` on PostgreSQL, for one bucket."""

    def __init__(self, engine: Engine, bucket: str) -> None:
        self._engine = engine
        self._mine = _row.bucket == bucket
        self._bucket = bucket

    def meet(self, key: str, version: str, *, now: datetime) -> None:
        """Record an unknown version under a deposit's key; the next check describes it."""
        do = "see what to do after the next run of reconcile"
        values = self._values(ArchiveFinding("versions", key, version, do, now), now)
        with transaction(self._engine) as connection:
            connection.execute(_insert.values(values).on_conflict_do_nothing())

    def note(self, findings: Sequence[ArchiveFinding], looked: ScannedRange, *, now: datetime) -> None:
        """Store the findings of a check; earlier findings in its range that it did not find again are deleted."""
        again: dict[str, Any] = {name: _insert.excluded[name] for name in ("kind", "do", "seen_at")}
        is_damage = or_(*(_insert.excluded.kind == kind for kind in DAMAGES))
        # An unknown object that was acknowledged meanwhile stays acknowledged; damage never is.
        again["acknowledged_at"] = case((is_damage, null()), else_=_row.acknowledged_at)
        keys = ["bucket", "key", "version"]
        with transaction(self._engine) as connection:
            # PostgreSQL stores no NUL; an object with one in its key is reported by each check, and not stored.
            rows = {(one.key, one.version): self._values(one, now) for one in findings if "\0" not in one.key}
            if rows:
                connection.execute(_insert.on_conflict_do_update(index_elements=keys, set_=again), [*rows.values()])
            settled = and_(self._mine, _in_range(looked), _row.seen_at < now, _row.acknowledged_at.is_(None))
            connection.execute(delete(_findings).where(settled))

    def open_keys(self) -> list[str]:
        """Return keys with unacknowledged findings, those seen longest ago first."""
        wanted = select(_row.key).where(self._mine, _row.acknowledged_at.is_(None)).group_by(_row.key)
        with transaction(self._engine) as connection:
            return list(connection.execute(wanted.order_by(func.min(_row.seen_at)).limit(_MOST_OPEN)).scalars())

    def all(self, *, acknowledged: bool, limit: int, key: str | None = None) -> list[ArchiveFinding]:
        """Return findings by key, or of one key only; with `acknowledged`, acknowledged ones too."""
        wanted = select(_findings).where(self._mine).order_by(_row.key, _row.version).limit(limit)
        if key is not None:
            wanted = wanted.where(_row.key == key)
        if not acknowledged:
            wanted = wanted.where(_row.acknowledged_at.is_(None))
        with transaction(self._engine) as connection:
            return [_finding(row) for row in connection.execute(wanted)]

    def acknowledge(self, key: str, version: str | None, *, by: str, note: str, now: datetime) -> list[ArchiveFinding]:
        """Acknowledge unknown objects under this key, with operator and reason; damage cannot be acknowledged."""
        wanted = and_(self._mine, _row.key == key, not_(_row.kind.in_(DAMAGES)), _row.acknowledged_at.is_(None))
        if version is not None:
            wanted = and_(wanted, _row.version == version)
        values = {"acknowledged_at": now, "acknowledged_by": by, "note": note}
        with transaction(self._engine) as connection:
            return [
                _finding(row)
                for row in connection.execute(update(_findings).where(wanted).values(values).returning(_findings))
            ]

    def _values(self, one: ArchiveFinding, now: datetime) -> dict[str, Any]:
        return {
            "bucket": self._bucket,
            "key": one.key,
            "version": one.version,
            "kind": one.kind,
            "do": one.do,
            "found_at": now,
            "seen_at": now,
        }


def damage() -> ScalarSelect[str | None]:
    """Return, for a deposit and one of its copies, the kind of damage that a check found since the copy was last verified."""
    since = func.coalesce(_copy.verified_at, _deposit.deposited_at)
    same = and_(_row.bucket == _copy.bucket, _row.key == _copy.key)
    wanted = select(_row.kind).where(same, _row.kind.in_(DAMAGES), _row.seen_at > since).limit(1)
    return wanted.correlate(table(DepositRow), table(DepositCopyRow)).scalar_subquery()


def _in_range(looked: ScannedRange) -> ColumnElement[bool]:
    """Return the condition that a finding is in the checked range; keys are in byte order, as S3 lists them."""
    key = _row.key.collate("C")
    walked = [key > looked.after]
    if looked.until:
        walked.append(key <= looked.until)
    return or_(and_(*walked), _row.key.in_(looked.keys)) if looked.keys else and_(*walked)


def _finding(row: Any) -> ArchiveFinding:
    return ArchiveFinding(**{name: getattr(row, name) for name in ArchiveFinding.__slots__})
