"""How long the archive keeps what it has: rules by class, the locks that they give, and legal holds.

A rule has versions, which are only added. What is deposited gets the lock of the rule's newest version; a later version
changes no lock that is set already. A lock is only ever extended.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from mailroom.domain.errors import ConfigurationError, PermanentError

GOVERNANCE, COMPLIANCE = "GOVERNANCE", "COMPLIANCE"

#: The longest period of a rule, as S3's own limit is: a mistake under COMPLIANCE cannot be undone.
MOST_DAYS = 36_500

#: The longest legal basis of a rule, and the longest reason of a hold, in characters.
MOST_WORDS = 500


class Trigger(StrEnum):
    """From when a period counts."""

    DEPOSITED = "deposited"
    """The last deposit of the same bytes."""


class FinalAction(StrEnum):
    """What may happen once a lock has ended; nothing does by itself."""

    KEEP = "keep"
    REVIEW = "review"
    DESTROY = "destroy"


class RetentionClass(StrEnum):
    """The class of what is archived, by which its rule is found."""

    DOCUMENT = "document"
    UNROUTED = "unrouted"
    VIRUS = "virus"
    QUARANTINED = "quarantined"
    REPORT = "report"
    """A report of a message of ours, which came back by mail."""
    WITHDRAWN = "withdrawn"
    """Formerly a document; kept as long as one."""

    @property
    def rule(self) -> str:
        """The name of its rule."""
        return RetentionClass.DOCUMENT.value if self is RetentionClass.WITHDRAWN else self.value


#: The names of all rules.
RULES = tuple(dict.fromkeys(one.rule for one in RetentionClass))


@dataclass(frozen=True, slots=True)
class Lock:
    """The mode and end of a version's Object Lock retention."""

    mode: str
    until: datetime

    def is_at_least(self, wanted: "Lock") -> bool:
        """Return whether it lasts as long as `wanted`, and is no weaker."""
        return self.until >= wanted.until and self.is_as_strict_as(wanted)

    def is_as_strict_as(self, wanted: "Lock") -> bool:
        """Return whether its mode is no weaker than that of `wanted`."""
        return self.mode == COMPLIANCE or wanted.mode != COMPLIANCE

    def refuse(self, *, now: datetime, present: "Lock | None" = None) -> None:
        """Raise if no version may get this lock, or if it is less than the version's `present` one.

        Raises:
            LockRefused: the facts are `why`, and what was wanted.
        """
        if why := self._fault(now, present):
            raise LockRefused("a lock is refused", why=why, mode=self.mode, until=str(self.until))

    def _fault(self, now: datetime, present: "Lock | None") -> str:
        if self.mode not in (GOVERNANCE, COMPLIANCE):
            return "no mode of Object Lock"
        if self.until.utcoffset() is None:
            return "a date without a time zone"
        if self.until <= now:
            return "a date that has passed"
        # Some seconds pass between the choice of a date and this check.
        if self.until - now > timedelta(days=MOST_DAYS):
            return f"a date more than {MOST_DAYS} days ahead"
        if present is not None and self.until < present.until:
            return "an earlier date than the present one"
        if present is not None and not self.is_as_strict_as(present):
            return "a weaker mode than the present one"
        return ""


class LockRefused(PermanentError):
    """A lock that the archive never sets: shorter, weaker, past, or so long that it must be a mistake."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionRule:
    """A version of a rule: how long what is of its class is locked, why, and what may happen then."""

    name: str
    version: int
    days: int
    action: FinalAction
    basis: str
    since: datetime
    by: str
    trigger: Trigger = Trigger.DEPOSITED

    @property
    def label(self) -> str:
        """Its name and version, as journals and manifests name it: `document/1`."""
        return f"{self.name}/{self.version}"

    @property
    def period(self) -> timedelta:
        """How long a deposit is locked."""
        return timedelta(days=self.days)

    def lock(self, mode: str, now: datetime) -> Lock:
        """Return the lock of what is deposited now, in whole seconds as S3 stores it."""
        return Lock(mode, now.replace(microsecond=0) + self.period)


def rule_fault(name: str, days: int, basis: str) -> str:
    """Return why these are no rule, or an empty text."""
    if name not in RULES:
        return f"no such rule; the rules are {', '.join(RULES)}"
    if not 1 <= days <= MOST_DAYS:
        return f"a period has 1 to {MOST_DAYS} days"
    return words_fault(basis, "the legal basis")


def words_fault(words: str, what: str) -> str:
    """Return why this is no legal basis or reason, or an empty text; both are one line for people."""
    if not words.strip():
        return f"{what} is empty"
    if len(words) > MOST_WORDS:
        return f"{what} has more than {MOST_WORDS} characters"
    if re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]", words):
        return f"{what} is more than one line of text"
    return ""


def refuse_other_days(setting: int | None, document: RetentionRule) -> None:
    """Raise if the setting of the archive's retention is not what the rule of documents says.

    Raises:
        ConfigurationError: they differ; the message says what to do.
    """
    if setting is not None and setting != document.days:
        raise ConfigurationError(
            f"MAILROOM_ARCHIVE_RETENTION_DAYS is {setting}, and the rule {document.label} has {document.days} days; remove the "
            f"setting, or run `mailroom archive rule set document --days {setting} --basis TEXT`"
        )
