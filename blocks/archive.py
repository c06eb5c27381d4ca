"""The block of the legal archive."""

from typing import Any, Literal

from prefect.blocks.core import Block
from prefect_aws import AwsCredentials
from pydantic import Field

from blocks.database import MailroomDatabase
from blocks.support.credentials import bucket_client
from mailroom import wiring
from mailroom.adapters.aws.archive_copies import ArchiveCopies
from mailroom.adapters.aws.counter_s3 import S3Counter
from mailroom.adapters.recovery import exporting
from mailroom.archive.access import JournalledArchive, JournalledManifests, Reader
from mailroom.archive.exporting import Exporting
from mailroom.archive.sealing import Sealing
from mailroom.ports.manifests import Manifests
from mailroom.settings import load_archive_account, load_settings


class LegalArchive(Block):
    """The legal electronic archive (SAE): S3 with Object Lock, receipts in SQL.

    Example:
        ```python
        from blocks import LegalArchive

        archive = LegalArchive.load("archive").open()
        ```
    """

    _block_type_name = "Mailroom archive"
    _block_type_slug = "mailroom-archive"
    _description = "The legal electronic archive: write-once deposits keyed by content."

    credentials: AwsCredentials = Field(
        description="Credentials that may put, read and list objects and versions, but not delete them."
    )
    database: MailroomDatabase = Field(description="Database of the archive receipts.")
    bucket: str = Field(description="Bucket with Object Lock enabled.")
    account: str = Field(
        default="", description="AWS account that owns the bucket; empty uses the settings of the process."
    )
    region: str = Field(default="", description="AWS region of the bucket; empty uses that of the credentials.")
    lock_mode: Literal["GOVERNANCE", "COMPLIANCE"] = Field(
        default="COMPLIANCE",
        description="With COMPLIANCE not even the account's root user can delete. The archive's rules say until when.",
    )
    copy_bucket: str = Field(default="", description="Bucket of second copies, made as the first; empty is none.")
    copy_account: str = Field(default="", description="AWS account that owns it; empty is that of the first bucket.")
    copy_region: str = Field(default="", description="AWS region of it; empty is that of the first bucket.")
    copy_credentials: AwsCredentials | None = Field(
        default=None, description="Credentials that write second copies; by default those of the first bucket."
    )
    auditor: AwsCredentials | None = Field(
        default=None, description="Credentials that only read the archive, for checks; by default those that write it."
    )
    audit_mb: int = Field(
        default=10_000, ge=1, description="MiB of the archive that the flow audit reads again in a run."
    )
    eliminator: AwsCredentials | None = Field(
        default=None,
        description="Credentials that may delete versions whose lock has ended; by default those that write.",
    )

    def client(self, credentials: AwsCredentials | None = None) -> Any:
        """Return a client for the bucket, in its region and of its account; by default one that writes."""
        return bucket_client(self.region, credentials or self.credentials, owner=self._owner)

    def copy_client(self, credentials: AwsCredentials | None = None) -> Any:
        """Return a client for the bucket of second copies; by default one that writes."""
        found = credentials or self.copy_credentials or self.credentials
        return bucket_client(self.copy_region or self.region, found, owner=self.copy_account or self._owner)

    def clients(self) -> list[Any]:
        """Return a client for each bucket that has copies."""
        return [self.client(), *([self.copy_client()] if self.copy_bucket else [])]

    def counter(self) -> S3Counter:
        """Return the installation's counter, an object without a lock in the archive's bucket."""
        return wiring.counter(self.client(), bucket=self.bucket)

    def open(self, purpose: str = "command") -> JournalledArchive:
        """Return the archive; reads are journalled as the worker's, with this purpose."""
        return wiring.archive(self.client(), self._store, Reader("worker", purpose), **self._locked())

    def open_copies(self) -> ArchiveCopies:
        """Return the copies of deposits, to repair, extend and hold them, and with them those of manifests and seals."""
        return wiring.stored_archive(self.client(), self._store, **self._locked()).copies

    def open_manifests(self) -> Manifests:
        """Return the manifests: one for each mail and tenant, stored beside the deposits. Reads are journalled as the worker's."""
        store = self._store
        kept = wiring.manifests(self.client(), store, **self._locked())
        return JournalledManifests(kept, store.journal, Reader("worker", "process"))

    def open_exporting(self) -> Exporting:
        """Return the ports of the installation's export, which is kept in the bucket too."""
        key, engine = load_settings().seal_key.get_secret_value(), self.database.open()
        return exporting(self.client(), engine, bucket=self.bucket, lock_mode=self.lock_mode, key=key)

    def open_sealing(self, *, key: str, before: str, authorities: str, witness: Any) -> Sealing:
        """Return the ports of sealing: seals are kept beside the deposits."""
        store, how = self._store, {"key": key, "before": before, "authorities": authorities, "witness": witness}
        return wiring.sealing(self.client(), store.seals, store.retention_rules, **self._locked(), **how)

    @property
    def _owner(self) -> str:
        return self.account or load_archive_account()

    @property
    def _store(self) -> wiring.Store:
        return wiring.Store(self.database.open())

    def _locked(self) -> dict[str, Any]:
        second = (self.copy_client(), self.copy_bucket) if self.copy_bucket else None
        return {"bucket": self.bucket, "lock_mode": self.lock_mode, "second": second}
