"""What a provider's answer means: every row of the facts that were collected, real replies, and the page that lists the table.

.venv/bin/python -m tests.unit.test_answers   (writes the part of docs/delivery.md between its marks)
"""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailroom.adapters.providers.postmark import POSTMARK
from mailroom.adapters.providers.sendgrid import SENDGRID
from mailroom.adapters.providers.ses import SES
from mailroom.domain.errors import MailroomError, RecipientRefused, SenderRefused
from mailroom.domain.outbound.answers import AnswerClass, Phase, Retry, Suppress, classify_smtp, error_of
from mailroom.domain.outbound.answers.answer import Question, Rule, Verdict
from mailroom.domain.outbound.answers.http import HTTP
from mailroom.domain.outbound.answers.smtp import SMTP
from mailroom.domain.outbound.answers.smtp_words import WORDS
from mailroom.domain.outbound.answers.texts import asked_wait_s, enhanced_status, plain_words
from tests.support.answers import REPLIES, Reply

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "delivery.md"
BEGIN, END = "<!-- answers: python -m tests.unit.test_answers -->", "<!-- end of answers -->"
TABLES = {
    "SMTP": SMTP,
    "Amazon SES, `SendEmail`": SES,
    "SendGrid": SENDGRID,
    "Postmark": POSTMARK,
}
SENTENCES = {
    AnswerClass.RECIPIENT_TEMPORARY: "this message waits by its own schedule; the others go on",
    AnswerClass.RECIPIENT_PERMANENT: "the message is rejected; `hard` suppresses the address",
    AnswerClass.CONTENT_REFUSED: "the message is rejected",
    AnswerClass.ACCOUNT: "the provider's account is paused for all batches; nothing fails; one probe after 15 minutes, then each hour",
    AnswerClass.SENDER: "the sender's domain is paused at this provider; other senders go on; probes as above",
    AnswerClass.PROVIDER_TEMPORARY: "all wait, from seconds to five minutes",
    AnswerClass.THROTTLED: "all wait as long as the provider asks for",
    AnswerClass.DAILY_QUOTA: "all wait until the quota has room, else one probe each hour",
    AnswerClass.UNKNOWN: "the message is `unknown` until an event or a query settles it; it is not sent again by itself",
}


def _shown(verdict: Verdict | None) -> str:
    if verdict is None:
        return ""
    extra = f", {verdict.suppress}" if verdict.suppress is not Suppress.NONE else ""
    return f"{verdict.kind}{extra}" + (f", {verdict.after_s} s" if verdict.after_s else "")


def _conditions(rule: Rule) -> str:
    parts = [", ".join(rule.phases), f"code {rule.codes}" if rule.codes else ""]
    parts += [f"x.{rule.statuses.replace(' ', ', x.')}" if rule.statuses else "", rule.names.replace(" ", ", ")]
    parts += ["words: " + " / ".join(f"`{word}`" for word in rule.words) if rule.words else ""]
    parts += ["without: " + " / ".join(f"`{word}`" for word in rule.without) if rule.without else ""]
    return "; ".join(filter(None, parts)).replace("|", "\\|") or "anything else"


