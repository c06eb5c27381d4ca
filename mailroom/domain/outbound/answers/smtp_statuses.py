"""SMTP: the rules by enhanced status code, vendors' own first, then those of RFC 3463, 5248 and the IANA registry.

A status is `x.subject.detail`: the reply's first digit decides temporary or permanent, the status whose fault it is, also
where their first digits differ (`451 5.7.24`, `550 4.4.7`).
"""

from mailroom.domain.outbound.answers.answer import (
    ACCOUNT,
    AWAY,
    CONTENT,
    NO_SUCH_RECIPIENT,
    NOT_BY_THIS_PROVIDER,
    NOT_THIS_RECIPIENT,
    QUARTER_HOUR,
    RECIPIENT_LATER,
    SENDER,
    SLOWER,
    Phase,
    Rule,
)
from mailroom.domain.outbound.answers.smtp_words import OF_A_RECIPIENT

_RATE = "the receiver's limit for an address or its reputation"

_VENDORS = (
    Rule(
        name="login_code",
        five=ACCOUNT,
        codes="530 534 535 538",
        source="RFC 4954: a login is missing or wrong; 530 comes at MAIL and RCPT too",
    ),
    Rule(name="gmail_rate", five=SLOWER, four=SLOWER, statuses="7.28", source="Gmail: unusual rate; IANA: mail flood"),
    Rule(name="gmail_try_later", four=SLOWER, codes="421", statuses="7.0", source="Gmail, Postfix 421 4.7.0"),
    Rule(
        name="exchange_reputation",
        four=QUARTER_HOUR,
        statuses="7.500-7.699",
        source=f"Exchange Online 4.7.500 to 699, 4.7.650: {_RATE}",
    ),
    Rule(
        name="exchange_rate",
        five=QUARTER_HOUR,
        four=QUARTER_HOUR,
        statuses="7.850-7.899",
        source=f"Exchange Online x.7.850 to 899: {_RATE}",
    ),
    Rule(
        name="exchange_account",
        five=ACCOUNT,
        four=ACCOUNT,
        statuses="2.251-2.255 7.57 7.64 7.139 7.501-7.503 7.506 7.511 7.606-7.649 7.700-7.749",
        source="Exchange Online: banned address, throttled for repeating errors, tenant over its threshold, bad HELO",
    ),
    Rule(
        name="exchange_sender",
        five=SENDER,
        four=SENDER,
        statuses="7.60 7.509 7.515 7.750",
        source="Exchange Online: DMARC, SPF and DKIM of the sender's domain, unregistered domain",
    ),
    Rule(
        name="exchange_no_recipient",
        five=NO_SUCH_RECIPIENT,
        four=RECIPIENT_LATER,
        phases=OF_A_RECIPIENT,
        statuses="7.504-7.505",
        source="Exchange Online",
    ),
    Rule(
        name="hotmail_no_recipient",
        five=NO_SUCH_RECIPIENT,
        phases=(Phase.RCPT,),
        codes="550",
        statuses="5.0",
        source="hotmail.com 550 5.5.0",
    ),
    Rule(
        name="exchange_closed_recipient",
        five=NOT_THIS_RECIPIENT,
        four=RECIPIENT_LATER,
        phases=OF_A_RECIPIENT,
        statuses="7.12 7.124 7.133-7.136 7.507 7.513",
        source="Exchange Online: a group or mailbox that takes mail of some senders only",
    ),
    Rule(
        name="yahoo_policy",
        five=CONTENT,
        phases=(Phase.AFTER_DOT,),
        statuses="7.9",
        words=(r"policy reasons",),
        source="Yahoo 554 5.7.9, of the content; IANA: a login mechanism",
    ),
    Rule(
        name="exchange_content",
        five=CONTENT,
        four=RECIPIENT_LATER,
        statuses="6.11 7.512 0.350",
        source="Exchange Online: bare LF, headers, content",
    ),
)

