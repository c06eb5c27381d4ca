"""The words of the table: classes of answers, when to try again, what to suppress; and a rule with its conditions."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from functools import cached_property


class AnswerClass(StrEnum):
    """Whose fault an answer is. Stable words: documents and tests use them."""

    RECIPIENT_TEMPORARY = "recipient_temporary"
    RECIPIENT_PERMANENT = "recipient_permanent"
    CONTENT_REFUSED = "content_refused"
    ACCOUNT = "account"
    SENDER = "sender"
    PROVIDER_TEMPORARY = "provider_temporary"
    THROTTLED = "throttled"
    DAILY_QUOTA = "daily_quota"
    #: Nothing says whether the mail was taken.
    UNKNOWN = "unknown"


class Phase(StrEnum):
    """The step of an SMTP conversation that the reply answers (RFC 5321)."""

    CONNECT = "connect"
    EHLO = "ehlo"
    STARTTLS = "starttls"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    AFTER_DOT = "after_dot"


class Retry(StrEnum):
    """When to try again."""

    #: This message alone, by its own schedule.
    OWN_SCHEDULE = "own_schedule"
    #: All wait, seconds to minutes.
    BACKOFF = "backoff"
    #: After `Retry-After`, else slower.
    SLOWER = "slower"
    #: Each 15 minutes: a limit per hour, or of an address's reputation.
    QUARTER_HOUR = "quarter_hour"
    #: When the quota has room: the provider's own number, else one probe an hour.
    WHEN_ROOM = "when_room"
    #: A person, or one probe after 15 minutes and then each hour.
    PROBE = "probe"
    NEVER = "never"


class Suppress(StrEnum):
    """What a permanent refusal of a recipient means for later mail to the address."""

    HARD = "hard"
    SOFT = "soft"
    PROVIDER_LIST = "provider_list"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The right-hand side of a rule; `after_s` is the earliest time of the next try, in seconds, 0 for the usual one."""

    kind: AnswerClass
    retry: Retry
    suppress: Suppress = Suppress.NONE
    after_s: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A classified answer; `rule` names the row of the table that decided. `after_s`: see `Verdict`; None if nothing says it."""

    kind: AnswerClass
    retry: Retry
    suppress: Suppress
    rule: str
    after_s: int | None = None

    @property
    def hard(self) -> bool:
        """Whether the address takes no mail, whatever is sent to it."""
        return self.suppress is Suppress.HARD


_K, _R, _S = AnswerClass, Retry, Suppress
RECIPIENT_LATER = Verdict(_K.RECIPIENT_TEMPORARY, _R.OWN_SCHEDULE)
RECIPIENT_IN_AN_HOUR = Verdict(_K.RECIPIENT_TEMPORARY, _R.OWN_SCHEDULE, after_s=3600)
NO_SUCH_RECIPIENT = Verdict(_K.RECIPIENT_PERMANENT, _R.NEVER, _S.HARD)
NOT_THIS_RECIPIENT = Verdict(_K.RECIPIENT_PERMANENT, _R.NEVER, _S.SOFT)
NOT_BY_THIS_PROVIDER = Verdict(_K.RECIPIENT_PERMANENT, _R.NEVER)
ON_THE_PROVIDERS_LIST = Verdict(_K.RECIPIENT_PERMANENT, _R.NEVER, _S.PROVIDER_LIST)
CONTENT = Verdict(_K.CONTENT_REFUSED, _R.NEVER)
ACCOUNT = Verdict(_K.ACCOUNT, _R.PROBE)
SENDER = Verdict(_K.SENDER, _R.PROBE)
AWAY = Verdict(_K.PROVIDER_TEMPORARY, _R.BACKOFF)
SLOWER = Verdict(_K.THROTTLED, _R.SLOWER)
QUARTER_HOUR = Verdict(_K.THROTTLED, _R.QUARTER_HOUR, after_s=900)
DAILY = Verdict(_K.DAILY_QUOTA, _R.WHEN_ROOM)
UNKNOWN = Verdict(_K.UNKNOWN, _R.NEVER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a rule is matched against. `words` come from `texts.plain_words`; `status` is `x.1.1` without its first digit."""

    code: str
    phase: Phase | None = None
    status: str = ""
    names: Sequence[str] = ()
    words: str = ""

    @property
    def temporary(self) -> bool:
        """Whether the reply is 4yz."""
        return self.code.startswith("4")


# No slots: a cached property needs the instance's dictionary.
@dataclass(frozen=True, kw_only=True)
class Rule:
    """One row. Empty conditions match everything; all conditions must match.

    `five` is the verdict for an SMTP reply 5yz or an answer of an HTTP API, `four` for 4yz; None: the rule does not apply.
    `codes` are reply codes or HTTP statuses such as `55*`, `statuses` enhanced codes without their first digit, such as
    `1.1` or `7.20-7.26`, `names` a vendor's own codes or fields; each several, with blanks between. `words` are regular
    expressions, of which one must occur, `without` one that must not. `sources` is where the row comes from.
    """

    name: str
    five: Verdict | None = None
    four: Verdict | None = None
    phases: Sequence[Phase] = ()
    codes: str = ""
    statuses: str = ""
    but_statuses: str = ""
    names: str = ""
    words: Sequence[str] = ()
    without: Sequence[str] = ()
    source: str = field(default="")

    def verdict(self, asked: Question) -> Verdict | None:
        """Return this row's verdict; None if it does not match."""
        found = self.four if asked.temporary and asked.phase is not None else self.five
        return found if found is not None and self._matches(asked) else None

    def _matches(self, asked: Question) -> bool:
        return (
            (not self.phases or asked.phase in self.phases)
            and (not self.codes or any(fnmatchcase(asked.code, code) for code in self.codes.split()))
            and (not self.statuses or asked.status in self._statuses)
            and asked.status not in self._but_statuses
            and (not self.names or any(fnmatchcase(name, one) for name in asked.names for one in self.names.split()))
            and (not self.words or self._words.search(asked.words) is not None)
            and (not self.without or self._without.search(asked.words) is None)
        )

    @cached_property
    def _statuses(self) -> frozenset[str]:
        return frozenset(_each(self.statuses))

    @cached_property
    def _but_statuses(self) -> frozenset[str]:
        return frozenset(_each(self.but_statuses))

    @cached_property
    def _words(self) -> re.Pattern[str]:
        return re.compile("|".join(self.words))

    @cached_property
    def _without(self) -> re.Pattern[str]:
        return re.compile("|".join(self.without))


def decided(rules: Iterable[Rule], asked: Question, *, after_s: int | None = None) -> Answer:
    """Return the answer by the first rule that matches; the last rule of a table matches everything.

    `after_s` is the wait that the provider asks for. The longer of it and the rule's own counts.
    """
    for rule in rules:
        if (found := rule.verdict(asked)) is not None:
            wait = max(found.after_s, after_s or 0) or None
            return Answer(kind=found.kind, retry=found.retry, suppress=found.suppress, rule=rule.name, after_s=wait)
    raise AssertionError("the last rule of a table matches everything")


def _each(statuses: str) -> Iterable[str]:
    for part in statuses.split():
        first, _, last = part.partition("-")
        subject, _, detail = first.partition(".")
        for number in range(int(detail), int((last or first).partition(".")[2]) + 1):
            yield f"{subject}.{number}"
