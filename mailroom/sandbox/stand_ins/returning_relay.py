"""An SMTP relay of the sandbox: it accepts every mail, and returns it later, as one does whose next server refuses the recipient.

The report has the form of RFC 3464, the null sender, and goes to the mail's return path.
"""

import smtplib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

_NAME = "relay.mailroom.test"
_REPORT = """\
From: Mail Delivery System <MAILER-DAEMON@{relay}>
To: {sender}
Subject: Undelivered Mail Returned to Sender
Date: {date}
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary=returned

--returned
Content-Type: text/plain

The mail system of the recipient does not know this address.

--returned
Content-Type: message/delivery-status

Reporting-MTA: dns; {relay}

Final-Recipient: rfc822; {recipient}
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 no such mailbox

--returned
Content-Type: text/rfc822-headers

{headers}

--returned--
"""


# Without slots: aiosmtpd inspects all members of its handler.
@dataclass
class ReturningRelay:
    """The envelopes accepted so far."""

    accepted: list[Envelope] = field(default_factory=list)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        """Accept the mail."""
        self.accepted.append(envelope)
        return "250 2.0.0 OK"

    def return_all(self, host: str, port: int) -> None:
        """Send the report of each mail to the server that receives for its return path.

        Raises:
            OSError, smtplib.SMTPException: it was not accepted there.
        """
        with smtplib.SMTP(host, port, timeout=30) as smtp:
            for envelope in self.accepted:
                smtp.sendmail("", [str(envelope.mail_from)], _report(envelope))
        self.accepted.clear()


def _report(envelope: Envelope) -> bytes:
    headers = bytes(envelope.original_content or b"").partition(b"\r\n\r\n")[0].decode("utf-8", "replace")
    text = _REPORT.format(
        relay=_NAME,
        sender=envelope.mail_from,
        date=formatdate(),
        recipient=envelope.rcpt_tos[0],
        headers=headers.replace("\r\n", "\n"),
    )
    return text.replace("\n", "\r\n").encode()


@contextmanager
def returning_relay(port: int) -> Iterator[ReturningRelay]:
    """Run one on the loopback interface."""
    relay = ReturningRelay()
    controller = Controller(relay, hostname="127.0.0.1", port=port, enable_SMTPUTF8=True)
    controller.start()
    try:
        yield relay
    finally:
        controller.stop()
