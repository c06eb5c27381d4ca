"""The answers of SMTP servers: words first, then enhanced status codes, then phases and reply codes."""

from mailroom.domain.outbound.answers.answer import Answer, Phase, Question, decided
from mailroom.domain.outbound.answers.smtp_phases import PHASES
from mailroom.domain.outbound.answers.smtp_statuses import STATUSES
from mailroom.domain.outbound.answers.smtp_words import WORDS
from mailroom.domain.outbound.answers.texts import asked_wait_s, enhanced_status, plain_words

SMTP = (*WORDS, *STATUSES, *PHASES)

#: Greylisting at its shortest: postgrey's default, in seconds.
_GREYLISTED_S = 300


def classify_smtp(phase: Phase, code: int, enhanced: str | None = None, text: str = "") -> Answer:
    """Return what an unsuccessful reply means.

    `code` is the reply code, -1 for a reply without one; `text` all its lines, without the code, parted by line ends.
    `enhanced` is its status code (RFC 3463) if the caller knows it, else it is read from the text.
    """
    words = plain_words(text)
    status = enhanced_status(text) if enhanced is None else enhanced
    asked = Question(
        code=f"{code:03d}" if 0 <= code <= 999 else "",
        phase=phase,
        status=status.partition(".")[2],
        words=words,
    )
    answer = decided(SMTP, asked, after_s=asked_wait_s(words))
    if answer.rule == "greylisted":
        return decided(SMTP, asked, after_s=max(answer.after_s or 0, _GREYLISTED_S))
    return answer
