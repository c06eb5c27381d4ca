"""An archive with two buckets on a strict double of Object Lock, and kills at crash points."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text

from mailroom.adapters.aws import archive_copies, archive_pieces, archive_s3, locked_objects, manifests_s3
from mailroom.adapters.aws.archive_s3 import S3Archive
from mailroom.adapters.aws.manifests_s3 import S3Manifests
from mailroom.adapters.postgres import engine as sql
from mailroom.adapters.postgres.archive.rules import SqlRetentionRules
from mailroom.archive import auditing
from mailroom.testing.strict_lock import StrictLockFake

FIRST, SECOND = "archive", "copies"


class Killed(BaseException):
    """The end of the process."""


@dataclass(frozen=True, slots=True)
class TwoPlaces:
    """Two buckets in two accounts and a database, as an administrator of all sees them."""

    engine: Engine
    first: Any
    second: Any

    def archive(self, *, copied: bool = True, first: Any = None, second: Any = None) -> S3Archive:
        return S3Archive(first or self.first, self.engine, bucket=FIRST, **self._how(second, copied=copied))

    def manifests(self, *, copied: bool = True, second: Any = None) -> S3Manifests:
        return S3Manifests(self.first, bucket=FIRST, **self._how(second, copied=copied))

    def _how(self, second: Any, *, copied: bool) -> dict[str, Any]:
        place = (second or self.second, SECOND) if copied else None
        return {"lock_mode": "COMPLIANCE", "rules": SqlRetentionRules(self.engine), "second": place}

    def stored(self) -> tuple[list[Any], list[Any]]:
        """Return the versions in both buckets."""
        places = ((self.first, FIRST), (self.second, SECOND))
        first, second = (s3.list_object_versions(Bucket=bucket).get("Versions", []) for s3, bucket in places)
        return first, second

    def rows(self, query: str) -> list[Any]:
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(query))]

    def copies(self) -> list[Any]:
        return self.rows("select place, bucket, version, lock_mode, retain_until from deposit_copy order by place")

    def kinds(self) -> list[str]:
        """Return what the journal of lives says happened, in order."""
        return [kind for (kind,) in self.rows("select kind from journal where stream = 'life' order by seq")]


def two_places(engine: Engine) -> TwoPlaces:
    first, second = StrictLockFake(owner="1" * 12), StrictLockFake(owner="2" * 12)
    first.create_bucket(Bucket=FIRST, ObjectLockEnabledForBucket=True)
    second.create_bucket(Bucket=SECOND, ObjectLockEnabledForBucket=True)
    return TwoPlaces(engine, first, second)


@contextmanager
def killed_at(point: str, *, passes: int = 0) -> Iterator[None]:
    """End the block at a crash point, after so many passes."""
    left = [passes]

    def crash_point(when: str, effect: str) -> None:
        if f"{when} {effect}" == point:
            if not left[0]:
                raise Killed
            left[0] -= 1

    with pytest.MonkeyPatch.context() as patched:
        for module in (archive_copies, archive_pieces, archive_s3, auditing, locked_objects, manifests_s3, sql):
            patched.setattr(module, "crash_point", crash_point)
        with pytest.raises(Killed):
            yield


def email_with(both: TwoPlaces, *archive_ids: str) -> str:
    """Add a received e-mail with these deposits, and return its id."""
    email_id = str(uuid4())
    with both.engine.begin() as connection:
        connection.execute(
            text(
                "insert into inbound_email (id, bucket, key, version, message_id, state, facts, attempts, deaths,"
                " archive_ids, tenants, received_at) values (cast(:id as uuid), 'in', cast(:key as text), '', cast(:key as text), 'filed', '{}', 1, 0, :kept, '{acme}', now())"
            ),
            {"id": email_id, "key": email_id, "kept": list(archive_ids)},
        )
    return email_id
