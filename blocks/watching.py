"""What the watch looks at: the queues' dead letters, and what waits in the tables."""

from collections.abc import Mapping, Sized
from dataclasses import dataclass
from typing import cast

from prefect.blocks.core import Block
from prefect_aws import AwsCredentials
from pydantic import Field

from blocks.database import MailroomDatabase
from mailroom.adapters.dead_letters import DeadLetters
from mailroom.adapters.sql.watching import SqlWatch
from mailroom.watching import Watch


@dataclass(frozen=True, slots=True)
class Watching:
    """Everything that the watch looks at; the length of each of `dead_letters`, by the queue's name, is their count."""

    watch: Watch
    dead_letters: Mapping[str, Sized]


class MailroomWatch(Block):
    """What is looked at every few minutes, so that nobody has to.

    Example:
        ```python
        from blocks import MailroomWatch

        watching = MailroomWatch.load("mailroom").open()
        ```
    """

    _block_type_name = "Mailroom watch"
    _block_type_slug = "mailroom-watch"
    _description = "Queues and tables that the watch looks at."

    credentials: AwsCredentials = Field(description="Credentials that may read the queues' attributes.")
    database: MailroomDatabase = Field(description="Mailroom's database.")
    queues: dict[str, str] = Field(description="URLs of the queues whose dead letters are counted, by name.")

    def open(self) -> Watching:
        """Return what is looked at."""
        sqs = self.credentials.get_client("sqs")
        letters = {name: DeadLetters(sqs, url=url) for name, url in self.queues.items()}
        return Watching(SqlWatch(self.database.open()), letters)


async def open_watching(name: str = "mailroom") -> Watching:
    """Return the opened block `name`."""
    return cast(MailroomWatch, await MailroomWatch.aload(name)).open()
