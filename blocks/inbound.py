"""Everything an inbound e-mail needs on its way."""

import time
from functools import cache
from typing import cast

from prefect.blocks.core import Block
from prefect_aws import AwsCredentials
from pydantic import Field

from blocks.archive import LegalArchive
from blocks.database import MailroomDatabase
from mailroom.adapters.kms import KmsKeys
from mailroom.adapters.parser_process import ParserProcess
from mailroom.adapters.s3 import S3MailStore
from mailroom.adapters.sql.directory import SqlDirectory
from mailroom.adapters.sql.inbox import SqlInbox
from mailroom.adapters.sql.ledger import SqlLedger
from mailroom.ports import Inbound

#: What an operator changes in the UI is used by a warm worker after this many seconds.
_FRESH_S = 300
_opened: dict[str, tuple[float, Inbound]] = {}


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
    archive: LegalArchive = Field(description="Where raw e-mails and their parts are deposited.")
    database: MailroomDatabase = Field(description="Database of the ledger and the inboxes.")
    api_url: str = Field(default="", description="Mailroom's pages, for links in the run's report.")

    def open(self) -> Inbound:
        """Return the ports of the inbound way."""
        engine = self.database.open()
        return Inbound(
            mails=S3MailStore(self.credentials.get_client("s3")),
            keys=KmsKeys(self.credentials.get_client("kms"), key_arn=self.kms_key_arn),
            archive=self.archive.open(),
            ledger=SqlLedger(engine),
            directory=SqlDirectory(engine),
            inbox=SqlInbox(engine),
            parser=_parser(),
            account_id=self.account_id,
            rules=frozenset(self.rules) or None,
            pages_url=self.api_url,
        )


@cache
def _parser() -> ParserProcess:
    """Return the one parser of this process: its children stay warm when the block is opened anew."""
    return ParserProcess()


async def open_inbound(name: str = "inbound") -> Inbound:
    """Return the opened block `name`, kept for five minutes so that a warm worker asks the server rarely."""
    known = _opened.get(name)
    if known is not None and time.monotonic() - known[0] < _FRESH_S:
        return known[1]
    block = cast(InboundMail, await InboundMail.aload(name))
    opened = block.open()
    _opened[name] = (time.monotonic(), opened)
    return opened
