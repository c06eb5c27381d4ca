"""The block of the legal archive."""

from typing import Any, Literal

from prefect.blocks.core import Block
from prefect_aws import AwsCredentials
from pydantic import Field

from blocks.database import MailroomDatabase
from blocks.support.credentials import bucket_client
from mailroom import wiring
from mailroom.adapters.aws.archive_s3 import S3Archive
from mailroom.adapters.aws.counter_s3 import S3Counter
from mailroom.archive.sealing import Sealing
from mailroom.ports.manifests import Manifests
from mailroom.settings import load_archive_account


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
        default="GOVERNANCE",
        description="Use COMPLIANCE in production: then not even the account's root user can delete.",
    )
    retention_days: int = Field(default=3650, ge=1, description="Days for which a deposit cannot be deleted.")

    def client(self) -> Any:
        """Return a client for the bucket, in its region and of its account."""
        return bucket_client(self.region, self.credentials, owner=self.account or load_archive_account())

    def counter(self) -> S3Counter:
        """Return the installation's counter, an object without a lock in the archive's bucket."""
        return wiring.counter(self.client(), bucket=self.bucket)

    def open(self) -> S3Archive:
        """Return the archive."""
        return wiring.archive(self.client(), self.database.open(), **self._locked)

    def open_manifests(self) -> Manifests:
        """Return the manifests: one for each mail and tenant, stored beside the deposits."""
        return wiring.manifests(self.client(), **self._locked)

    def open_sealing(self, *, key: str, authorities: str, witness: Any) -> Sealing:
        """Return the ports of sealing: seals are kept beside the deposits."""
        engine, how = self.database.open(), self._locked
        return wiring.sealing(engine, self.client(), key=key, authorities=authorities, witness=witness, **how)

    @property
    def _locked(self) -> dict[str, Any]:
        return {"bucket": self.bucket, "lock_mode": self.lock_mode, "days": self.retention_days}
