"""SMTP: the rules by words, over all lines of a reply. They come before status codes, which vendors use as they like.

First what only looks like a limit or a fault of ours; then what means the recipient for certain; then quotas of a day,
rates, and faults of the sender and the account, in this order: a quota word beats a rate word, and both beat the rest.
"""

from mailroom.domain.outbound.answers.answer import (
    ACCOUNT,
    AWAY,
    CONTENT,
    DAILY,
    NO_SUCH_RECIPIENT,
    NOT_THIS_RECIPIENT,
    QUARTER_HOUR,
    RECIPIENT_IN_AN_HOUR,
    RECIPIENT_LATER,
    SENDER,
    SLOWER,
    Phase,
    Rule,
)
from mailroom.domain.outbound.answers.smtp_mail_words import MAIL_WORDS

#: A mail is named by then; before, a reply is about us.
OF_A_RECIPIENT = (Phase.RCPT, Phase.DATA, Phase.AFTER_DOT)
BEFORE_MAIL = (Phase.CONNECT, Phase.EHLO, Phase.STARTTLS, Phase.AUTH)

_ABOUT_THE_SENDER = (
    r"sender address",
    r"sender (is )?(rejected|refused|denied|invalid|unknown)",
    r"(rejected|invalid|unknown|bad|denied) sender",
    r"sender verif",
    r"verification failed for .*sender",
    r"return[- ]path",
    r"envelope (sender|from)",
    r"mail from (address|command|domain)",
)
_MAILS = r"(e-?mails?|mails?|messages?|recipients?|connections?|sessions?|errors|logins?|log ?in attempts|auth\w* commands|commands|requests|invalid)"
_SIZES = (
    r"\bsize",
    r"too (large|big|long)",
    r"\b(octets|bytes|kb|mb)\b",
    r"\bhops?\b",
    r"\bloop",
    r"received:? header",
)
_MAILBOX = (r"\bmail ?box", r"\bstorage", r"\bdisk", r"\binbox", r"\bfull\b", r"\bspace\b", r"over ?quota")
_SUBMISSION = r"storedrv\.submission"

_ONLY_LOOK_LIKE_OURS = (
    Rule(
        name="recipient_rate",
        five=RECIPIENT_IN_AN_HOUR,
        four=RECIPIENT_IN_AN_HOUR,
        phases=OF_A_RECIPIENT,
        words=(
            r"receiving (e-?mail|mail|messages) (too quickly|at a rate)",
            r"rate that prevents",
            r"message receive limit",
            r"recipient thread limit",
        ),
        source="Gmail 450 4.2.1, 550 5.2.1; Exchange Online 5.2.121, 432 4.3.2",
    ),
    Rule(
        name="recipient_rate_status",
        five=RECIPIENT_IN_AN_HOUR,
        four=RECIPIENT_IN_AN_HOUR,
        phases=OF_A_RECIPIENT,
        statuses="2.121-2.122",
        source="Exchange Online: the recipient's messages per hour",
    ),
    Rule(
        name="greylisted",
        four=RECIPIENT_LATER,
        words=(r"gr[ea]y[- ]?list",),
        source="postgrey: 300 s by default; the wait that the reply names counts",
    ),
    Rule(
        name="unauthenticated_domain",
        five=SENDER,
        four=SENDER,
        phases=(Phase.MAIL, *OF_A_RECIPIENT),
        words=(r"\b(is|are) unauthenticated\b",),
        source="Gmail x.7.26: rate limited, or blocked, because it is unauthenticated",
    ),
    Rule(
        name="submission_quota",
        five=DAILY,
        four=DAILY,
        words=(r"submission ?quota",),
        source="Exchange Online 5.2.2, 5.2.0 SubmissionQuotaExceeded: 10,000 recipients a day",
    ),
    Rule(
        name="send_as_denied",
        five=SENDER,
        four=SENDER,
        words=(r"sendasdenied", r"send ?as denied"),
        source="Exchange Online 554 5.2.0",
    ),
    Rule(
        name="submission_store",
        five=ACCOUNT,
        four=AWAY,
        words=(_SUBMISSION,),
        source="Exchange Online 554 5.2.2 from one's own mailbox: Sent Items are full",
    ),
    Rule(
        name="unsolicited_content",
        five=CONTENT,
        phases=(Phase.AFTER_DOT,),
        words=(
            r"likely unsolicited",
            r"potential security issue",
            r"message contains (a )?(virus|malware|spam|content)",
        ),
        without=(r"very low reputation", r"reputation of the sending"),
        source="Gmail 550 5.7.1, 552 5.7.0",
    ),
)