def page() -> str:
    """Return the generated part of docs/delivery.md."""
    lines = ["| class | what follows |", "| --- | --- |"]
    lines += [f"| `{kind}` | {SENTENCES[kind]} |" for kind in AnswerClass]
    for name, rules in TABLES.items():
        smtp = name == "SMTP"
        head = ["rule", "when", "5yz", "4yz", "source"] if smtp else ["rule", "when", "means", "source"]
        lines += ["", f"### {name}", "", f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
        for rule in rules:
            means = [_shown(rule.five), _shown(rule.four)] if smtp else [_shown(rule.five)]
            lines.append(f"| {' | '.join([f'`{rule.name}`', _conditions(rule), *means, rule.source])} |")
    return "\n".join(lines)


@pytest.mark.parametrize("reply", REPLIES, ids=lambda reply: f"{reply.phase}-{reply.code}-{reply.text[:48]}")
def test_a_reply_means_what_a_person_reads_in_it(reply: Reply) -> None:
    """The rows of research/answers.md as servers write them, and siblings of them from servers that people send through."""
    answer = classify_smtp(Phase(reply.phase), reply.code, None, reply.text)

    assert (answer.kind.value, answer.suppress.value) == (reply.kind, reply.suppress), answer


HARD = ["5.1.1", "5.1.3", "5.1.6", "5.1.10", "5.2.1"]
RECIPIENT_PHASES = [Phase.RCPT, Phase.DATA, Phase.AFTER_DOT]
#: What each word group looks for, as texts.
GROUP_WORDS = [
    "daily limit exceeded", "24-hours period, quota exceeded", "maximum credits exceeded", "200 messages per hour",
    "relay access denied", "account suspended", "block list", "banned", "not authorized to send", "not verified",
    "permanently deferred", "helo command rejected", "greylisted",
]  # fmt: skip


@given(
    st.sampled_from(["5.1.1", "5.1.3", "5.1.6", "5.1.10"]),
    st.sampled_from(RECIPIENT_PHASES),
    st.lists(st.sampled_from([*GROUP_WORDS, "too many messages", "slow down", "limit reached"]), max_size=4),
    st.sampled_from([550, 551, 553, 554, 556]),
)
def test_no_word_changes_a_refusal_of_an_address_for_good(
    status: str, phase: Phase, words: list[str], code: int
) -> None:
    """`User unknown in relay recipient table` is about no relay, and a list of dead addresses is no pause."""
    answer = classify_smtp(phase, code, None, f"{status} User unknown; {' '.join(words)}")

    assert (answer.kind, answer.suppress) == (AnswerClass.RECIPIENT_PERMANENT, Suppress.HARD)


@given(st.sampled_from(HARD), st.sampled_from(RECIPIENT_PHASES), st.lists(st.sampled_from(GROUP_WORDS), max_size=3))
def test_a_word_in_an_address_or_a_host_name_decides_nothing(status: str, phase: Phase, words: list[str]) -> None:
    """Names are the sender's and the receiver's: daily@relay-denied.example, throttle.hourly.example."""
    name = "-".join(words).replace(", ", "-").replace(" ", ".") or "bob"
    text = (
        f"{status} <{name}@{name}.example>: mailbox unavailable at mx.{name}.example, see https://{name}.example/{name}"
    )

    answer = classify_smtp(phase, 550, None, text)

    assert (answer.kind, answer.suppress) == (AnswerClass.RECIPIENT_PERMANENT, Suppress.HARD)


@pytest.mark.parametrize(
    ("text", "code", "kind"),
    [
        ("5.7.24 SPF validation failed", 451, AnswerClass.SENDER),
        ("4.4.7 delivery time expired", 550, AnswerClass.RECIPIENT_PERMANENT),
        ("5.1.1 not now", 450, AnswerClass.RECIPIENT_TEMPORARY),
        ("4.1.1 no", 550, AnswerClass.RECIPIENT_PERMANENT),
        ("5.2.2 full", 452, AnswerClass.RECIPIENT_TEMPORARY),
    ],
)
def test_the_reply_says_whether_for_good_and_the_status_whose_fault(text: str, code: int, kind: AnswerClass) -> None:
    """Their first digits differ where a server maps one by a setting (Postfix `unknown_address_reject_code`)."""
    assert classify_smtp(Phase.RCPT, code, None, text).kind is kind


@pytest.mark.parametrize("subject", range(8))
def test_every_status_and_code_is_decided_in_every_phase(subject: int) -> None:
    """The last rule matches everything; a permanent reply is never a reason to wait for one recipient without a rule for it."""
    for detail in [*range(33), 90, 121, 139, 251, 350, 501, 606, 650, 700, 750, 899, 999]:
        for phase in Phase:
            for code in (-1, 250, 354, 421, 450, 451, 452, 454, 500, 501, 521, 530, 535, 550, 551, 552, 553, 554, 556):
                answer = classify_smtp(phase, code, None, f"{str(code)[0]}.{subject}.{detail} text")

                assert answer.rule
                # Before the dot nothing can have been taken.
                assert answer.kind is not AnswerClass.UNKNOWN or (phase is Phase.AFTER_DOT and code in (-1, 250, 354))


@given(st.integers(-1, 999), st.sampled_from(Phase), st.text(max_size=300))
def test_any_text_is_answered(code: int, phase: Phase, text: str) -> None:
    """A reply is the other side's: any text, and none of it goes into an error."""
    answer = classify_smtp(phase, code, None, text)
    error = error_of(answer, provider="smtp", step=phase.value, code=code)

    assert isinstance(error, MailroomError)
    assert len(text) < 20 or text not in str(error)


def test_a_reply_of_megabytes_is_read_in_bounded_time() -> None:
    """Its beginning and its end are read: 200,000 lines, or one word of a megabyte with ats and dots in it."""
    for text in ("a" * 10**6, "a." * 500_000, "a@" * 500_000, "mailbox unavailable\n" * 200_000, "1" * 10**6):
        answer = classify_smtp(Phase.RCPT, 450, None, text + "\nMail send limit exceeded")

        assert answer.kind is AnswerClass.THROTTLED


def test_all_lines_of_a_reply_count() -> None:
    """IONOS has the limit in the last line, behind "mailbox unavailable"."""
    text = "Requested mail action not taken: mailbox unavailable\nMail send limit exceeded"

    assert classify_smtp(Phase.RCPT, 450, None, text).retry is Retry.QUARTER_HOUR
    assert classify_smtp(Phase.RCPT, 450, None, text.splitlines()[0]).kind is AnswerClass.RECIPIENT_TEMPORARY


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("5.1.1 no", "5.1.1"),
        ("sorry, no mailbox here by that name. (#5.1.1)", "5.1.1"),
        ("#5.1.0 Address rejected.", "5.1.0"),
        ("first line\n5.7.26 second", "5.7.26"),
        ("5.1.1.2 is no status", ""),
        ("see RFC 5321 section 4.2.1", ""),
        ("127.0.0.1 is listed", ""),
        ("5.01.001 zeros", "5.1.1"),
    ],
)
def test_the_status_is_found_where_servers_write_it(text: str, status: str) -> None:
    """At the start of a line, or marked; a number in the text is none."""
    assert enhanced_status(text) == status


