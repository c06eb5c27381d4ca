"""SES's verdicts on a received e-mail: one for each check.

A new check is a field of `Verdicts`. It is read from SES in `notifications`, and is stored, drawn and answered by its name.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """SES's result of one check. Only PASS is a pass."""

    PASS = "PASS"  # noqa: S105 - SES's word, not a password
    FAIL = "FAIL"
    GRAY = "GRAY"
    PROCESSING_FAILED = "PROCESSING_FAILED"
    DISABLED = "DISABLED"
    MISSING = "MISSING"


@dataclass(frozen=True, slots=True)
class Verdicts:
    """SES's verdicts on a mail, from its notification; `dmarc_policy` is set only if DMARC failed."""

    spam: Verdict = Verdict.MISSING
    virus: Verdict = Verdict.MISSING
    spf: Verdict = Verdict.MISSING
    dkim: Verdict = Verdict.MISSING
    dmarc: Verdict = Verdict.MISSING
    dmarc_policy: str | None = None


#: The names of the checks, in the order in which they are shown.
CHECKS = tuple(one.name for one in fields(Verdicts) if one.type is Verdict)


def stored_checks(words: Mapping[str, Any]) -> dict[str, Verdict]:
    """Return the verdict of each check from stored JSON; a check that was added after it was stored is MISSING.

    Raises:
        ValueError: a word is not a verdict.
    """
    return {check: Verdict(words.get(check, Verdict.MISSING)) for check in CHECKS}
