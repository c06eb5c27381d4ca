"""The adapters of the installation's export and of a rebuild of its database, which no mail needs, put together."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import Engine

from mailroom.adapters.aws.archived_s3 import S3Archived
from mailroom.adapters.aws.exports_s3 import S3Exports
from mailroom.adapters.postgres.archive.exports import SqlExports
from mailroom.adapters.postgres.archive.rebuilt import SqlRebuiltRows
from mailroom.adapters.seal_key import Ed25519SealKey
from mailroom.archive.exporting import Exporting
from mailroom.archive.rebuilding import Rebuilding
from mailroom.domain.errors import ConfigurationError
from mailroom.ports.archive import Archive
from mailroom.ports.parser import Parser


def exporting(s3: Any, engine: Engine, *, bucket: str, lock_mode: str, key: str) -> Exporting:
    """Return the ports of the installation's export; without a `key` nothing is exported."""
    signer = Ed25519SealKey.read(key) if key else None
    return Exporting(SqlExports(engine), S3Exports(s3, bucket=bucket, lock_mode=lock_mode), signer)


def rebuilding(
    s3: Any,
    owner: Engine,
    *,
    bucket: str,
    second: tuple[Any, str] | None,
    lock_mode: str,
    key: str,
    before: str = "",
    archive: Archive,
    parser: Parser,
    recognise: Callable[[], object],
) -> Rebuilding:
    """Return the ports of a rebuild. `owner` is the database as the owner of its tables: no other role puts back a journal.

    Raises:
        ConfigurationError: there is no key, without which no export can be trusted.
    """
    if not key:
        raise ConfigurationError("a rebuild needs MAILROOM_SEAL_KEY, the key that signed the installation's exports")
    return Rebuilding(
        objects=S3Archived(s3, bucket=bucket),
        copies=S3Archived(second[0], bucket=second[1]) if second else None,
        rows=SqlRebuiltRows(owner),
        exports=S3Exports(s3, bucket=bucket, lock_mode=lock_mode),
        exported=SqlExports(owner),
        archive=archive,
        parser=parser,
        signer=Ed25519SealKey.read(key, before),
        recognise=recognise,
    )
