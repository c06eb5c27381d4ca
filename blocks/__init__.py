"""Prefect blocks: typed settings and secrets that an operator edits in the UI. Each `open()` returns a port; none decides anything.

`prefect block register -m blocks` registers exactly what is listed here.
"""

from blocks.archive import LegalArchive
from blocks.database import MailroomDatabase
from blocks.inbound import InboundMail
from blocks.outbound import OutboundMail
from blocks.provider_folder import FolderProvider
from blocks.provider_postmark import PostmarkProvider
from blocks.provider_sendgrid import SendGridProvider
from blocks.provider_ses import SesProvider
from blocks.provider_smtp import SmtpProvider
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