_RECIPIENT_FOR_CERTAIN = (
    Rule(
        name="no_such_recipient",
        five=NO_SUCH_RECIPIENT,
        phases=OF_A_RECIPIENT,
        statuses="1.1 1.3 1.6 1.10",
        without=_ABOUT_THE_SENDER,
        source="RFC 3463, 5248, 7505: before all word groups, so that none changes it",
    ),
    Rule(
        name="no_such_recipient_by_words",
        five=NO_SUCH_RECIPIENT,
        phases=OF_A_RECIPIENT,
        words=(
            r"(user|recipient|mailbox|account|address)( address)?( is)? (unknown|not found|does ?n[o']t exist|not exist)",
            r"(unknown|invalid|no such|nonexistent|non-existent) (local )?(user|recipient|mailbox|account|address|person)",
            r"(user|recipient|mailbox|account|address)\b.{0,40}(does ?n[o']t exist|no longer exists?|not exist|is not known)",
            r"does ?n[o']t have an? .{0,30}\baccount",
            r"no mail ?box (here )?by that name",
            r"unroute?able address",
            r"not our (customer|user)",
            r"this account has been (disabled or )?discontinued",
            r"no such domain at this location",
        ),
        without=(*_ABOUT_THE_SENDER, r"\brelay(ing)?\b(?! recipient)", r"sender", r"too many"),
        source="Exim, qmail, Yahoo, Exchange without a status code",
    ),
    Rule(
        name="mailbox_disabled",
        five=NO_SUCH_RECIPIENT,
        phases=OF_A_RECIPIENT,
        statuses="2.1",
        without=(*_ABOUT_THE_SENDER, r"\brate\b", r"too (quickly|many|much|fast)", r"limit"),
        source="RFC 3463; with a word of rate it is the recipient's limit",
    ),
    Rule(
        name="mailbox_rate",
        five=RECIPIENT_IN_AN_HOUR,
        phases=OF_A_RECIPIENT,
        statuses="2.1",
        without=_ABOUT_THE_SENDER,
        source="Gmail 550 5.2.1 is both",
    ),
    Rule(
        name="mailbox_full",
        five=NOT_THIS_RECIPIENT,
        four=RECIPIENT_LATER,
        phases=OF_A_RECIPIENT,
        words=(
            r"mail ?box( is| size| storage| quota| limit)*( \w+){0,3} (full|exceeded|over)",
            r"(user|recipient|account|mail ?box|inbox)( \w+){0,5} over ?(its )?quota",
            r"(user|recipient|mail ?box|inbox)( \w+){0,5} (full|out of storage|exceeded (\w+ ){0,3}(quota|storage|space))",
            r"over ?quota",
            r"out of storage",
        ),
        but_statuses="4.5",
        source="Gmail 452 4.2.2, Dovecot, Exim",
    ),
)

_DAILY_WORDS = (
    r"(\bdaily\b|\b(per|a|each|every|this) day\b|/ ?day\b|\bfor today\b|\b24[- ]?h(ou)?rs?\b|\bmonthly\b|\bper month\b"
    r"|\btages(limit|kontingent)|\bpro tag\b|\bpar jour\b|\bquotidien)"
)
_LIMIT_WORDS = (
    r"(limit|quota|exceed|reach|maximum|\bmax\b|\bonly \d|more than \d|allow|too many|too much|\bsent\b"
    r"|erreicht|überschritten|dépass|atteint)"
)

