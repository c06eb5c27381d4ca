"""The port `ApiKeys` in memory."""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from mailroom.domain.api_keys import key_digest
from mailroom.domain.errors import Conflict
from mailroom.ports.api_keys import MOST_LIVE, Holder, KeyLine, KeyState, NewKey
from mailroom.ports.inbox_reader import Page, Position
from mailroom.ports.trail import NewEntry, Trail
from mailroom.testing.trail import MemoryTrail

_NOTED = timedelta(minutes=1)


@dataclass(slots=True)
class MemoryKeys:
    """The port `ApiKeys`: over a dict from key to owner for keys that a test plants, and over lines for those that are added."""

    holders: dict[str, Holder] = field(default_factory=dict)
    lines: dict[str, KeyLine] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    trail: Trail = field(default_factory=MemoryTrail)

    def holder(self, sha256: str) -> Holder | None:
        """Return the owner of the key with this digest."""
        line = self._shown(self.lines.get(self.digests.get(sha256, "")))
        if line is not None:
            live = line.state is KeyState.ACTIVE
            return Holder(line.name, line.tenant, line.scopes, line.ends_at, line.id) if live else None
        return next((holder for key, holder in self.holders.items() if key_digest(key) == sha256), None)

    def used(self, key_ids: Collection[str]) -> None:
        """Record the use of these keys."""
        now = datetime.now(UTC)
        for line in [self.lines[one] for one in key_ids if one in self.lines]:
            if line.last_used_at is None or line.last_used_at < now - _NOTED:
                self.lines[line.id] = replace(line, last_used_at=now)

    def add(self, new: NewKey, entry: NewEntry | None = None) -> KeyLine:
        """Add a key."""
        live = [one for one in self._all(None) if one.tenant == new.tenant and one.state is KeyState.ACTIVE]
        if len(live) >= MOST_LIVE:
            raise Conflict("there are too many keys that have not ended")
        now = datetime.now(UTC)
        values = {"name": new.name, "tenant": new.tenant, "scopes": new.scopes, "ends_at": new.ends_at}
        line = KeyLine(
            id=str(uuid4()),
            state=KeyState.ACTIVE,
            created_at=now,
            made_by=new.made_by,
            starts=new.starts,
            **values,  # type: ignore[arg-type]
        )
        if entry is not None:
            self.trail.write(replace(entry, tenant=line.tenant, of=line.id))
        self.lines[line.id], self.digests[new.sha256] = line, line.id
        return line

    def all(self, tenant: str | None, *, after: Position | None, limit: int) -> Page[KeyLine]:
        """Return keys, the newest first."""
        lines = sorted(self._all(tenant), key=lambda line: (line.created_at, line.id), reverse=True)
        left = [line for line in lines if after is None or (line.created_at, line.id) < (after.received_at, after.id)]
        last = left[limit - 1] if len(left) > limit else None
        return Page(tuple(left[:limit]), Position(last.created_at, last.id) if last else None)

    def find(self, tenant: str | None, key_id: str) -> KeyLine | None:
        """Return one key."""
        return next((line for line in self._all(tenant) if line.id == key_id), None)

    def revoke(self, tenant: str | None, key_id: str, *, by: str) -> KeyLine | None:
        """Revoke a key."""
        line = self.find(tenant, key_id)
        if line is None or line.state is KeyState.REVOKED:
            return line
        self.lines[key_id] = replace(line, revoked_at=datetime.now(UTC), revoked_by=by)
        return self.find(tenant, key_id)

    def rotate(
        self, tenant: str | None, key_id: str, *, sha256: str, starts: str, overlap: timedelta, by: str
    ) -> tuple[KeyLine, KeyLine] | None:
        """Add a key like this one, which ends after `overlap`."""
        old = self.find(tenant, key_id)
        if old is None:
            return None
        if old.state is not KeyState.ACTIVE or old.replaced_by is not None:
            raise Conflict("this key is not active, or was rotated before")
        now = datetime.now(UTC)
        lasts = now + (old.ends_at - old.created_at) if old.ends_at is not None else None
        new = self.add(NewKey(old.name, old.tenant, old.scopes, lasts, sha256, starts, by))
        self.lines[key_id] = replace(old, ends_at=min(old.ends_at or now + overlap, now + overlap), replaced_by=new.id)
        return new, self._shown(self.lines[key_id]) or old

    def _all(self, tenant: str | None) -> list[KeyLine]:
        lines = [self._shown(line) for line in self.lines.values()]
        return [line for line in lines if line is not None and tenant in (None, line.tenant)]

    def _shown(self, line: KeyLine | None) -> KeyLine | None:
        """Return a line with its state now."""
        if line is None:
            return None
        has_ended = line.ends_at is not None and line.ends_at <= datetime.now(UTC)
        state = KeyState.REVOKED if line.revoked_at else KeyState.ENDED if has_ended else KeyState.ACTIVE
        return replace(line, state=state)
