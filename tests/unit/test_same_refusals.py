"""A row of the same refusal: when it is full, and what lengthens, ends or leaves it."""

from hypothesis import given
from hypothesis import strategies as st

from mailroom.domain.delivery.same_refusals import DOMAINS, RECIPIENTS, RefusalRow, SentTo, followed, refusal_of
from mailroom.domain.errors import ContentRefused, OutcomeUnknown, RecipientRefused, Refused, TransientError
from mailroom.ports.provider import ProviderReceipt

NO = "rcpt 550 5.7.1"


def refused(count: int, *, domains: int = 5, answer: str = NO) -> list[SentTo]:
    return [SentTo(answer, f"d{number % domains}.example") for number in range(count)]


def test_twenty_recipients_of_five_domains_in_a_row_are_full() -> None:
    """Nineteen are not, nor are a thousand of four domains: one receiver's policy is no fault of the batch."""
    assert followed(RefusalRow(), refused(20))[1] == 20
    assert followed(RefusalRow(), refused(19))[1] is None
    assert followed(RefusalRow(), refused(1000, domains=4))[1] is None
    assert followed(RefusalRow(), [*refused(300, domains=4), SentTo(NO, "fifth.example")])[1] == 301


def test_a_success_and_another_answer_begin_a_new_row() -> None:
    """With one mail accepted between, the fault is in the recipients."""
    good, other = SentTo("", "d.example"), SentTo("after_dot 554 5.7.1", "d.example")

    for between in (good, other):
        assert followed(RefusalRow(), [*refused(19), between, *refused(19)])[1] is None
    assert followed(RefusalRow(), [*refused(3), good])[0] == RefusalRow("")


def test_other_outcomes_neither_lengthen_nor_end_it() -> None:
    """A greylisted recipient, a lost answer and a mail that was refused here say nothing of the row."""
    neither = SentTo(None, "x.example")

    assert followed(RefusalRow(), [*refused(10), neither, *refused(10)])[1] == 21


def test_it_is_continued_where_the_last_round_ended() -> None:
    """Rounds are as small as the rate allows: two mails at a time come to the same."""
    row = RefusalRow()
    for start in range(0, 18, 2):
        row, full_at = followed(row, refused(20)[start : start + 2])
        assert full_at is None

    assert followed(row, refused(20)[18:])[1] == 2


@given(
    st.lists(
        st.sampled_from([*refused(6), SentTo("", "a.example"), SentTo(None, "a.example"), SentTo("x", "b.example")]),
        max_size=120,
    ),
    st.integers(0, 120),
)
def test_any_split_into_rounds_comes_to_the_same(outcomes: list[SentTo], at: int) -> None:
    """And it is full only with twenty of five domains."""
    whole, full_at = followed(RefusalRow(), outcomes)
    first, early = followed(RefusalRow(), outcomes[:at])
    if early is None:
        then, later = followed(first, outcomes[at:])
        assert (then, later and later + len(outcomes[:at])) == (whole, full_at)
    assert full_at is None or (whole.recipients >= RECIPIENTS and len(whole.domains) == DOMAINS)


def test_a_refusal_is_phase_code_and_status() -> None:
    """Of HTTP APIs the code; what was refused here, before the call, has none and does not count."""
    smtp = RecipientRefused("no", step="rcpt", code=550, enhanced="5.7.1", hard=False)

    assert refusal_of(smtp) == NO
    assert refusal_of(ContentRefused("no", code="MessageRejected", status=400)) == "MessageRejected"
    assert refusal_of(ContentRefused("no", status=400)) == "400"
    assert refusal_of(ProviderReceipt("smtp", "1")) == ""
    for neither in (Refused("too large", size=9), TransientError("away", code=421), OutcomeUnknown("lost", code=500)):
        assert refusal_of(neither) is None