@pytest.mark.parametrize(
    ("text", "wait_s"),
    [
        ("Greylisted, try again in 300 seconds", 300),
        ("please come back in 5 minutes", 300),
        ("retry after 1 hour", 3600),
        ("Greylisted for 60 seconds", 60),
        ("try again later", None),
        ("try again in 99999 hours", 86_400),
    ],
)
def test_a_wait_that_a_reply_names_is_read(text: str, wait_s: int | None) -> None:
    """Greylisting says when it will accept; a number of days is cut."""
    assert asked_wait_s(plain_words(text)) == wait_s


def test_greylisting_waits_as_long_as_it_says_and_five_minutes_at_least() -> None:
    """postgrey counts 300 seconds by default, whatever the text says."""
    long, short = (
        classify_smtp(Phase.RCPT, 450, None, f"4.2.0 Greylisted, try again in {s} seconds") for s in (900, 20)
    )

    assert (long.after_s, short.after_s) == (900, 300)


def test_errors_have_what_the_next_step_needs() -> None:
    """`hard` decides the suppression, `sender_domain` who is paused, `retry_after_s` the wait."""
    gone = error_of(classify_smtp(Phase.RCPT, 550, None, "5.1.1 User unknown"), provider="smtp")
    sender = error_of(classify_smtp(Phase.MAIL, 553, None, "Sender address rejected"), sender_domain="acme.example")

    assert isinstance(gone, RecipientRefused)
    assert gone.facts == {"provider": "smtp", "rule": "no_such_recipient", "hard": True, "suppress": "hard"}
    assert isinstance(sender, SenderRefused)
    assert sender.facts["sender_domain"] == "acme.example"


def test_names_of_rules_are_unique_and_words_compile() -> None:
    """A rule's name is a fact of each error: two rules of one name would hide which one decided."""
    for rules in (*TABLES.values(), HTTP):
        names = [rule.name for rule in rules]
        assert len(names) == len(set(names))
        assert all(rule.source for rule in rules)
    for rule in WORDS:
        rule.verdict(Question(code="550", phase=Phase.RCPT, words="any"))
    assert all(re.fullmatch(r"[a-z0-9_]+", rule.name) for rules in TABLES.values() for rule in rules)


def test_the_table_in_the_docs_is_this_one() -> None:
    """If it fails, run the command at the top of this file."""
    assert f"{BEGIN}\n{page()}\n{END}" in DOCUMENT.read_text()


if __name__ == "__main__":
    before, _, rest = DOCUMENT.read_text().partition(BEGIN)
    DOCUMENT.write_text(f"{before}{BEGIN}\n{page()}\n{END}{rest.partition(END)[2]}")
