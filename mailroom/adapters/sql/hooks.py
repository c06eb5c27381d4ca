"""What webhooks have taken, in SQL, so that it is taken once."""

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import Engine
from sqlalchemy.dialects.postgresql import insert

from mailroom.adapters.sql.engine import transaction
from mailroom.adapters.sql.models import table
from mailroom.adapters.sql.outbound_models import HookRow

_hooks = table(HookRow)


class SqlOnce:
    """The port `Once` on PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def do(self, source: str, message_id: str, action: Callable[[], None], *, now: datetime) -> bool:
        """Do `action` unless this message was taken before, and note it in the same transaction."""
        values = {"source": source, "id": message_id, "body": b"", "facts": {}, "received_at": now, "handled_at": now}
        row = insert(_hooks).values(**values).on_conflict_do_nothing().returning(_hooks.c.id)
        with transaction(self._engine) as connection:
            if connection.execute(row).first() is None:
                return False
            action()
            return True