_REGISTERED = (
    Rule(
        name="sender_status",
        five=SENDER,
        four=SENDER,
        statuses="1.7 1.8 7.27",
        source="RFC 5248, 7505; Postfix 450 4.1.8 sender domain not found",
    ),
    Rule(
        name="authentication_of_the_domain",
        five=SENDER,
        four=SENDER,
        statuses="7.20-7.24 7.26 7.30 7.32",
        source="RFC 7372, Gmail: DKIM, SPF, DMARC of the From domain",
    ),
    Rule(
        name="authentication_of_the_host",
        five=ACCOUNT,
        four=ACCOUNT,
        statuses="7.25 7.29",
        source="RFC 7372, 8617, Gmail: PTR, ARC, TLS",
    ),
    Rule(
        name="login_status",
        five=ACCOUNT,
        four=ACCOUNT,
        statuses="7.8-7.12",
        source="RFC 4954, 5248",
    ),
    Rule(
        name="security_status",
        five=ACCOUNT,
        statuses="7.3-7.6 7.14-7.15",
        source="RFC 3463, 5248, 6710",
    ),
    Rule(
        name="rate_status",
        five=SLOWER,
        four=SLOWER,
        statuses="4.5 5.3",
        source="RFC 3463: congestion, too many recipients (5321 4.5.3.1.10: a new transaction)",
    ),
    Rule(name="closing", four=AWAY, codes="421", source="RFC 5321 3.8: the server closes the connection"),
    Rule(name="not_available", four=AWAY, codes="454", source="RFC 4954, SES: a service behind the server is away"),
    Rule(
        name="utf8_status",
        five=NOT_BY_THIS_PROVIDER,
        four=RECIPIENT_LATER,
        statuses="6.7",
        source="RFC 6531: needs SMTPUTF8",
    ),
    Rule(
        name="content_status",
        five=CONTENT,
        four=RECIPIENT_LATER,
        statuses="2.3 3.4 6.0-6.3 6.5-6.6 6.8-6.10 7.7 7.16",
        source="RFC 3463, 5248, 6531, 6710, 1870: at MAIL too, for SIZE",
    ),
    Rule(
        name="address_status",
        five=NO_SUCH_RECIPIENT,
        four=RECIPIENT_LATER,
        phases=OF_A_RECIPIENT,
        statuses="1.1 1.3 1.6 1.10 2.1 7.17-7.18",
        source="RFC 3463, 5248, 7505, 7293",
    ),
    Rule(
        name="no_such_domain",
        five=NO_SUCH_RECIPIENT,
        four=RECIPIENT_LATER,
        phases=OF_A_RECIPIENT,
        statuses="1.2 4.4",
        words=(
            r"nxdomain",
            r"null ?mx",
            r"no such (domain|host)",
            r"(domain|host)( name)?( is)? (not found|unknown|does ?n[o']t exist)",
            r"(non-?existent|unknown|bad) domain",
            r"find the (recipient )?domain",
        ),
        source="RFC 3463",
    ),
    Rule(
        name="recipient_status",
        five=NOT_THIS_RECIPIENT,
        four=RECIPIENT_LATER,
        phases=OF_A_RECIPIENT,
        statuses="1.0 1.2 1.4 2.0 2.2 2.4 4.0-4.4 4.6-4.7 7.2 7.13 7.19",
        source="RFC 3463, 5248, 7293",
    ),
    Rule(
        name="server_status",
        five=NOT_THIS_RECIPIENT,
        four=AWAY,
        phases=OF_A_RECIPIENT,
        statuses="3.0 3.2",
        source="RFC 3463: the receiver's mail system",
    ),
    Rule(
        name="server_full",
        five=NOT_BY_THIS_PROVIDER,
        four=AWAY,
        phases=OF_A_RECIPIENT,
        statuses="3.1",
        source="RFC 3463: its disk is full",
    ),
    Rule(
        name="protocol_status",
        five=ACCOUNT,
        four=AWAY,
        statuses="3.3 3.5 5.0-5.2 5.4-5.6",
        source="RFC 3463, 5248: our commands or its configuration",
    ),
    Rule(
        name="policy_at_recipient",
        five=NOT_THIS_RECIPIENT,
        four=RECIPIENT_LATER,
        phases=(Phase.RCPT,),
        statuses="7.0-7.1",
        source="RFC 3463: policy; words have decided what is ours",
    ),
    Rule(
        name="policy_after_the_dot",
        five=CONTENT,
        four=RECIPIENT_LATER,
        phases=(Phase.AFTER_DOT,),
        statuses="7.0-7.1",
        source="RFC 3463: policy",
    ),
)

STATUSES = (*_VENDORS, *_REGISTERED)
