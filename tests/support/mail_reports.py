"""What comes back by mail, in the forms of well-known servers: for tests of reports. All names and texts are our own.

`{path}` is the return path, `{to}` the recipient, `{id}` our message id.
"""

TO = "anna@users.test"

_RETURNED = """\
Return-Path: <{path}>
X-Correlation-ID: {id}
From: Desk <desk@acme.test>
To: {to}
Subject: Your invoice
Message-ID: <{id}@acme.test>
"""


def report(
    groups: str,
    *,
    server: str = "mx.relay.test",
    whole: str = "",
    more: str = "",
    kind: str = "message/delivery-status",
    text: str = "Your message could not be delivered.",
) -> str:
    """Return a multipart/report with these fields of recipients; `more` are headers of the mail, `whole` fields on all of it."""
    return (
        f"From: MAILER-DAEMON@{server}\nTo: {{path}}\nSubject: Undelivered Mail Returned to Sender\n{more}"
        "MIME-Version: 1.0\nContent-Type: multipart/report; report-type=delivery-status; boundary=edge\n\n"
        f"--edge\nContent-Type: text/plain\n\n{text}\n\n"
        f"--edge\nContent-Type: {kind}\n\nReporting-MTA: dns; {server}\n{whole}\n{groups}\n"
        f"--edge\nContent-Type: text/rfc822-headers\n\n{_RETURNED}\n--edge--\n"
    )


POSTFIX = report(
    "Final-Recipient: rfc822; {to}\nOriginal-Recipient: rfc822;{to}\nAction: failed\nStatus: 5.1.1\n"
    "Remote-MTA: dns; mx.users.test\n"
    "Diagnostic-Code: smtp; 550 5.1.1 <{to}>: Recipient address rejected: User\n    unknown in relay recipient table\n",
    whole="X-Postfix-Queue-ID: 4F1A2B3C4D\nX-Postfix-Sender: rfc822; {path}\nArrival-Date: Sun, 22 Nov 2026 09:30:00 +0000\n",
    more="Auto-Submitted: auto-replied\n",
)
POSTFIX_DELAY = report(
    "Final-Recipient: rfc822; {to}\nAction: delayed\nStatus: 4.4.1\n"
    "Diagnostic-Code: X-Postfix; connect to mx.users.test[192.0.2.7]:25: Connection timed out\n"
    "Will-Retry-Until: Fri, 27 Nov 2026 09:30:00 +0000\n"
)
POSTFIX_GAVE_UP = report(
    "Final-Recipient: rfc822; {to}\nAction: failed\nStatus: 4.4.1\n"
    "Diagnostic-Code: X-Postfix; connect to mx.users.test[192.0.2.7]:25: Connection timed out\n"
)
EXIM = report(
    "Action: failed\nFinal-Recipient: rfc822;{to}\nStatus: 5.0.0\nRemote-MTA: dns; mx.users.test\n"
    "Diagnostic-Code: smtp; 550 5.1.1 no such user here\n",
    more="Auto-Submitted: auto-replied\nX-Failed-Recipients: {to}\n",
)
EXCHANGE = report(
    "Original-Recipient: rfc822;{to}\nFinal-Recipient: rfc822;{to}\nAction: failed\nStatus: 5.1.10\n"
    "Diagnostic-Code: smtp;550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup\n"
    "X-Display-Name: Anna\n",
    server="AB1PR01MB1234.exchange.test",
    more="X-MS-Exchange-Message-Is-Ndr:\nAuto-Submitted: auto-replied\n",
)
EXCHANGE_FULL = report(
    "Final-Recipient: rfc822;{to}\nAction: failed\nStatus: 5.2.2\n"
    "Diagnostic-Code: smtp;554 5.2.2 mailbox full; STOREDRV.Deliver.Exception\n",
)
GMAIL = report(
    "Final-Recipient: rfc822; {to}\nAction: failed\nStatus: 5.1.1\nRemote-MTA: dns; gmail-smtp-in.l.google.test. (192.0.2.9)\n"
    "Diagnostic-Code: smtp; 550-5.1.1 The email account that you tried to reach does not exist. Please\n"
    " 550-5.1.1 double-check the address for typos.\n 550 5.1.1 NoSuchUser x1-20020a05 - gsmtp\n"
    "Last-Attempt-Date: Sun, 22 Nov 2026 01:30:01 -0800 (PST)\n",
    server="googlemail.test",
    more="Auto-Submitted: auto-replied\nX-Failed-Recipients: {to}\nReferences: <{id}@acme.test>\n",
)
GMAIL_DELAY = report(
    "Final-Recipient: rfc822; {to}\nAction: delayed\nStatus: 4.4.2\n"
    "Diagnostic-Code: smtp; The recipient server did not accept our requests to connect.\n"
    "Will-Retry-Until: Wed, 25 Nov 2026 09:30:01 -0800 (PST)\n",
    more="Auto-Submitted: auto-replied\nX-Failed-Recipients: {to}\n",
)
BLOCKED = report(
    "Final-Recipient: rfc822; {to}\nAction: failed\nStatus: 5.7.1\n"
    "Diagnostic-Code: smtp; 554 5.7.1 Service unavailable; client host blocked using a block list\n"
)
NO_DOMAIN = report(
    "Final-Recipient: rfc822; {to}\nAction: failed\nStatus: 5.4.4\n"
    "Diagnostic-Code: X-Postfix; Host or domain name not found. Name service error for name=users.test type=AAAA: Host not\n"
    " found\n"
)
DELIVERED = report("Final-Recipient: rfc822; {to}\nAction: delivered\nStatus: 2.0.0\n")
RELAYED = report("Final-Recipient: rfc822; {to}\nAction: relayed (to non-DSN-aware mailer)\nStatus: 2.0.0\n")
EXPANDED = report("Final-Recipient: rfc822; {to}\nAction: expanded\nStatus: 2.0.0\n")
FORWARDED = report(
    "Final-Recipient: rfc822; somebody.else@elsewhere.test\nAction: failed\nStatus: 5.1.1\n"
    "Diagnostic-Code: smtp; 550 5.1.1 unknown\n"
)
GLOBAL = report(
    "Final-Recipient: utf-8; {to}\nAction: failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550 5.1.1 unknown\n",
    kind="message/global-delivery-status",
)
#: An alias of two people who were here, one of them is no longer: the alias itself takes mail.
OF_AN_ALIAS = report(
    "Final-Recipient: rfc822; left@users.test\nAction: failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550 5.1.1 unknown\n\n"
    "Final-Recipient: rfc822; here@users.test\nAction: delivered\nStatus: 2.0.0\n"
)
OURS_AMONG_OTHERS = report(
    "Final-Recipient: rfc822; other@users.test\nAction: delivered\nStatus: 2.0.0\n\n"
    "Original-Recipient: rfc822;Anna@Users.test\nFinal-Recipient: rfc822; inner@users.test\nAction: failed\nStatus: 5.1.1\n"
)
QMAIL = """\
From: MAILER-DAEMON@qmail.test
To: {path}
Subject: failure notice

Hi. This is the qmail-send program at qmail.test.
I'm afraid I wasn't able to deliver your message to the following addresses.
This is a permanent error; I've given up. Sorry it didn't work out.

<{to}>:
192.0.2.7 does not like recipient.
Remote host said: 550 5.1.1 unknown
Giving up on 192.0.2.7.

--- Below this line is a copy of the message.

"""
OLD_EXIM = """\
From: Mail Delivery System <Mailer-Daemon@exim.test>
To: {path}
Subject: Mail delivery failed: returning message to sender
Auto-Submitted: auto-replied
X-Failed-Recipients: {to}

This message was created automatically by mail delivery software.
A message that you sent could not be delivered to one or more of its
recipients. This is a permanent error. The following address(es) failed:

  {to}
    Unrouteable address
"""


