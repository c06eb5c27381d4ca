"""The block of the watch: dead-letter queues, and what waits in the tables."""

from collections.abc import Mapping, Sized
from dataclasses import dataclass
from typing import Any, cast

from prefect.blocks.core import Block
from prefect_aws import AwsCredentials
from pydantic import Field

from blocks.database import MailroomDatabase
from blocks.support.credentials import client_in
from mailroom import wiring
from mailroom.domain.operations.regions import region_of
from mailroom.ports.monitoring import Monitoring


@dataclass(frozen=True, slots=True)
class Watching:
    """The ports of the watch; the size of each of `dead_letters`, by the queue's name, is its count of dead letters."""

    watch: Monitoring
    dead_letters: Mapping[str, Sized]


class MailroomWatch(Block):
    """What the flow watch checks every five minutes.

    Example:
        ```python
        from blocks import MailroomWatch

        watching = MailroomWatch.load("mailroom").open()
        ```
    """

    _block_type_name = "Mailroom watch"
    _block_type_slug = "mailroom-watch"
    _description = "Queues and tables that the flow watch checks."

    credentials: AwsCredentials = Field(description="Credentials that may read the queues' attributes.")
    database: MailroomDatabase = Field(description="Mailroom's database.")
    queues: dict[str, str] = Field(description="URLs of the queues whose dead letters are counted, by name.")
    storage_region: str = Field(
        default="", description="AWS region of queues whose URL has none; empty uses that of the credentials."
    )

    def open(self) -> Watching:
        """Return the ports of the watch."""
        letters = {name: wiring.dead_letters(self._client(url), url=url) for name, url in self.queues.items()}
        return Watching(wiring.Store(self.database.open()).watch, letters)

    def _client(self, url: str) -> Any:
        return client_in(region_of(url) or self.storage_region, self.credentials, "sqs")


async def open_watching(name: str = "mailroom") -> Watching:
    """Return the opened block `name`."""
    return cast(MailroomWatch, await MailroomWatch.aload(name)).open()
