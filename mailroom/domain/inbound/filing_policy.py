"""Whether a mail may be filed, by SES's verdicts, a scanner's result, and the tenant's policy.

Only PASS is a pass; GRAY, missing and unknown words are not, and a failed scan does not count as clean. A virus stops a mail
whatever the tenant's policy; for the rest the policy decides.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from mailroom.domain.errors import Reason
from mailroom.domain.inbound.verdicts import Verdict, Verdicts


class Action(StrEnum):
    """What is done with a mail. Filed mail always shows what was found."""

    FILE = "file"
    QUARANTINE = "quarantine"


@dataclass(frozen=True, slots=True)
class FilingPolicy:
    """A tenant's policy: the action for each kind of doubtful mail.

    `spam`: SES considers it spam. `dmarc_reject`, `dmarc_quarantine`: DMARC failed, and the sender's domain requests this.
    `unsure`: spam, virus or DMARC neither passed nor failed. `unscanned`: the scan failed.
    """

    spam: Action = Action.FILE
    dmarc_reject: Action = Action.QUARANTINE
    dmarc_quarantine: Action = Action.FILE
    unsure: Action = Action.FILE
    unscanned: Action = Action.FILE


DEFAULT_POLICY = FilingPolicy()

#: What a person may release, so that it is filed all the same. A virus is never released.
RELEASABLE = frozenset({Reason.UNSCANNED, Reason.DMARC, Reason.SPAM, Reason.UNSURE, Reason.TOO_MANY})


class Finding(StrEnum):
    """The result of a scanner."""

    CLEAN = "clean"
    INFECTED = "infected"
    UNSCANNED = "unscanned"


@dataclass(frozen=True, slots=True)
class Scan:
    """A scanner's result for one mail; `why` names the signature, or why the scan failed."""

    finding: Finding
    engine: str
    why: str | None = None
    signatures_of: datetime | None = None


def stop_reason(verdicts: Verdicts, policy: FilingPolicy | None = None, scan: Scan | None = None) -> Reason | None:
    """Return why a mail is not filed for a tenant with this policy, or None if it is; the gravest reason first."""
    if verdicts.virus is Verdict.FAIL or (scan and scan.finding is Finding.INFECTED):
        return Reason.VIRUS
    policy = policy or DEFAULT_POLICY
    checks = (
        (scan is not None and scan.finding is Finding.UNSCANNED, policy.unscanned, Reason.UNSCANNED),
        (_dmarc_asks(verdicts, "reject"), policy.dmarc_reject, Reason.DMARC),
        (_dmarc_asks(verdicts, "quarantine"), policy.dmarc_quarantine, Reason.DMARC),
        (verdicts.spam is Verdict.FAIL, policy.spam, Reason.SPAM),
        (_is_unsure(verdicts), policy.unsure, Reason.UNSURE),
    )
    return next((reason for there, action, reason in checks if there and action is Action.QUARANTINE), None)


def _dmarc_asks(verdicts: Verdicts, policy: str) -> bool:
    return verdicts.dmarc is Verdict.FAIL and verdicts.dmarc_policy == policy


def _is_unsure(verdicts: Verdicts) -> bool:
    return any(word not in (Verdict.PASS, Verdict.FAIL) for word in (verdicts.spam, verdicts.virus, verdicts.dmarc))
