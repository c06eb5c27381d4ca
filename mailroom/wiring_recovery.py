"""Builds the adapters of the installation's export and of a rebuild, which no mail needs; a part of `mailroom.wiring`."""

from functools import partial
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
from mailroom.settings import load_owner_url, load_settings
from mailroom.wiring import COMMAND, Installation, engine_of, parser


def exporting(s3: Any, engine: Engine, *, bucket: str, lock_mode: str) -> Exporting:
    """Return the ports of the installation's export; without MAILROOM_SEAL_KEY nothing is exported."""
    return Exporting(SqlExports(engine), S3Exports(s3, bucket=bucket, lock_mode=lock_mode), seal_key())


def rebuilding(opened: Installation) -> Rebuilding:
    """Return the ports that rebuild the installation's database from its archive.

    Raises:
        ConfigurationError: there is no MAILROOM_SEAL_KEY, without which no export can be trusted.
    """
    key, bucket = seal_key(), opened.settings.archive_bucket
    if key is None:
        raise ConfigurationError("a rebuild needs MAILROOM_SEAL_KEY, the key that signed the installation's exports")
    s3, owner = opened.archive_s3, owner_engine()
    return Rebuilding(
        objects=S3Archived(s3, bucket=bucket),
        rows=SqlRebuiltRows(owner),
        exports=S3Exports(s3, bucket=bucket, lock_mode=opened.settings.archive_lock_mode),
        exported=SqlExports(owner),
        archive=opened.stored_archive,
        parser=parser(),
        signer=key,
        recognise=partial(opened.restores.recognise, because="mailroom archive rebuild"),
    )


def owner_engine() -> Engine:
    """Return the database as the owner of its tables: the application's role cannot put back a journal."""
    return engine_of(load_owner_url(), COMMAND)


def seal_key() -> Ed25519SealKey | None:
    """Return the key that signs exports, or None if there is no MAILROOM_SEAL_KEY."""
    setting = load_settings().seal_key.get_secret_value()
    return Ed25519SealKey.read(setting) if setting else None
