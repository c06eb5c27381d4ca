"""Incoming webhook calls in SQL: verified calls until they are handled, and ids of messages handled at once (deduplication)."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from sqlalchemy import Engine, delete, func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert

from mailroom.adapters.postgres.engine import transaction
from mailroom.adapters.postgres.models import table
from mailroom.adapters.postgres.outbound.models import HookRow
from mailroom.ports.hooks import Hook

_hooks = table(HookRow)
_hook = _hooks.c


class SqlHooks:
    """The port `Hooks` on PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def store(self, hooks: Sequence[Hook], *, now: datetime) -> int:
        """Store verified calls and return how many are new."""
        if not hooks:
            return 0
        rows = [
            {"source": hook.source, "id": hook.id, "body": hook.body, "facts": dict(hook.facts), "received_at": now}
            # In one order everywhere, so that two transactions that store the same do not deadlock.
            for hook in sorted(hooks, key=lambda hook: (hook.source, hook.id))
        ]
        kept = insert(_hooks).values(rows).on_conflict_do_nothing().returning(_hook.id)
        with transaction(self._engine) as connection:
            return len(connection.execute(kept).all())

    @contextmanager
    def taken(self, *, most: int, now: datetime) -> Iterator[list[Hook]]:
        """Yield the oldest unhandled calls; they are marked handled when the block ends; see the port."""
        wanted = (
            select(_hook.source, _hook.id, _hook.body, _hook.facts)
            .where(_hook.handled_at.is_(None))
            .order_by(_hook.received_at)
            .limit(most)
            .with_for_update(skip_locked=True)
        )
        with transaction(self._engine) as connection:
            rows = connection.execute(wanted).all()
            yield [Hook(row.source, row.id, bytes(row.body), row.facts) for row in rows]
            mine = tuple_(_hook.source, _hook.id).in_([(row.source, row.id) for row in rows])
            if rows:
                connection.execute(update(_hooks).where(mine).values(handled_at=now))

    def waiting(self) -> int:
        """Count unhandled calls."""
        with transaction(self._engine) as connection:
            return connection.execute(select(func.count()).where(_hook.handled_at.is_(None))).scalar_one()

    def forget(self, *, before: datetime) -> int:
        """Delete calls that were handled before `before`, and return how many."""
        with transaction(self._engine) as connection:
            return connection.execute(delete(_hooks).where(_hook.handled_at < before)).rowcount


class SqlDeduplicator:
    """The port `Deduplicator` on PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def do(self, source: str, message_id: str, action: Callable[[], None], *, now: datetime) -> bool:
        """Do `action` unless this message was handled before, and record it in the same transaction; return whether it was done."""
        values = {"source": source, "id": message_id, "body": b"", "facts": {}, "received_at": now, "handled_at": now}
        row = insert(_hooks).values(**values).on_conflict_do_nothing().returning(_hook.id)
        with transaction(self._engine) as connection:
            if connection.execute(row).first() is None:
                return False
            action()
            return True
