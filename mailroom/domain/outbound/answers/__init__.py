"""What a provider's answer means: one ordered table of rules, and the error that follows.

    answer.py     the words: class, retry, suppression; a rule and how it is matched
    texts.py      what is read of a reply's text: all lines, without addresses and host names
    smtp_words.py     SMTP: rules by words, which come first
    smtp_mail_words.py  SMTP: rules by words about one mail or recipient, a part of them
    smtp_statuses.py  SMTP: rules by vendors' and registered enhanced status codes
    smtp_phases.py    SMTP: rules by phase and reply code, which come last
    http.py       the answers of HTTP APIs by their status; a provider's own codes are in its adapter's file
    errors.py     the one function from an answer to the tree of errors

The first rule that matches decides. docs/delivery.md lists all of them; ADR 35 says why in this order.
"""

from mailroom.domain.outbound.answers.answer import Answer, AnswerClass, Phase, Retry, Suppress
from mailroom.domain.outbound.answers.errors import error_of
from mailroom.domain.outbound.answers.http import classify_http
from mailroom.domain.outbound.answers.smtp import classify_smtp

__all__ = [
    "Answer",
    "AnswerClass",
    "Phase",
    "Retry",
    "Suppress",
    "classify_http",
    "classify_smtp",
    "error_of",
]
