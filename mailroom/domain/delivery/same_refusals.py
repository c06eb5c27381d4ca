"""A row of the same refusal: many recipients of several domains, one after the other, refused with the same answer.

Such an answer is about the sender, the content or the list, not about twenty people. The row ends with a mail that the
provider accepts and begins again with another refusal; other outcomes neither lengthen nor end it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from mailroom.domain.errors import MailroomError, Refused

#: A row of this many recipients, of at least this many domains, stops the batch.
RECIPIENTS, DOMAINS = 20, 5


@dataclass(frozen=True, slots=True)
class SentTo:
    """What became of one mail: `refusal` is the answer's phase, code and status, "" for an accepted mail, None for neither."""

    refusal: str | None
    domain: str


@dataclass(frozen=True, slots=True)
class RefusalRow:
    """The row so far; `domains` has at most `DOMAINS` of them."""

    answer: str = ""
    recipients: int = 0
    domains: tuple[str, ...] = ()

    @property
    def is_full(self) -> bool:
        """Whether it stops the batch."""
        return self.recipients >= RECIPIENTS and len(self.domains) >= DOMAINS


def refusal_of(result: object) -> str | None:
    """Return a provider's permanent refusal as phase, code and status; "" for an accepted mail, None for all else.

    A mail that was refused here, before the provider was called, has no code.
    """
    if not isinstance(result, MailroomError):
        return ""
    code = result.facts.get("code") or result.facts.get("status")
    if not isinstance(result, Refused) or not code:
        return None
    parts = result.facts.get("step"), code, result.facts.get("enhanced")
    return " ".join(str(part) for part in parts if part)


def followed(row: RefusalRow, outcomes: Sequence[SentTo]) -> tuple[RefusalRow, int | None]:
    """Return the row after these outcomes, and the number of outcomes up to which it became full; None: it did not."""
    for number, one in enumerate(outcomes, 1):
        if one.refusal is None:
            continue
        if one.refusal != row.answer:
            row = RefusalRow(one.refusal)
        if one.refusal:
            new = one.domain not in row.domains and len(row.domains) < DOMAINS
            row = RefusalRow(row.answer, row.recipients + 1, (*row.domains, one.domain) if new else row.domains)
        if row.is_full:
            return row, number
    return row, None
