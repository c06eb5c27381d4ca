"""Return paths in SQL: one row for each attempt, by the digest of its token.

No foreign key: it would lock the message, which events lock in another order.
"""

import json
import secrets
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Engine, delete, func, select, text

from mailroom.adapters.postgres.delivery.earlier_attempts import EarlierAttemptRow
from mailroom.adapters.postgres.delivery.models import ReturnPathRow
from mailroom.adapters.postgres.engine import transaction
from mailroom.adapters.postgres.models import table
from mailroom.adapters.postgres.outbound.models import MessageRow
from mailroom.domain.delivery.events import OURS
from mailroom.domain.delivery.return_paths import TOKEN_BYTES, VALID_FOR, digest_of, token_of
from mailroom.ports.return_paths import AttemptMade

_paths, _messages = table(ReturnPathRow), table(MessageRow)
_attempts = table(EarlierAttemptRow)
_path, _message, _attempt = _paths.c, _messages.c, _attempts.c
#: Of a message that was sent again, the row has the newest attempt's provider or none.
_provider = func.coalesce(_attempt.provider, _message.provider).label("provider")

_ISSUE = text("""
    insert into return_path (digest, message_id, attempt, made_at)
    select decode(digest, 'hex'), message_id, attempt, :now
    from json_to_recordset(:rows) as given (digest text, message_id uuid, attempt int)
""")
#: Rows in one statement; the next hour deletes the rest.
_MOST = 20_000


class SqlReturnPaths:
    """The port `ReturnPaths` on PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def issue(self, attempts: Sequence[tuple[str, int]], *, now: datetime) -> list[str]:
        """Store a new token for each attempt, committed before this returns."""
        tokens = [token_of(secrets.token_bytes(TOKEN_BYTES)) for _ in attempts]
        rows = [
            {"digest": digest_of(token).hex(), "message_id": message_id, "attempt": attempt}
            for token, (message_id, attempt) in zip(tokens, attempts, strict=True)
        ]
        if rows:
            with transaction(self._engine, "commit of issue") as connection:
                connection.execute(_ISSUE, {"rows": json.dumps(rows), "now": now})
        return tokens

    def find(self, token: str, *, received_at: datetime) -> AttemptMade | None:
        """Return the attempt of a valid token, or None."""
        wanted = (
            select(_message.id, _path.attempt, _message.tenant, _message.recipient, _provider)
            .join_from(_paths, _messages, _message.id == _path.message_id)
            .outerjoin(_attempts, (_attempt.message_id == _path.message_id) & (_attempt.attempt == _path.attempt))
            .where(_path.digest == digest_of(token), _path.made_at >= received_at - VALID_FOR)
        )
        with transaction(self._engine) as connection:
            row = connection.execute(wanted).first()
        if row is None:
            return None
        return AttemptMade(str(row.id), row.attempt, row.tenant, row.recipient, row.provider or OURS)

    def forget(self, *, before: datetime) -> int:
        """Delete old tokens, at most `_MOST` at once."""
        old = select(_path.digest).where(_path.made_at < before).limit(_MOST)
        with transaction(self._engine) as connection:
            return connection.execute(delete(_paths).where(_path.digest.in_(old))).rowcount
