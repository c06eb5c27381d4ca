"""Prefect blocks: typed settings and secrets that an operator edits in the UI. Each `open()` returns a port; none decides anything.

`prefect block register -m blocks` registers exactly what is listed here; providers are listed by
their rows in `mailroom.domain.outbound.providers`.
"""

from pkgutil import resolve_name

from blocks.archive import LegalArchive
from blocks.database import MailroomDatabase
from blocks.inbound import InboundMail
from blocks.outbound import OutboundMail
from blocks.seals import JournalSeals
from blocks.watch import MailroomWatch
from mailroom.domain.outbound.providers import REGISTRY

_PROVIDERS: dict[str, type] = {row.block.partition(":")[2]: resolve_name(row.block) for row in REGISTRY if row.block}
globals().update(_PROVIDERS)

__all__ = ["InboundMail", "JournalSeals", "LegalArchive", "MailroomDatabase", "MailroomWatch", "OutboundMail"]
__all__ += sorted(_PROVIDERS)
