"""The block of outbound mail: the ports that its flows work with."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, cast

from prefect.blocks.core import Block
from prefect.settings import PREFECT_API_URL
from pydantic import Field, SecretStr
from sqlalchemy import Engine

from blocks.archive import LegalArchive
from blocks.database import MailroomDatabase
from blocks.provider import Provider
from blocks.support.block_cache import BlockCache
from blocks.support.bounce_domain import bounce_domain
from blocks.support.regions import refuse_block_outside
from mailroom import wiring
from mailroom.adapters.postgres.operations.restores import SqlRestores
from mailroom.adapters.postgres.outbound.order_runs import SqlOrderRuns
from mailroom.adapters.postgres.outbound.outbox import SqlOutbox
from mailroom.adapters.postgres.outbound.terms import SqlTerms
from mailroom.adapters.postgres.tenants.senders import SqlSenders
from mailroom.domain.delivery.tracked_links import Tracker
from mailroom.domain.delivery.unsubscribe import unsubscribe_url
from mailroom.outbound.dispatching import Outbound
from mailroom.ports.provider import MailProvider
from mailroom.wiring import Store


class OutboundMail(Block):
    """The outbound side of Mailroom: database, archive and providers.

    Example:
        ```python
        from blocks import OutboundMail

        outbound = await (await OutboundMail.aload("outbound")).open()
        ```
    """

    _block_type_name = "Mailroom outbound"
    _block_type_slug = "mailroom-outbound"
    _description = "The providers that send mail, and the rate limit for those that do not report one."

    provider: str = Field(
        default="mailroom-provider-ses/default", description="Block of the provider, as <block type>/<name>."
    )
    second: str = Field(
        default="", description="Block of a second provider, for mail that the first does not support; empty for none."
    )
    per_second: float = Field(
        default=10.0, gt=0, description="Mails a second if the provider does not report its rate."
    )
    recipient_retry_hours: int = Field(
        default=96, ge=1, le=720, description="Hours for which a recipient's server that takes no mail is tried again."
    )
    archive: LegalArchive = Field(description="Archive to read attachments given by archive_id.")
    database: MailroomDatabase = Field(description="Mailroom's database.")
    public_url: str = Field(default="", description="Public https URL of Mailroom's HTTP service, for links in mails.")
    tracking_url: str = Field(default="", description="The same for tracked links; may be http on a laptop.")
    unsubscribe_key: SecretStr | None = Field(
        default=None, description="Key that signs links in mails: unsubscribe, opens and clicks."
    )

    @property
    def provider_names(self) -> list[str]:
        """The names of its providers' blocks, in order of preference."""
        return [self.provider, *filter(None, [self.second])]

    async def open(self) -> Outbound:
        """Return the ports of the outbound flows."""
        return wiring.outbound(
            self.database.open(),
            [await _provider(name) for name in self.provider_names],
            per_second=self.per_second,
            recipient_retry_hours=self.recipient_retry_hours,
            prefect_api_url=str(PREFECT_API_URL.value()),
            outside=self.archive.counter(),
            check_database=self.database.check,
            bounce_domain=bounce_domain(),
            archive=self.archive.open("send"),
            leave_url=self._leave_url(),
            tracker=self._tracker(),
        )

    async def refuse_outside(self) -> None:
        """Return if data may be stored in everything that this block and its providers name.

        Raises:
            ConfigurationError: one is outside the allowed regions, such as a provider in the US; the message names it.
        """
        url = self.database.url.get_secret_value()
        refuse_block_outside("outbound", clients=[self.archive.client()], database_url=url)
        for name in filter(None, self.provider_names):
            refuse_block_outside(name, providers=[cast(Provider, await Block.aload(name)).endpoint()])

    def restores(self, engine: Engine) -> SqlRestores:
        """Return the detector of database restores."""
        return Store(engine).restores(self.archive.counter())

    def _tracker(self) -> Tracker | None:
        if not self.tracking_url or self.unsubscribe_key is None:
            return None
        return Tracker(base=self.tracking_url, key=self.unsubscribe_key.get_secret_value().encode())

    def _leave_url(self) -> Callable[[str], str] | None:
        if not self.public_url or self.unsubscribe_key is None:
            return None
        return partial(_unsubscribe_url, self.public_url, self.unsubscribe_key.get_secret_value().encode())


def _unsubscribe_url(base: str, key: bytes, message_id: str) -> str:
    return unsubscribe_url(base, message_id, key=key)


class SubmissionPorts(NamedTuple):
    """The ports that submit a batch."""

    outbox: SqlOutbox
    senders: SqlSenders
    terms: SqlTerms


class OrderPorts(NamedTuple):
    """The ports of the sweep of outbound mail."""

    outbox: SqlOutbox
    runs: SqlOrderRuns


async def open_submission(name: str = "outbound") -> SubmissionPorts:
    """Return the ports that submit batches through the block `name`."""
    block = cast(OutboundMail, await OutboundMail.aload(name))
    engine = block.database.open()
    store = Store(engine)
    return SubmissionPorts(store.guarded_outbox(block.restores(engine)), store.senders, store.terms)


async def open_orders(name: str = "outbound") -> OrderPorts:
    """Return the outbox of the block `name`, and the record of which run has which order.

    Waiting messages of a restored database are held first: its runs belong to the database before the restore.
    """
    block = cast(OutboundMail, await OutboundMail.aload(name))
    engine = block.database.open()
    restores = block.restores(engine)
    await asyncio.to_thread(restores.look)
    store = Store(engine)
    return OrderPorts(store.guarded_outbox(restores), store.order_runs)


async def _provider(name: str) -> MailProvider:
    return cast(Provider, await Block.aload(name)).open()


async def refuse_providers_outside(name: str = "outbound") -> None:
    """Return if data may be stored in the block `name` and its providers; a block that does not exist yet passes.

    Raises:
        ConfigurationError: one is outside the allowed regions; the message names it.
    """
    try:
        await cast(OutboundMail, await OutboundMail.aload(name)).refuse_outside()
    except ValueError:
        return


async def _load(name: str) -> tuple[OutboundMail, list[Block]]:
    """Return the block and the provider blocks that it names: changes in those count as well."""
    block = cast(OutboundMail, await OutboundMail.aload(name))
    return block, [await Block.aload(provider) for provider in block.provider_names]


async def _open(loaded: tuple[OutboundMail, list[Block]]) -> Outbound:
    await loaded[0].refuse_outside()
    return await loaded[0].open()


_opened = BlockCache(_load, _open)


async def check_outbound(what: str, name: str = "outbound") -> None:
    """Run the check `what` (one of `Outbound.checks`); after a failure the next use loads the block again."""
    try:
        await asyncio.to_thread((await open_outbound(name)).checks[what])
    except Exception:
        _opened.suspect(name)
        raise


async def open_outbound(name: str = "outbound") -> Outbound:
    """Return the opened block `name`; changes made in the UI, also to its providers, take effect within ten seconds."""
    return await _opened.open(name)
