"""Prefect blocks: typed settings and secrets that an operator edits in the UI. Each `open()` returns a port; none decides anything.

`prefect block register -m blocks` registers exactly what is listed here.
"""

from blocks.archive import LegalArchive
from blocks.database import MailroomDatabase
from blocks.inbound import InboundMail
from blocks.provider_smtp import FolderProvider, PostmarkProvider, SendGridProvider, SesProvider, SmtpProvider
from blocks.sending import OutboundMail
from blocks.watch import MailroomWatch

__all__ = [
    "FolderProvider",
    "InboundMail",
    "LegalArchive",
    "MailroomDatabase",
    "MailroomWatch",
    "OutboundMail",
    "PostmarkProvider",
    "SendGridProvider",
    "SesProvider",
    "SmtpProvider",
]
