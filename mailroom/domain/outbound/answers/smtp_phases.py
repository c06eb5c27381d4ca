"""SMTP: the rules by phase and basic reply code (RFC 5321 4.2 and 4.3.2, 4954, 3207, 1870, 7504), for replies that no word
and no status decides. The last rule matches every reply.
"""

from mailroom.domain.outbound.answers.answer import (
    ACCOUNT,
    AWAY,
    CONTENT,
    NO_SUCH_RECIPIENT,
    NOT_THIS_RECIPIENT,
    RECIPIENT_LATER,
    SENDER,
    UNKNOWN,
    Phase,
    Rule,
)
from mailroom.domain.outbound.answers.smtp_words import BEFORE_MAIL

PHASES = (
    Rule(
        name="temporary_login",
        four=ACCOUNT,
        phases=(Phase.AUTH,),
        codes="432",
        source="RFC 4954: a password transition is needed",
    ),
    Rule(
        name="before_any_mail",
        five=ACCOUNT,
        four=AWAY,
        phases=BEFORE_MAIL,
        source="RFC 5321 3.1, 7504, 3207, 4954, 8314: no service, no TLS, wrong login; 4yz: the server is busy",
    ),
    # MAIL: one reply is enough, no row of them is needed.
    Rule(name="size_at_mail", five=CONTENT, phases=(Phase.MAIL,), codes="552", source="RFC 1870 6: SIZE of this mail"),
    Rule(
        name="commands_at_mail",
        five=ACCOUNT,
        phases=(Phase.MAIL,),
        codes="500 502 503 504 521 530 534 535 538 554 555",
        source="RFC 5321: our commands, or no service for this login",
    ),
    Rule(
        name="sender_at_mail",
        five=SENDER,
        four=AWAY,
        phases=(Phase.MAIL,),
        source="RFC 5321 3.3: the reverse path is not accepted; 4yz: 450, 451, 452, 454, 455",
    ),
    # RCPT.
    Rule(
        name="commands_at_recipient",
        five=ACCOUNT,
        phases=(Phase.RCPT, Phase.DATA),
        codes="500 502 503 504 521 530 534 535 538 555",
        source="RFC 5321, 4954: our commands, or a login is missing",
    ),
    Rule(
        name="address_at_recipient",
        five=NO_SUCH_RECIPIENT,
        phases=(Phase.RCPT,),
        codes="501 551 553 556",
        source="RFC 5321, 7504: syntax, not local, takes no mail",
    ),
    Rule(
        name="too_many_recipients",
        five=RECIPIENT_LATER,
        phases=(Phase.RCPT,),
        codes="552",
        source="RFC 5321 4.5.3.1.10: a 552 at RCPT is to be read as 452",
    ),
    Rule(
        name="recipient_later",
        four=RECIPIENT_LATER,
        phases=(Phase.RCPT,),
        codes="450 451 455",
        source="RFC 5321 4.2.3; Postfix 450 4.1.2, 4.1.1",
    ),
    Rule(
        name="server_later",
        five=NOT_THIS_RECIPIENT,
        four=AWAY,
        phases=(Phase.RCPT,),
        source="RFC 5321 4.2.3: 550 is not found and policy, 554 relay and lists at Postfix; 4yz: 452",
    ),
    # DATA, and after the dot.
    Rule(
        name="data_command",
        five=ACCOUNT,
        four=AWAY,
        phases=(Phase.DATA,),
        source="RFC 5321 3.3: nothing of the mail was seen yet",
    ),
    Rule(
        name="content_after_the_dot",
        five=CONTENT,
        four=RECIPIENT_LATER,
        phases=(Phase.AFTER_DOT,),
        codes="4* 5*",
        source="RFC 5321 4.2.5: the mail was seen, and nothing was taken",
    ),
    Rule(
        name="no_reply_after_the_dot",
        five=UNKNOWN,
        phases=(Phase.AFTER_DOT,),
        source="RFC 1047, 5321 4.5.3.2.6: it may have been taken",
    ),
    Rule(name="invalid_reply", five=AWAY, four=AWAY, source="no reply code where nothing can have been taken"),
)
