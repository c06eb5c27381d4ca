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
from blocks.support.bounce_domain import bounce_domain
from blocks.support.credentials import bucket_client, client_in, for_one_try
from blocks.support.regions import refuse_block_outside
from blocks.support.sender_limit import sender_hourly_limit
from mailroom import wiring
from mailroom.domain.delivery.webhook_targets import WebhookTargets
from mailroom.domain.errors import ConfigurationError
from mailroom.domain.inbound.envelope_encryption import Forms
from mailroom.domain.operations.regions import region_of
from mailroom.ports.inbound import Inbound
from mailroom.settings import load_inbound_prefixes


class InboundMail(Block):
    """The inbound side of Mailroom: bucket, key, archive and database.

    Example:
        ```python
        from blocks import InboundMail

        inbound = InboundMail.load("inbound").open()
        ```
    """

    _block_type_name = "Mailroom inbound"
    _block_type_slug = "mailroom-inbound"
    _description = "Where received e-mails are stored, and how they are decrypted, archived and filed."

    credentials: AwsCredentials = Field(description="Credentials that may read received objects and use the KMS key.")
    account_id: str = Field(description="AWS account in which SES receives; objects of other accounts are refused.")
    kms_key_arn: str = Field(description="The only KMS key that may unwrap data keys.")
    rules: list[str] = Field(
        default_factory=list, description="Receipt rules whose objects are accepted; empty accepts any rule."
    )
    client_prefixes: list[str] = Field(
        default_factory=list, description="Key prefixes for objects written by S3 Encryption Clients; none by default."
    )
    client_context: dict[str, str] = Field(
        default_factory=dict,
        description="Required entries of the KMS encryption context of such objects; {message_id} and {key} are "
        "replaced by the object's own.",
    )
    legacy_encryption: bool = Field(
        default=False,
        description="Also read unauthenticated encryption (AES-CBC) under those prefixes. Only for a migration.",
    )
    master_key: SecretStr | None = Field(
        default=None, description="AES key in base64 for objects of first-generation clients; needs legacy_encryption."
    )
    sse_kms_prefixes: list[str] = Field(
        default_factory=list, description="Key prefixes for objects that S3 encrypts with kms_key_arn."
    )
    plain_prefixes: list[str] = Field(
        default_factory=list, description="Key prefixes under which unencrypted objects are accepted."
    )
    scanner: str = Field(
        default="", description="ClamAV's socket, unix:/path or tcp:host:port; empty disables scanning."
    )
    private_webhooks: bool = Field(
        default=False,
        description="Allow webhooks at private addresses, any port and http; for a laptop only, never with tenants.",
    )
    webhook_ports: str = Field(
        default="443", description="Allowed ports of tenants' webhooks, separated by spaces or commas."
    )
    archive: LegalArchive = Field(description="Archive of raw e-mails and their parts.")
    database: MailroomDatabase = Field(description="Mailroom's database.")
    bucket: str = Field(default="", description="Bucket that SES writes to; sweep-inbound checks it.")
    bucket_account: str = Field(default="", description="AWS account that owns the bucket; empty uses account_id.")
    prefix: str = Field(default="in/", description="Key prefix of received e-mails in the bucket.")
    prefixes: list[str] | None = Field(
        default=None, description="Key prefixes of further receipt rules; unset uses the settings of the process."
    )
    queue_url: str = Field(
        default="", description="URL of the inbound queue; sweep-inbound puts lost e-mails on it again."
    )
    storage_region: str = Field(
        default="",
        description="AWS region of the bucket, and of a queue whose URL has none; empty uses that of the credentials.",
    )
    api_url: str = Field(default="", description="URL of Mailroom's pages, for links in the report of a run.")

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
            archive=self.archive.open("process"),
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
            bounce_domain=bounce_domain(),
            sender_hourly_limit=sender_hourly_limit(),
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
            clients=[*self.archive.clients(), self.client(), *(self._client(one, at) for one, at in regions.items())],
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
