"""The block of the watch: dead-letter queues, and what waits in the tables."""

from collections.abc import Callable, Mapping, Sized
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, cast

from prefect.blocks.core import Block
from prefect_aws import AwsCredentials
from pydantic import Field

from blocks.database import MailroomDatabase
from blocks.support.credentials import client_in
from mailroom import wiring
from mailroom.domain.operations.regions import region_of
from mailroom.ports.monitoring import Monitoring
from mailroom.ports.seals import SealRecords


@dataclass(frozen=True, slots=True)
class Watching:
    """The ports of the watch; the size of each of `dead_letters`, by the queue's name, is its count of dead letters.

    `seals` is asked since when seals are behind.
    """

    watch: Monitoring
    dead_letters: Mapping[str, Sized]
    seals: Callable[[], Mapping[str, datetime]] = dict


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
    is_stamped: bool = Field(default=False, description="Seals get tokens of a time stamping authority.")
    is_witnessed: bool = Field(default=False, description="Seals are given to a witness.")
    storage_region: str = Field(
        default="", description="AWS region of queues whose URL has none; empty uses that of the credentials."
    )

    def open(self) -> Watching:
        """Return the ports of the watch."""
        letters = {name: wiring.dead_letters(self._client(url), url=url) for name, url in self.queues.items()}
        store = wiring.Store(self.database.open())
        return Watching(store.watch, letters, partial(self._seals_behind, store.seals))

    def _seals_behind(self, records: SealRecords) -> Mapping[str, datetime]:
        """Return since when the oldest waits: for its seal, and for a token or the witness if seals get them."""
        lag = records.lag()
        waits = {
            "unsealed": lag.unsealed,
            "unstamped": lag.unstamped if self.is_stamped else None,
            "unwitnessed": lag.unwitnessed if self.is_witnessed else None,
        }
        return {what: since for what, since in waits.items() if since is not None}

    def _client(self, url: str) -> Any:
        return client_in(region_of(url) or self.storage_region, self.credentials, "sqs")


async def open_watching(name: str = "mailroom") -> Watching:
    """Return the opened block `name`."""
    return cast(MailroomWatch, await MailroomWatch.aload(name)).open()