def complaint(feedback: str, *, user_agent: str = "Yahoo!-Mail-Feedback/2.0") -> str:
    """Return a feedback report (ARF) of this type, with the recipient redacted as feedback loops do."""
    return (
        "From: feedback@arf.yahoo.test\nTo: {path}\nSubject: FW: Your invoice\nMIME-Version: 1.0\n"
        "Content-Type: multipart/report; report-type=feedback-report; boundary=edge\n\n"
        "--edge\nContent-Type: text/plain\n\nThis is an email abuse report.\n\n"
        f"--edge\nContent-Type: message/feedback-report\n\nFeedback-Type: {feedback}\nUser-Agent: {user_agent}\nVersion: 0.1\n"
        "Original-Mail-From: <{path}>\nOriginal-Rcpt-To: redacted@users.test\nReported-Domain: acme.test\n\n"
        "--edge\nContent-Type: message/rfc822\n\n" + _RETURNED + "\nIt is attached.\n--edge--\n"
    )


READ_RECEIPT = (
    "From: {to}\nTo: {path}\nSubject: Read: Your invoice\nMIME-Version: 1.0\n"
    "Content-Type: multipart/report; report-type=disposition-notification; boundary=edge\n\n"
    "--edge\nContent-Type: text/plain\n\nIt was shown.\n\n--edge\nContent-Type: message/disposition-notification\n\n"
    "Final-Recipient: rfc822;{to}\nDisposition: manual-action/MDN-sent-manually; displayed\n\n--edge--\n"
)
#: Quotes a refusal, and has the null sender that RFC 3834 recommends: it is no bounce.
OUT_OF_OFFICE = """\
From: Anna <{to}>
To: {path}
Subject: Automatic reply: Your invoice
Auto-Submitted: auto-replied
X-Auto-Response-Suppress: All

I am away until Monday. Mail to bob@users.test is refused with 550 5.1.1, write to carla@users.test.
"""
PERSON = """\
From: Anna <{to}>
To: {path}
Subject: Re: Your invoice
In-Reply-To: <{id}@acme.test>

Thank you! Why did you write from this address? My old one says 550 5.1.1.
"""


def filled(sample: str, *, path: str, to: str = TO, message_id: str = "11111111-2222-4333-8444-555555555555") -> bytes:
    """Return a sample as bytes on the wire."""
    named = sample.replace("{path}", path).replace("{to}", to).replace("{id}", message_id)
    return named.replace("\n", "\r\n").encode()
