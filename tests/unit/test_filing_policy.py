"""Whether a mail may be filed: the whole table of verdicts, and what a tenant's policy may change."""

from dataclasses import replace
from itertools import product

import pytest

from mailroom.domain.errors import Reason
from mailroom.domain.inbound.filing_policy import Action, FilingPolicy, Finding, Scan, stop_reason
from mailroom.domain.inbound.verdicts import Verdict, Verdicts

GOOD = Verdicts(*[Verdict.PASS] * 5)
STRICT = FilingPolicy(*[Action.QUARANTINE] * 5)
LAX = FilingPolicy(*[Action.FILE] * 5)


def scanned(finding: Finding) -> Scan:
    return Scan(finding, "ClamAV 1.4.6")


def test_mail_beyond_doubt_is_filed_under_every_policy() -> None:
    """The strictest tenant still gets its mail."""
    assert stop_reason(GOOD, STRICT, scanned(Finding.CLEAN)) is None


@pytest.mark.parametrize("policy", [STRICT, LAX, FilingPolicy()])
def test_virus_is_stopped_under_every_policy(policy: FilingPolicy) -> None:
    """One finding of SES or of the scanner is enough, even if the other missed it."""
    infected = replace(GOOD, virus=Verdict.FAIL)

    assert stop_reason(infected, policy, scanned(Finding.CLEAN)) is Reason.VIRUS
    assert stop_reason(GOOD, policy, scanned(Finding.INFECTED)) is Reason.VIRUS


@pytest.mark.parametrize(
    ("changes", "field", "reason", "by_default"),
    [
        ({"spam": Verdict.FAIL}, "spam", Reason.SPAM, None),
        ({"dmarc": Verdict.FAIL, "dmarc_policy": "reject"}, "dmarc_reject", Reason.DMARC, Reason.DMARC),
        ({"dmarc": Verdict.FAIL, "dmarc_policy": "quarantine"}, "dmarc_quarantine", Reason.DMARC, None),
        ({"dmarc": Verdict.GRAY}, "unsure", Reason.UNSURE, None),
        ({"virus": Verdict.PROCESSING_FAILED}, "unsure", Reason.UNSURE, None),
        ({"spam": Verdict.DISABLED}, "unsure", Reason.UNSURE, None),
        ({"spam": Verdict.MISSING}, "unsure", Reason.UNSURE, None),
    ],
)
def test_each_doubt_has_its_own_switch(
    changes: dict[str, object], field: str, reason: Reason, by_default: Reason | None
) -> None:
    """Defaults: a domain that asks to reject forgeries is obeyed; the rest is filed and shown with its mark."""
    verdicts = replace(GOOD, **changes)

    assert stop_reason(verdicts) is by_default
    assert stop_reason(verdicts, replace(LAX, **{field: Action.QUARANTINE})) is reason
    assert stop_reason(verdicts, replace(STRICT, **{field: Action.FILE})) is None


def test_what_could_not_be_scanned_is_never_clean() -> None:
    """Policy decides what becomes of it; the finding stays what it is."""
    away = scanned(Finding.UNSCANNED)

    assert stop_reason(GOOD, FilingPolicy(), away) is None
    assert stop_reason(GOOD, replace(LAX, unscanned=Action.QUARANTINE), away) is Reason.UNSCANNED


def test_only_pass_is_a_pass_in_the_whole_table() -> None:
    """Every word in every place: a strict tenant gets nothing but mail that passed spam, virus and DMARC."""
    for spam, virus, dmarc in product(Verdict, repeat=3):
        verdicts = replace(GOOD, spam=spam, virus=virus, dmarc=dmarc, dmarc_policy="reject")

        filed = stop_reason(verdicts, STRICT) is None

        assert filed == (spam == virus == dmarc == Verdict.PASS)
