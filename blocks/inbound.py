"""The block of inbound mail: the ports that its flows work with."""

import asyncio
import base64
from typing import Any, cast

from prefect.blocks.core import Block
from prefect_aws import AwsCredentials
from pydantic import Field, SecretStr

from blocks.archive import LegalArchive
from blocks.database import MailroomDatabase
from blocks.support.block_cache import BlockCache
from blocks.support.credentials import bucket_client, client_in, for_one_try
from blocks.support.regions import refuse_block_outside
from mailroom import wiring
from mailroom.domain.delivery.webhook_targets import WebhookTargets
from mailroom.domain.errors import ConfigurationError
from mailroom.domain.inbound.envelope import Forms
from mailroom.domain.operations.regions import region_of
from mailroom.ports.inbound import Inbound
from mailroom.settings import load_inbound_prefixes


class InboundMail(Block):
    """The inbound side of Mailroom: bucket, key, archive and database behind one name.

    Example:
        ```python
        from blocks import InboundMail

        inbound = InboundMail.load("inbound").open()
        ```
    """

    _block_type_name = "Mailroom inbound"
    _block_type_slug = "mailroom-inbound"
    _description = "Where received e-mails lie, how they are opened, archived and filed."

    credentials: AwsCredentials = Field(description="Credentials that may read received objects and use the key.")
    account_id: str = Field(description="AWS account that SES receives for; objects of others are refused.")
    kms_key_arn: str = Field(description="The only key that is used to unwrap data keys.")
    rules: list[str] = Field(
        default_factory=list, description="Receipt rules whose objects are accepted; empty accepts any rule."
    )
    client_prefixes: list[str] = Field(
        default_factory=list, description="Key prefixes under which S3 Encryption Clients may write; none by default."
    )
    client_context: dict[str, str] = Field(
        default_factory=dict,
        description="What the KMS context of such an object must have; {message_id} and {key} stand for the object's own.",
    )
    legacy_encryption: bool = Field(
        default=False, description="Read what nothing authenticates (AES-CBC) under those prefixes. Only to migrate."
    )
    master_key: SecretStr | None = Field(
        default=None, description="AES key in base64 for objects of first-generation clients, with legacy_encryption."
    )
    sse_kms_prefixes: list[str] = Field(
        default_factory=list, description="Key prefixes of objects that S3 itself encrypts under kms_key_arn."
    )
    plain_prefixes: list[str] = Field(
        default_factory=list, description="Key prefixes under which anything may lie unencrypted."
    )
    scanner: str = Field(default="", description="ClamAV's socket, unix:/path or tcp:host:port; empty scans nothing.")
    private_webhooks: bool = Field(
        default=False,
        description="Post to private addresses, to any port and over http too; for a laptop, never for tenants.",
    )
    webhook_ports: str = Field(
        default="443", description="Ports that tenants' webhooks may have, with blanks or commas between."
    )
    archive: LegalArchive = Field(description="Where raw e-mails and their parts are deposited.")
    database: MailroomDatabase = Field(description="Database of the ledger and the inboxes.")
    bucket: str = Field(default="", description="The bucket that SES writes to; the sweep looks through it.")
    bucket_account: str = Field(default="", description="AWS account that owns the bucket; empty is account_id.")
    prefix: str = Field(default="in/", description="Key prefix of received e-mails in it, at which reading is probed.")
    prefixes: list[str] | None = Field(
        default=None, description="Key prefixes of further receipt rules; unset is as the settings of the process say."
    )
    queue_url: str = Field(default="", description="The inbound queue; the sweep announces in it what was lost.")
    storage_region: str = Field(
        default="",
        description="AWS region of the bucket, and of a queue whose URL says none; empty is that of the credentials.",
    )
    api_url: str = Field(default="", description="Mailroom's pages, for links in the run's report.")

    def open(self) -> Inbound:
        """Return the ports of the inbound flows."""
        return wiring.inbound(
            wiring.InboundClients(
                s3=self.client(),
                kms=self._client("kms", region_of(self.kms_key_arn)),
                sqs=self._client("sqs", self._queue_region),
                sesv2=for_one_try(self.credentials, timeout_s=30).get_client("sesv2"),
            ),
            self.database.open(),
            archive=self.archive.open(),
            kms_key_arn=self.kms_key_arn,
            account_id=self.account_id,
            queue_url=self.queue_url,
            scanner=self.scanner,
            webhook_targets=self._webhook_targets(),
            probe=(self.bucket, f"{self.prefix}mailroom-probe"),
            check_database=self.database.check,
            manifests=self.archive.open_manifests(),
            bucket=self.bucket,
            prefixes=self._prefixes,
            rules=frozenset(self.rules) or None,
            forms=self._forms(),
            pages_url=self.api_url,
        )

    def client(self) -> Any:
        """Return a client for the bucket, in its region and of its account."""
        return bucket_client(self.storage_region, self.credentials, owner=self.bucket_account or self.account_id)

    def refuse_outside(self) -> None:
        """Return if data may be stored in everything that this block names.

        Raises:
            ConfigurationError: a name or endpoint is outside the allowed regions; the message names it.
        """
        regions = {
            "sqs": self._queue_region,
            "kms": region_of(self.kms_key_arn),
            "sesv2": "",
        }
        refuse_block_outside(
            "inbound",
            clients=[self.archive.client(), self.client(), *(self._client(one, at) for one, at in regions.items())],
            named=[self.kms_key_arn, self.queue_url],
            database_url=self.database.url.get_secret_value(),
        )

    @property
    def _queue_region(self) -> str:
        return region_of(self.queue_url) or self.storage_region

    @property
    def _prefixes(self) -> tuple[str, ...]:
        """Prefixes in the bucket under which mail may be stored: those of SES's receipt rules, and the one for other forms."""
        further = load_inbound_prefixes() if self.prefixes is None else self.prefixes
        return self.prefix, *further, *self.client_prefixes, *self.sse_kms_prefixes, *self.plain_prefixes

    def _client(self, service: str, region: str | None) -> Any:
        return client_in(region, self.credentials, service)

    def _webhook_targets(self) -> WebhookTargets:
        try:
            return WebhookTargets.read(self.webhook_ports, anywhere=self.private_webhooks)
        except ValueError as fault:
            raise ConfigurationError(f"webhook_ports of the block inbound: {fault}") from None

    def _forms(self) -> Forms:
        return Forms(
            clients=tuple(self.client_prefixes),
            context=self.client_context,
            legacy=self.legacy_encryption,
            master_key=base64.b64decode(self.master_key.get_secret_value()) if self.master_key else None,
            sse_kms=tuple(self.sse_kms_prefixes),
            plain=tuple(self.plain_prefixes),
        )


async def _load(name: str) -> InboundMail:
    return cast(InboundMail, await InboundMail.aload(name))


async def _open(block: InboundMail) -> Inbound:
    block.refuse_outside()
    return block.open()


_opened = BlockCache(_load, _open)


async def check_inbound(what: str, name: str = "inbound") -> None:
    """Run the check `what` (one of `Inbound.checks`); after a failure the next use opens the block again.

    An operator's fix in the block thus counts at the next check, without waiting for the cache.
    """
    try:
        await asyncio.to_thread((await open_inbound(name)).checks[what])
    except Exception:
        _opened.forget(name)
        raise


async def open_inbound(name: str = "inbound") -> Inbound:
    """Return the opened block `name`; changes made in the UI take effect within ten seconds."""
    return await _opened.open(name)
