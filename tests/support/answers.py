"""Replies of SMTP servers, with what a person reads in them: the facts with their sources, and siblings of them.

One a line: phase, code, class (`/h`, `/s`: suppresses hard or soft), text with `\\n` between lines. Texts are as servers
write them, with example names.
"""

from typing import NamedTuple


class Reply(NamedTuple):
    """A reply, and what it means."""

    phase: str
    code: int
    kind: str
    suppress: str
    text: str


_SUPPRESS = {"": "none", "h": "hard", "s": "soft"}
_TEXTS = r"""
rcpt|550|daily_quota|5.4.5 Daily sending quota exceeded
after_dot|550|daily_quota|5.4.5 Daily user sending limit exceeded. For more information on Gmail\n5.4.5 sending limits go to\n5.4.5  https://support.google.com/a/answer/166852
rcpt|550|daily_quota|5.4.5 whatever
rcpt|554|account|5.7.1 <bob@example.com>: Relay access denied
rcpt|454|account|4.7.1 <bob@example.com>: Relay access denied
rcpt|553|sender|5.7.1 <a@acme.example>: Sender address rejected: not owned by user login@acme.example
rcpt|553|sender|5.7.1 <a@acme.example>: Sender address rejected: not logged in
mail|553|sender|5.7.1 sorry, your envelope sender is in my badmailfrom list (#5.7.1)
after_dot|451|daily_quota|4.3.0 Error: you sent more than 500 messages within a 24-hours period
rcpt|451|daily_quota|4.3.0 You have exceeded your limit within the last 24-hours
rcpt|550|recipient_permanent/h|5.1.1 <bob@example.com>: Recipient address rejected: User unknown in relay recipient table
rcpt|550|recipient_permanent/h|5.1.1 The email account that you tried to reach does not exist. Please try\n5.1.1 double-checking the recipient's email address for typos or\n5.1.1 unnecessary spaces. For more information, go to\n5.1.1  https://support.google.com/mail/?p=NoSuchUser 38308e7fff4ca-30 - gsmtp
rcpt|450|recipient_temporary|4.1.1 <bob@example.com>: Recipient address rejected: unverified address: Address lookup failed
rcpt|450|recipient_temporary|4.1.2 <bob@nosuch.example>: Recipient address rejected: Domain not found
rcpt|450|recipient_temporary|4.2.0 <bob@example.com>: Recipient address rejected: Greylisted, see http://postgrey.schweikert.ch/help/example.com.html
rcpt|451|recipient_temporary|4.7.1 Greylisting in action, please come back in 00:05:00
rcpt|450|throttled|4.7.1 Error: too much mail from 1.2.3.4
rcpt|421|throttled|4.7.0 mail.example.com Error: too many errors
rcpt|452|throttled|4.5.3 Too many recipients
rcpt|452|provider_temporary|4.3.1 Insufficient system storage
rcpt|452|recipient_temporary|4.2.2 The email account that you tried to reach is over quota. Please direct the recipient to
rcpt|552|recipient_permanent/s|5.2.2 The email account that you tried to reach is over quota
rcpt|552|recipient_temporary|Requested mail action aborted
rcpt|450|recipient_temporary|4.2.1 The user you are trying to contact is receiving mail too quickly. Please resend your message at a later time
rcpt|550|recipient_temporary|5.2.1 The user you are trying to contact is receiving mail at a rate that prevents additional messages from being delivered.
rcpt|550|recipient_permanent/h|5.2.1 The email account that you tried to reach is disabled. Learn more at
after_dot|421|throttled|4.7.28 [1.2.3.4] Our system has detected an unusual rate of\n4.7.28 unsolicited mail originating from your IP address. To protect our\n4.7.28 users from spam, mail sent from your IP address has been temporarily
after_dot|550|throttled|5.7.28 [1.2.3.4] Our system has detected an unusual rate of\n5.7.28 unsolicited mail originating from your IP address.
after_dot|550|content_refused|5.7.1 [1.2.3.4      12] Our system has detected that this message is\n5.7.1 likely unsolicited mail. To reduce the amount of spam sent to Gmail,\n5.7.1 this message has been blocked. Please visit
after_dot|550|sender|5.7.1 [1.2.3.4] Our system has detected that this message is\n5.7.1 likely suspicious due to the very low reputation of the sending domain.
after_dot|550|account|5.7.1 [1.2.3.4] Our system has detected that this message is\n5.7.1 likely suspicious due to the very low reputation of the sending IP address.
after_dot|550|sender|5.7.26 This mail has been blocked because the sender is unauthenticated.\n5.7.26 Gmail requires all senders to authenticate with either SPF or DKIM.
after_dot|550|account|5.7.25 [1.2.3.4] The IP address sending this message does not have a PTR record setup
after_dot|552|content_refused|5.7.0 This message was blocked because its content presents a potential security issue.
after_dot|550|daily_quota|5.7.1 Daily SMTP relay sending limit exceeded for customer.
rcpt|450|throttled|4.2.1 Peak SMTP relay limit exceeded for customer. This is a temporary error.
auth|535|account|5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant.
mail|530|account|5.7.57 Client not authenticated to send mail.
after_dot|554|sender|5.2.0 STOREDRV.Submission.Exception:SendAsDeniedException.MapiExceptionSendAsDenied; Failed to process message due to a permanent exception
after_dot|554|daily_quota|5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException; Failed to process message due to a permanent exception
after_dot|554|account|5.2.2 mailbox full; STOREDRV.Submission.Exception:QuotaExceededException.MapiExceptionShutoffQuotaExceeded
rcpt|550|daily_quota|5.1.90 Your message can't be sent because you've reached your daily limit for message recipients
rcpt|432|throttled|4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded
rcpt|432|recipient_temporary|4.3.2 STOREDRV.Deliver; recipient thread limit exceeded
rcpt|550|sender|5.1.8 Access denied, bad outbound sender AS(42003)
rcpt|550|recipient_permanent/h|5.4.1 Recipient address rejected: Access denied. AS(201806281) [DB5EUR01FT015.eop-EUR01.prod.protection.outlook.com]
rcpt|550|recipient_permanent/h|5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient bob@example.com not found by SMTP address lookup
rcpt|550|account|5.7.606 Access denied, banned sending IP [1.2.3.4]. To request removal from this list please visit https://sender.office.com/
mail|550|account|5.7.1 Unfortunately, messages from [1.2.3.4] weren't sent. Please contact your Internet service provider since part of their network is on our block list (S3140).
rcpt|451|throttled|4.7.650 The mail server [1.2.3.4] has been temporarily rate limited due to IP reputation.
rcpt|550|sender|5.7.515 Access denied, sending domain acme.example doesn't meet the required authentication level.
rcpt|550|sender|5.7.509 Access denied, sending domain acme.example does not pass DMARC verification
rcpt|550|recipient_permanent/s|5.7.133 RESOLVER.RST.SenderNotAuthenticatedForGroup; authentication required; Delivery restriction check failed
rcpt|421|throttled|4.7.0 [TSS04] Messages from 1.2.3.4 temporarily deferred due to unexpected volume or user complaints - 4.16.55.1; see https://postmaster.yahooinc.com/error-codes
rcpt|553|account|5.7.1 [TSS09] All messages from 1.2.3.4 will be permanently deferred; Retrying will NOT succeed. See https://postmaster.yahooinc.com
after_dot|554|recipient_permanent/h|delivery error: dd This user doesn't have a yahoo.com account (bob@yahoo.com) [-5] - mta1
after_dot|554|recipient_permanent/h|delivery error: dd Sorry your message to bob@yahoo.com cannot be delivered. This account has been disabled or discontinued [#102]. - mta1
after_dot|554|content_refused|5.7.9 Message not accepted for policy reasons. See https://postmaster.yahooinc.com/error-codes
rcpt|450|throttled|Requested mail action not taken: mailbox unavailable\nMail send limit exceeded. For explanation visit https://www.ionos.com/help/index.php?id=2425
rcpt|421|throttled|Rate limit reached. Please try again later.
rcpt|550|throttled|sorry, too many emails (#5.7.1)
rcpt|451|throttled|4.7.1 <a@acme.example>: Sender address rejected: Ratelimit "limit_out" exceeded
rcpt|451|throttled|4.7.1 Ratelimit 300/1h exceeded
rcpt|450|throttled|4.7.1 <a@acme.example>: Sender address rejected: 200 messages per hour exceeded
rcpt|554|throttled|5.7.1 <bob@example.com>: Recipient address rejected: Quota exceeded
after_dot|550|throttled|Domain acme.example has exceeded the max defers and failures per hour (5/5 (100%)) allowed. Message discarded.
rcpt|550|recipient_permanent/s|Requested action not taken: mailbox unavailable
rcpt|550|recipient_permanent/h|No such user here
rcpt|550|recipient_permanent/h|sorry, no mailbox here by that name. (#5.1.1)
rcpt|553|account|sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)
rcpt|550|recipient_permanent/h|Unrouteable address
rcpt|550|account|relay not permitted
rcpt|550|sender|Verification failed for <a@acme.example>\nNo Such User Here\nSender verify failed
rcpt|451|recipient_temporary|Temporary local problem - please try later
rcpt|550|recipient_permanent/s|Administrative prohibition
rcpt|554|account|5.7.1 Service unavailable; Client host [1.2.3.4] blocked using zen.spamhaus.org; https://www.spamhaus.org/query/ip/1.2.3.4
rcpt|504|account|5.5.2 <localhost>: Helo command rejected: need fully-qualified hostname
rcpt|450|sender|4.1.8 <a@acme.example>: Sender address rejected: Domain not found
rcpt|550|recipient_permanent/h|5.1.1 <throttle@relay-daily.example>: Recipient address rejected: User unknown in virtual mailbox table
rcpt|550|recipient_permanent/h|5.1.1 <bob@example.com>... User unknown, too many messages per day, account suspended, relay access denied
connect|554|account|5.7.1 no SMTP service here
connect|421|provider_temporary|4.3.2 Service not available, closing transmission channel
connect|421|throttled|4.7.0 Too many concurrent SMTP connections from this IP address; please try again later
ehlo|550|account|5.7.506 Access Denied, Bad HELO
auth|454|provider_temporary|4.7.0 Temporary authentication failure
auth|454|throttled|4.7.0 Too many login attempts, please try again later.
auth|432|account|4.7.12 A password transition is needed
mail|452|provider_temporary|4.3.1 Insufficient system resources
mail|552|content_refused|5.3.4 Message size exceeds fixed limit
mail|550|sender|5.1.0 <a@acme.example>: Sender address rejected: User unknown in local recipient table
mail|550|sender|Sender not allowed
data|550|daily_quota|5.7.1 Data command rejected: only 200 messages per day
data|451|provider_temporary|4.3.5 Server configuration problem
after_dot|451|recipient_temporary|4.7.1 Please try again later
after_dot|452|provider_temporary|4.3.1 Out of disk space
after_dot|552|content_refused|5.3.4 Message too big for system, limit exceeded
after_dot|554|content_refused|Transaction failed
after_dot|554|recipient_permanent/s|5.4.6 too many hops, limit exceeded
after_dot|454|throttled|Throttling failure: Maximum sending rate exceeded.
after_dot|454|daily_quota|Throttling failure: Daily message quota exceeded.
after_dot|554|sender|Message rejected: Email address is not verified. The following identities failed the check in region EU-WEST-1: acme.example
after_dot|554|account|Access denied: User `arn:aws:iam::123:user/x' is not authorized to perform `ses:SendRawEmail' on resource
rcpt|451|sender|5.7.24 SPF validation failed
rcpt|550|recipient_permanent/s|4.4.7 Delivery time expired
rcpt|550|recipient_permanent/s|5.7.1 Access denied by recipient's policy
after_dot|451|daily_quota|Authentication failed: Maximum credits exceeded
rcpt|501|recipient_permanent/h|5.1.3 Bad recipient address syntax
rcpt|556|recipient_permanent/h|5.1.10 Recipient address has null MX
rcpt|551|recipient_permanent/h|User not local
rcpt|530|account|5.7.0 Must issue a STARTTLS command first
rcpt|551|account|relaying denied to <bob@example.com>; please authenticate via POP before SMTP
# Exchange (on premises and Online)
rcpt|550|account|5.7.54 SMTP; Unable to relay recipient in non-accepted domain
rcpt|550|account|5.7.1 Unable to relay
rcpt|530|account|5.7.1 Client was not authenticated
rcpt|550|sender|5.7.60 SMTP; Client does not have permissions to send as this sender
rcpt|451|provider_temporary|4.7.0 Temporary server error. Please try again later. PRX2
rcpt|452|provider_temporary|4.3.1 Insufficient system resources (UsedDiskSpace[C:\])
after_dot|552|content_refused|5.3.4 Message size exceeds fixed maximum message size
after_dot|554|content_refused|5.6.0 Invalid message content; STOREDRV.Deliver
rcpt|550|recipient_permanent/h|5.1.1 RESOLVER.ADR.RecipNotFound; not found
rcpt|550|recipient_permanent/h|5.1.10 RESOLVER.ADR.RecipientNotFound; not found
rcpt|451|recipient_temporary|4.7.1 <bob@example.com>: Recipient address rejected: Greylisting enabled, retry in 00:04:59
rcpt|421|throttled|4.4.5 Too many messages from your IP
# Gmail
rcpt|421|provider_temporary|4.3.0 Temporary System Problem.  Try again later (10). gsmtp
rcpt|452|recipient_temporary|4.2.2 The recipient's inbox is out of storage space and inactive. Please direct the recipient to\n4.2.2  https://support.google.com/mail/?p=OverQuotaTemp
rcpt|552|recipient_permanent/s|5.2.2 The recipient's inbox is out of storage space and inactive.
auth|535|account|5.7.8 Username and Password not accepted. For more information, go to\n5.7.8  https://support.google.com/mail/?p=BadCredentials
auth|534|account|5.7.9 Application-specific password required. For more information, go to
mail|530|account|5.7.0 Authentication Required. For more information, go to https://support.google.com/accounts/troubleshooter/2402620.
after_dot|550|daily_quota|5.4.5 Daily user sending limit exceeded. For more information on Gmail sending limits go to
mail|550|daily_quota|5.4.5 Daily sending quota exceeded.
after_dot|421|sender|4.7.26 This mail has been rate limited because it is unauthenticated. Gmail requires all senders to authenticate with either SPF or DKIM.
after_dot|552|content_refused|5.7.0 This message was blocked because its content presents a potential\n5.7.0 security issue. To review our message content and attachment content guidelines
rcpt|553|recipient_permanent/h|5.1.3 The recipient address <bob@> is not a valid RFC 5321 address.
rcpt|550|recipient_permanent/h|5.1.1 The email account that you tried to reach does not exist. daily-limit@relay.example
mail|555|account|5.5.2 Syntax error, goodbye.
rcpt|550|account|5.7.1 The IP you're using to send mail is not authorized to send email directly to our servers. Please use the SMTP relay at your service provider instead.
after_dot|550|account|5.7.1 Invalid credentials for relay [1.2.3.4]. The IP address you've registered in your G Suite SMTP Relay service doesn't match the domain of the account this email is being sent from.
# Yahoo
rcpt|421|throttled|4.16.55 [TS01] Messages from 1.2.3.4 temporarily deferred due to excessive user complaints
rcpt|553|account|5.7.1 [BL21] Connections will not be accepted from 1.2.3.4, because the ip is in Spamhaus's list
after_dot|554|content_refused|Message not allowed - [PH01] Email not accepted for policy reasons.
after_dot|451|throttled|4.7.1 Resources temporarily unavailable. Please try again later. Too many messages
# IONOS, GMX, web.de
rcpt|550|recipient_permanent/s|Requested action not taken: mailbox unavailable\nFor explanation visit https://postmaster.gmx.net/en/case?c=r0602
connect|554|account|(mxgmx017) Nemesis ESMTP Service not available\nNo SMTP service\nBad DNS PTR resource record.
after_dot|554|content_refused|Transaction failed\nReject due to policy restrictions.
mail|550|sender|Requested action not taken: mailbox unavailable\nSender address is not allowed.
rcpt|421|throttled|Rate limit reached. Please try again later
rcpt|451|throttled|Requested action aborted: local error in processing\nMails per session limit exceeded
auth|535|account|Authentication credentials invalid
# OVH
rcpt|550|throttled|5.7.1 sorry, too many emails sent (#5.7.1)
rcpt|421|throttled|4.7.0 ssl0.ovh.net Error: too many errors
rcpt|554|account|5.7.1 <mail.acme.example[1.2.3.4]>: Client host rejected: Access denied
# Infomaniak
rcpt|451|daily_quota|4.3.0 <a@acme.example>: You are only allowed to send 1440 mails within a 24-hours period
rcpt|450|recipient_temporary|4.7.1 <bob@example.com>: Recipient address rejected: Greylisted. Please retry later
mail|553|sender|5.7.1 <x@other.example>: Sender address rejected: not owned by user a@acme.example
# Postfix
rcpt|554|recipient_permanent/s|5.7.1 <bob@example.com>: Recipient address rejected: Access denied
rcpt|550|recipient_permanent/h|5.1.1 <bob@example.com>: Recipient address rejected: User unknown in local recipient table
rcpt|450|recipient_temporary|4.1.1 <bob@example.com>: Recipient address rejected: undeliverable address: host mx.example.com[1.2.3.4] said: 450 try later
rcpt|450|throttled|4.7.1 Error: too many recipients from 1.2.3.4
rcpt|450|account|4.7.1 Client host rejected: cannot find your hostname, [1.2.3.4]
rcpt|550|sender|5.7.23 <a@acme.example>: Recipient address rejected: Message rejected due to: SPF fail - not authorized. See https://www.openspf.net/Why
rcpt|452|throttled|4.5.3 Error: too many recipients
after_dot|552|content_refused|5.3.4 Error: message file too big
after_dot|451|provider_temporary|4.3.0 Error: queue file write error
after_dot|550|content_refused|5.7.1 message content rejected
data|503|account|5.5.1 Error: need RCPT command
rcpt|550|sender|5.1.8 <a@acme.example>: Sender address rejected: Domain not found
rcpt|450|provider_temporary|4.3.2 mailbox busy
# Exim, cPanel
rcpt|550|recipient_permanent/h|Unknown user
rcpt|550|account|Relay not permitted
rcpt|550|account|authentication required
rcpt|451|recipient_temporary|Temporary local problem - please try later
rcpt|550|throttled|Too many invalid recipients
mail|550|sender|Sender verify failed
after_dot|550|content_refused|This message was classified as SPAM and may not be delivered
rcpt|550|account|"JunkMail rejected - mail.acme.example [1.2.3.4]:25 is in an RBL on rbl.example.com"
after_dot|550|content_refused|maximum allowed line length is 998 octets, got 1204
after_dot|550|throttled|Domain acme.example has exceeded the max emails per hour (155/150 (103%)) allowed.  Message discarded.
rcpt|550|daily_quota|User a@acme.example has exceeded its 24-hour sending limit. Messages to 500 recipients out of 500 allowed have been sent.
# qmail
rcpt|550|recipient_permanent/h|sorry, no mailbox here by that name. (#5.1.1)
rcpt|553|account|sorry, that domain isn't in my list of allowed rcpthosts; no valid cert for gatewaying (#5.7.1)
mail|553|sender|sorry, your envelope sender has been denied (#5.7.1)
after_dot|451|provider_temporary|qq temporary problem (#4.3.0)
after_dot|554|recipient_permanent/s|too many hops, this message is looping (#5.4.6)
after_dot|552|content_refused|sorry, that message size exceeds my databytes limit (#5.3.4)
# others: Dovecot, Mailcow, Zoho, Hostinger, Strato, Mimecast, Proofpoint
rcpt|552|recipient_permanent/s|5.2.2 <bob@example.com> Quota exceeded (mailbox for user is full)
rcpt|452|recipient_temporary|4.2.2 <bob@example.com> Quota exceeded (mailbox for user is full)
rcpt|550|throttled|5.4.6 Unusual sending activity detected. Please try after sometime
rcpt|553|account|Sender is not allowed to relay emails
rcpt|451|throttled|4.7.1 <a@acme.example>: Sender address rejected: Ratelimit "hostinger_out_ratelimit" exceeded
rcpt|550|recipient_permanent/s|5.0.0 Recipient rejected by administrative policy
rcpt|550|account|5.7.1 Service unavailable, Client host [1.2.3.4] blocked using Spamhaus. To request removal from this list see https://www.spamhaus.org/query/ip/1.2.3.4 (AS3130).
rcpt|451|recipient_temporary|Internal resources are temporarily unavailable - https://community.mimecast.com/docs/DOC-1369#451
rcpt|550|recipient_permanent/h|5.1.1 User Unknown
rcpt|550|recipient_permanent/h|Recipient does not exist here
rcpt|550|recipient_permanent/h|User unknown in relay recipient table
# found while trying to break the table
rcpt|550|daily_quota|5.7.1 You have exceeded your daily relay quota
mail|550|daily_quota|You have reached your daily sending limit of 500 messages
rcpt|452|recipient_temporary|4.2.2 Mailbox full
rcpt|452|recipient_temporary|Mailbox full
rcpt|550|recipient_permanent/s|Mailbox quota exceeded
rcpt|552|recipient_permanent/s|5.2.2 Over quota
rcpt|554|account|5.7.1 Your account has been temporarily suspended
mail|554|account|5.7.1 Account suspended, please contact support
rcpt|421|throttled|4.7.0 Try again later, closing connection.
after_dot|550|content_refused|5.7.1 TRANSPORT.RULES.RejectMessage; the message was rejected by organization policy
rcpt|451|recipient_temporary|4.4.2 Timeout while waiting for recipient server
rcpt|550|recipient_permanent/s|5.7.1 Recipient not accepted for policy reasons
after_dot|550|content_refused|5.7.1 Message rejected as spam by Content Filtering.
after_dot|554|content_refused|5.7.1 Message contains a virus
after_dot|554|account|5.7.1 [1.2.3.4] is on the blocklist
rcpt|550|account|5.7.1 Mail from 1.2.3.4 refused, blacklisted
rcpt|550|account|Your IP 1.2.3.4 is blacklisted for 24 hours
rcpt|450|recipient_temporary|4.7.1 <bob@example.com>: Recipient address rejected: Policy Rejection- Greylisted, please try again in 60 seconds
rcpt|550|recipient_permanent/h|5.1.1 <relay@quota.example>: Recipient address rejected: limit.example
rcpt|550|recipient_permanent/h|5.1.1 Mailbox <throttle> does not exist
rcpt|550|sender|5.7.1 <a@acme.example>: Sender not authorized
rcpt|550|sender|From address not verified
mail|501|sender|5.1.7 Bad sender address syntax
mail|550|sender|5.7.1 Sender domain not verified
mail|550|sender|5.7.0 From address is not one of your addresses
rcpt|550|account|5.7.0 Authentication required
rcpt|554|account|5.7.1 relaying denied
rcpt|550|account|5.7.1 Relaying to <bob@example.com> prohibited by administrator
rcpt|550|account|5.7.1 We do not relay for you
rcpt|454|provider_temporary|4.3.0 Directory lookup failed
rcpt|450|recipient_temporary|4.2.1 mailbox temporarily disabled
rcpt|451|throttled|4.7.1 Service unavailable - throttled, try again later
rcpt|452|throttled|Too many recipients received this hour
rcpt|550|throttled|5.7.1 hourly quota exceeded
data|554|throttled|5.7.1 Too many messages, slow down
after_dot|421|throttled|4.7.0 Message rate exceeded
rcpt|450|throttled|4.7.1 Rate exceeded, retry later
rcpt|421|provider_temporary|4.3.2 System not accepting network messages
rcpt|550|recipient_permanent/h|5.1.2 NXDOMAIN
rcpt|550|recipient_permanent/h|5.1.2 Domain not found
rcpt|550|recipient_permanent/s|5.1.2 Bad destination system
rcpt|550|recipient_permanent/h|5.4.4 Host not found
rcpt|450|recipient_temporary|4.4.3 Temporary DNS failure
rcpt|550|recipient_permanent/s|5.7.1 Blocked by recipient
after_dot|552|recipient_permanent/s|5.2.2 mailbox full
after_dot|554|recipient_permanent/h|5.1.1 user unknown
after_dot|550|daily_quota|Quota de 200 messages par jour atteint
rcpt|550|daily_quota|Tageslimit erreicht
rcpt|550|throttled|Limit pro Stunde erreicht
rcpt|550|recipient_permanent/h|Account not found
rcpt|550|recipient_permanent/h|Invalid recipient bob@example.com (#5.1.1)
rcpt|553|recipient_permanent/h|5.1.2 We weren't able to find the recipient domain. Please check for any spelling errors
rcpt|550|account|Access denied - Invalid HELO name
rcpt|550|account|Access denied - Invalid HELO name (See RFC2821 4.1.1.1)
connect|550|account|5.7.1 Your host has been blocked
connect|450|provider_temporary|busy
connect|554|account|Your IP is listed in our block list
auth|535|account|5.7.0 too many failed logins, daily limit of attempts reached
after_dot|550|sender|5.7.26 Unauthenticated email from acme.example is not accepted due to domain's DMARC policy
after_dot|550|sender|5.7.1 Unauthenticated email from acme.example is not accepted due to domain's DMARC policy
after_dot|554|content_refused|5.7.7 Email not accepted for policy reasons
after_dot|550|content_refused|5.7.1 The user or domain that you are sending to (or from) has a policy that prohibited the mail that you sent
rcpt|450|account|4.7.25 Client host rejected: cannot find your reverse hostname
after_dot|450|recipient_temporary|4.2.1 The user limit of mails is reached
after_dot|554|content_refused|5.6.0 maximum header size exceeded
rcpt|550|recipient_permanent/s|#5.1.0 Address rejected.
rcpt|550|recipient_permanent/s|5.7.1 Command rejected
# of one mail or one recipient: none of them may stop all tenants
after_dot|550|content_refused|5.5.2 line too long
after_dot|500|content_refused|5.5.2 Line too long
after_dot|500|content_refused|5.5.1 Line too long
after_dot|500|content_refused|Line too long
after_dot|554|content_refused|5.5.0 message malformed
after_dot|501|content_refused|5.5.4 Error: header malformed
after_dot|554|content_refused|5.5.2 bare LF in message
rcpt|501|recipient_permanent|5.5.2 Syntax error in parameters
rcpt|501|recipient_permanent|5.5.4 Invalid arguments
rcpt|553|recipient_permanent|5.5.4 Invalid domain name
rcpt|550|recipient_permanent|5.5.4 <bob@example.com>: syntax of address
rcpt|504|recipient_permanent|5.5.2 <bob@host>: Recipient address rejected: need fully-qualified address
rcpt|504|recipient_permanent|Recipient address rejected: need fully-qualified address
rcpt|550|recipient_permanent/s|5.7.1 Recipient account is suspended
rcpt|550|recipient_permanent/s|Account suspended
rcpt|550|recipient_permanent/s|5.7.1 <bob@example.com>: account has been suspended
rcpt|550|recipient_permanent/s|Your message cannot be delivered: the user account is locked
rcpt|450|recipient_temporary|4.2.1 mailbox account temporarily blocked
after_dot|550|recipient_permanent/s|5.7.1 The recipient's account is blocked
rcpt|550|recipient_temporary|5.4.5 recipient daily message limit exceeded
rcpt|550|recipient_temporary|5.4.5 Daily message limit for this recipient exceeded
rcpt|550|recipient_temporary|Your message cannot be delivered: the recipient has exceeded a limit of 500 messages per day
rcpt|452|recipient_temporary|4.2.2 recipient's daily limit reached
after_dot|554|recipient_temporary|5.2.0 daily limit of recipient exceeded
# and what reads like them but is ours
rcpt|504|sender|5.5.2 <a@host>: Sender address rejected: need fully-qualified address
rcpt|501|account|5.5.4 Helo command rejected: Invalid name
rcpt|555|account|5.5.4 RCPT TO parameters not recognized
rcpt|503|account|5.5.1 Error: need MAIL command
mail|550|account|Account suspended
rcpt|550|account|The account of the sender is suspended
rcpt|550|account|Outgoing mail from your user account has been suspended
rcpt|550|daily_quota|daily limit for user a@acme.example exceeded
rcpt|550|daily_quota|You have exceeded the daily recipient limit
rcpt|550|daily_quota|You have reached your recipient daily limit
rcpt|450|daily_quota|4.7.1 Daily limit for recipients exceeded
"""


def _read(line: str) -> Reply:
    phase, code, kind, text = line.split("|", 3)
    name, _, suppress = kind.partition("/")
    return Reply(phase, int(code), name, _SUPPRESS[suppress], text.replace("\\n", "\n"))


REPLIES = [_read(line) for line in _TEXTS.splitlines() if line and not line.startswith("#")]