_LIMITS = (
    Rule(
        name="login_refused",
        five=ACCOUNT,
        phases=(Phase.AUTH,),
        codes="525 530 534 535 538",
        source="RFC 4954, 5248: wrong whatever else it says",
    ),
    Rule(
        name="daily_quota_words",
        five=DAILY,
        four=DAILY,
        words=(
            rf"{_DAILY_WORDS}.{{0,80}}{_LIMIT_WORDS}",
            rf"{_LIMIT_WORDS}.{{0,80}}{_DAILY_WORDS}",
            r"credits? exceeded",
            r"out of credits",
        ),
        without=(r"(block|black|deny) ?list", r"\bbanned\b"),
        source="Infomaniak 451 4.3.0 within a 24-hours period; Gmail relay; SES 454; 451 Maximum credits exceeded; DATA: only N messages per day",
    ),
    Rule(
        name="daily_quota_status",
        five=DAILY,
        statuses="4.5 1.90",
        source="Gmail and hosts 550 5.4.5; Exchange Online 5.1.90: recipients of a day",
    ),
    Rule(
        name="hourly_limit",
        five=QUARTER_HOUR,
        four=QUARTER_HOUR,
        words=(
            r"\b(per|an|each|this|last) hour\b",
            r"\bhourly\b",
            r"\b(pro stunde|par heure)\b",
            r"/ ?h(ou)?r?\b",
            r"\bhour(ly)? limit",
            r"send(ing)? limit (has been |was |is )?(exceeded|reached)",
            r"max defers and failures",
            r"unusual (sending )?activity",
        ),
        source="IONOS 450, last line; mailcow, postfwd, cPanel, small hosts",
    ),
    Rule(
        name="login_attempts",
        five=ACCOUNT,
        four=QUARTER_HOUR,
        phases=(Phase.AUTH,),
        words=(r"too many (failed |invalid )?(log ?in|auth)",),
        source="Gmail 454 4.7.0, Postfix 450 4.7.1",
    ),
    Rule(
        name="rate_words",
        five=SLOWER,
        four=SLOWER,
        words=(
            r"rate[- ]?limit",
            r"\brate (is |was |has been )?exceeded",
            r"too (many|much) (\w+ ){0,3}" + _MAILS + r"\b",
            r"\btoo (fast|quickly|frequent|often)",
            r"slow(ing)? down",
            r"throttl",
            r"unusual rate",
            r"unexpected volume",
            r"user complaints",
            r"limits? (has been |have been |was |is )?(reached|exceeded)",
            r"(reached|exceed\w*|over) (\w+ ){0,5}limit",
            r"(peak|relay|sending|connection|session|thread) (\w+ ){0,3}limit",
            r"concurrent connections",
            r"maximum sending rate",
        ),
        without=(*_SIZES, r"\bstorage", r"\bdisk", r"\binbox", r"over ?quota"),
        but_statuses="2.2 3.4 2.3",
        source="Postfix too much mail; OVH too many emails; Exchange 432 4.3.2; Yahoo TSS04; Gmail",
    ),
    Rule(
        name="quota_words",
        five=SLOWER,
        four=SLOWER,
        words=(r"quota (is |has been |was )?(exceeded|reached)", r"exceed\w* (\w+ ){0,4}quota"),
        without=(*_SIZES, *_MAILBOX),
        but_statuses="2.2 3.4 2.3",
        source="small hosts: 554 5.7.1 Recipient address rejected: Quota exceeded",
    ),
)

_OF_THE_RECIPIENT_ONLY = (
    Rule(
        name="recipient_takes_few_senders",
        five=NOT_THIS_RECIPIENT,
        four=RECIPIENT_LATER,
        phases=OF_A_RECIPIENT,
        words=(
            r"resolver\.rst",
            r"authori[sz]ed to send( \w+){0,3} to (this|the|that) (recipient|group|list|address|mail ?box|user)",
            r"(recipient|group|list|mail ?box)( \w+){0,4} (only accepts|does not accept|is not accepting|restricted)",
        ),
        source="Exchange RESOLVER.RST",
    ),
    Rule(
        name="recipient_rejected_for_access",
        five=NO_SUCH_RECIPIENT,
        phases=OF_A_RECIPIENT,
        statuses="4.1 7.504-7.505",
        words=(r"recipient address rejected",),
        source="Exchange Online 5.4.1, 5.7.504: Access denied",
    ),
)

