"""SMTP: the rules by words about one mail or one recipient that read like a fault or a limit of ours.

They come behind what means the recipient for certain and before limits and faults of ours, which would stop all tenants.
"""

from mailroom.domain.outbound.answers.answer import (
    CONTENT,
    NOT_BY_THIS_PROVIDER,
    NOT_THIS_RECIPIENT,
    RECIPIENT_IN_AN_HOUR,
    RECIPIENT_LATER,
    Phase,
    Rule,
)

_OF_A_RECIPIENT = (Phase.RCPT, Phase.DATA, Phase.AFTER_DOT)
_CLOSED = r"(suspended|blocked|locked|banned|disabled|deactivated|inactive)"
#: Words by which a reply is about us.
_OURS = (
    r"\byour (?!(e-?)?mail\b|message)",
    r"\byou('ve)?\b(?! (are|were) |r)",
    r"\bsend(er|ers|ing)?\b",
    r"\b(outgoing|outbound)\b",
    r"\brelay",
)
_DAY = r"(\bdaily\b|\bday\b|24[- ]?h)"
# `limit for message recipients` is ours.
_RECIPIENT_S_LIMIT = (
    r"\b(of|for) (the |this )?recipient\b",
    r"\brecipient('s)? (has |daily|message)",
)

MAIL_WORDS = (
    Rule(
        name="recipient_s_day",
        five=RECIPIENT_IN_AN_HOUR,
        four=RECIPIENT_IN_AN_HOUR,
        phases=_OF_A_RECIPIENT,
        words=(
            *(f"{one}.{{0,80}}{_DAY}|{_DAY}.{{0,80}}{one}" for one in _RECIPIENT_S_LIMIT),
            r"\brecipient('s)? daily\b",
        ),
        without=_OURS,
        source="550 5.4.5 recipient daily message limit exceeded: as Exchange Online 5.2.121, which counts an hour",
    ),
    Rule(
        name="line_too_long",
        five=CONTENT,
        phases=(Phase.AFTER_DOT,),
        words=(r"\blines? (\w+ ){0,3}too long", r"\b(too )?long lines?\b", r"\bline length"),
        source="RFC 5321 4.5.3.1.6: 500 Line too long, of this mail",
    ),
    Rule(
        name="recipient_not_qualified",
        five=NOT_BY_THIS_PROVIDER,
        phases=(Phase.RCPT,),
        codes="504",
        words=(r"recipient address rejected",),
        source="Postfix 504 5.5.2 reject_non_fqdn_recipient",
    ),
    Rule(
        name="account_of_the_recipient",
        five=NOT_THIS_RECIPIENT,
        four=RECIPIENT_LATER,
        phases=_OF_A_RECIPIENT,
        words=(rf"\b(recipient|user|mail ?box)('s)? account\b( \w+){{0,4}} {_CLOSED}",),
        without=_OURS,
        source="550 5.7.1 Recipient account is suspended",
    ),
    Rule(
        name="account_at_recipient",
        five=NOT_THIS_RECIPIENT,
        four=RECIPIENT_LATER,
        phases=(Phase.RCPT,),
        codes="450 550",
        words=(rf"^:? ?(this |the )?account (is |has been |was )?((temporarily|currently) )?{_CLOSED}",),
        without=_OURS,
        source="RFC 5321 4.2.3: 550 at RCPT is about the mailbox; a login is refused by 535, 554",
    ),
)
