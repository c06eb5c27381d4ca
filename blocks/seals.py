"""The block of seals over the archive's journals."""

from typing import Any, cast

from prefect.blocks.core import Block
from prefect_aws import AwsCredentials
from pydantic import Field

from blocks.archive import LegalArchive
from blocks.support.credentials import bucket_client
from mailroom.archive.sealing import Sealing
from mailroom.settings import load_settings


class JournalSeals(Block):
    """What the flow seal works with. The key that signs is a setting of the worker, so that Prefect's database has it not.

    Example:
        ```python
        from blocks import JournalSeals

        sealing = JournalSeals.load("archive").open()
        ```
    """

    _block_type_name = "Mailroom seals"
    _block_type_slug = "mailroom-seals"
    _description = "Seals over the archive's journals: authorities of time stamps, and the witness."

    archive: LegalArchive = Field(description="The archive whose journals are sealed, and which keeps the seals.")
    authorities: str = Field(
        default="", description="Time stamping authorities, each ROOTS.pem=URL or ROOTS.pem=URL#POLICY; empty is none."
    )
    witness_credentials: AwsCredentials = Field(
        description="Credentials that may put, read and list objects and versions in the witness bucket."
    )
    witness_bucket: str = Field(default="", description="Bucket that gets a copy of each seal; empty is none.")
    witness_account: str = Field(default="", description="AWS account that owns the witness bucket.")
    witness_region: str = Field(default="", description="AWS region of the witness bucket.")

    def open(self) -> Sealing:
        """Return the ports of sealing.

        Raises:
            ConfigurationError: the key, or an authority, cannot be used.
        """
        settings = load_settings()
        key, before = settings.seal_key.get_secret_value(), settings.seal_keys_before
        return self.archive.open_sealing(key=key, before=before, authorities=self.authorities, witness=self.witness())

    def witness(self) -> tuple[Any, str] | None:
        """Return a client for the bucket of the witness, and its name; None without one."""
        if not self.witness_bucket:
            return None
        owner, credentials = self.witness_account, self.witness_credentials
        return bucket_client(self.witness_region, credentials, owner=owner), self.witness_bucket


async def open_sealing(name: str = "archive") -> Sealing:
    """Return the opened block `name`."""
    return cast(JournalSeals, await JournalSeals.aload(name)).open()