_OURS = (
    Rule(
        name="relay_denied",
        five=ACCOUNT,
        four=ACCOUNT,
        words=(
            r"relay(ing)? (\w+ ){0,2}(denied|prohibited|refused|disallowed)",
            r"relay(ing)? (is )?not (allowed|permitted)",
            r"(not|n't|unable to|cannot|no) (\w+ ){0,2}relay(ing)?\b",
            r"allowed rcpthosts",
            r"authenti(cation|cate) (is )?required",
            r"must (first )?(authenticate|log ?in|issue a starttls)",
            r"not authenticated to send",
            r"invalid credentials",
        ),
        without=(r"unknown in relay recipient",),
        source="Postfix 554 5.7.1 and, by default, 454 4.7.1; qmail #5.7.1; Exim; Exchange 550 5.7.1",
    ),
    Rule(
        name="sender_words",
        five=SENDER,
        four=SENDER,
        phases=(Phase.MAIL, *OF_A_RECIPIENT),
        words=(
            *_ABOUT_THE_SENDER,
            r"not owned by user",
            r"not logged in",
            r"sender domain",
            r"domain of (the )?sender",
            r"badmailfrom",
            r"(sender|from|domain|identity|identities|e-?mail address)\b( \w+){0,4} (is |are )?not (yet )?(verified|confirmed|allowed|authori[sz]ed|permitted)",
            r"not (allowed|permitted|authori[sz]ed) to (send|use)( \w+){0,2} (as|from|on behalf|this sender|sender)",
            r"(sender|from)( \w+){0,3} (mismatch|does not match|must match|not match)",
            r"permissions? to send as",
            r"authenticate with (at least one of )?(spf|dkim|either|both)",
            r"reputation of the sending domain",
            r"(does not|did not|fail\w*) (to )?pass (\w+ ){0,3}(spf|dkim|dmarc|authentication)",
            r"dmarc (policy|check|verification)",
        ),
        source="Postfix 553 5.7.1; Exim sender verify; SES not verified; Yahoo; Gmail; Exchange 5.7.509",
    ),
    Rule(
        name="account_words",
        five=ACCOUNT,
        four=ACCOUNT,
        words=(
            r"client host\b.{0,60}(rejected|blocked)",
            r"helo command rejected",
            r"(bad|invalid|rejected) helo",
            r"(your|sender|sending) (\w+ ){0,2}account",
            r"account (\w+ ){0,4}(suspended|blocked|locked|banned)",
            r"sending (\w+ ){0,3}(suspended|disabled|paused|blocked|not allowed)",
            r"not (allowed|permitted|authori[sz]ed) to (send|perform)",
            r"\bunauthori[sz]ed\b",
            r"\bbanned\b",
            r"(block|black|deny) ?list",
            r"blocked (using|by|for|due|because)",
            r"(your|sending) (ip|host|server|network|system)\b.{0,60}(block|list|reject|reputation|not allowed|denied)",
            r"permanently deferred",
            r"(low|poor|bad) (\w+ ){0,2}reputation",
            r"\bs31[45]0\b",
            r"\bspamhaus\b",
            r"\brbl\b",
            r"\bptr\b|reverse dns|reverse hostname",
        ),
        without=(
            r"\b(url|uri|link|attachment|body|content|virus|malware)s?\b",
            r"account has been disabled",
            r"\b(recipient|mail ?box)('s)? account",
            r"blocked by (the |this )?(recipient|user)",
        ),
        source="Postfix; Exchange S3150; Gmail PTR; Yahoo TSS09; lists of senders",
    ),
    Rule(
        name="server_words",
        four=AWAY,
        words=(r"temporary (server|system) (error|problem|failure)",),
        source="Exchange Online 451 4.7.0, Gmail 421 4.3.0",
    ),
)

WORDS = (
    *_ONLY_LOOK_LIKE_OURS,
    *_RECIPIENT_FOR_CERTAIN,
    *MAIL_WORDS,
    *_LIMITS,
    *_OF_THE_RECIPIENT_ONLY,
    *_OURS,
)
