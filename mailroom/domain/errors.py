"""Every error that the way of a mail can meet, and what each means for the next step.

    MailroomError
    ├── TransientError          nothing left our side; try again later
    │   ├── Throttled           the other side asked us to slow down
    │   │   └── DailyQuota      its quota of a day is used up; room comes within hours
    │   ├── Paused              the other side has stopped this account or identity; a person must look
    │   ├── NotPermitted        a permission of ours is missing; work pauses until a person grants it
    │   └── UnfitSchema         the database's schema and this code do not fit; all work waits until they do
    ├── OutcomeUnknown          it may have been accepted; never repeat it blindly
    └── PermanentError          repeating cannot help; a person or a code change must
        ├── Quarantined         this mail is kept, visible and acknowledged, with its reason
        ├── Conflict            it was asked for before, and differently
        ├── TakenOver           another worker has this mail in hand now; what ours did not write stays unwritten
        └── Refused             this recipient or content will never be accepted
            └── Unacceptable    what was handed to us is refused as a whole; each fault is named by its place

    ConfigurationError          outside the tree: nothing may swallow or retry it

Messages are constant; what varies is in `facts`, and facts are ids, codes, sizes and digests. They end in logs and in
the Prefect UI, so nothing that a sender wrote may be among them.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class MailroomError(Exception):
    """Anything that went wrong with a mail."""

    def __init__(self, message: str, **facts: Any) -> None:
        super().__init__(message)
        self.message = message
        self.facts = facts

    def __reduce__(self) -> tuple[Any, ...]:
        # Keyword-only facts would be lost by the default way of pickling exceptions.
        return _rebuild, (type(self), self.message, self.facts)

    def __str__(self) -> str:
        if not self.facts:
            return self.message
        return f"{self.message} ({', '.join(f'{name}={value}' for name, value in self.facts.items())})"


def _rebuild(kind: type[MailroomError], message: str, facts: dict[str, Any]) -> MailroomError:
    return kind(message, **facts)


class TransientError(MailroomError):
    """Nothing left our side; the same call may work later."""


class Throttled(TransientError):
    """The other side asked us to slow down."""


class DailyQuota(Throttled):
    """The quota of a day is used up: stop handing over, go on when there is room."""


class TurnOver(TransientError):
    """The calls before took so long that this one came too late for its turn at the rate; the provider was not called."""


class Paused(TransientError):
    """The other side has stopped sending for this account or identity: nothing was handed over, nothing more should be."""


class NotPermitted(TransientError):
    """A permission of ours is missing, whatever the mail: work pauses until a person grants it."""

    @property
    def permission(self) -> str:
        """The permission to grant, such as `s3:GetObjectRetention`."""
        return str(self.facts.get("permission", ""))


class UnfitSchema(TransientError):
    """The database's schema is missing, older than this code needs, or no longer serves it; the message says what to do."""


class OutcomeUnknown(MailroomError):
    """The answer was lost; the other side may have accepted."""


class PermanentError(MailroomError):
    """Repeating cannot help."""


class Refused(PermanentError):
    """This recipient or content will never be accepted."""


class Conflict(PermanentError):
    """The same was asked for before, and differently."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong and where: `where` leads to it from the top of the request, as in `("messages", 3, "to")`.

    `what` is a constant sentence: nothing that was sent is repeated.
    """

    where: tuple[str | int, ...]
    what: str


class Unacceptable(Refused):
    """A request to send is refused as a whole, before anything of it is kept."""

    @property
    def faults(self) -> tuple[Fault, ...]:
        """What to change, each by its place."""
        return tuple(self.facts.get("faults", ()))


class Reason(StrEnum):
    """Why an inbound e-mail is in quarantine. Stable words: filters, metrics and replays use them."""

    NO_ROUTE = "no_route"
    RECIPIENTS_UNKNOWN = "recipients_unknown"
    NOT_DECRYPTABLE = "not_decryptable"
    NOT_BOUND = "not_bound"
    NOT_ENCRYPTED = "not_encrypted"
    FOREIGN_OBJECT = "foreign_object"
    GONE = "gone"
    EMPTY = "empty"
    TOO_LARGE = "too_large"
    UNPARSABLE = "unparsable"
    VIRUS = "virus"
    UNSCANNED = "unscanned"
    DMARC = "dmarc"
    SPAM = "spam"
    UNSURE = "unsure"
    POISON = "poison"


class Quarantined(PermanentError):
    """This mail will not be filed as it is; it is kept and waits for a person.

    `reason` is one of `Reason`; the facts say more.
    """

    def __init__(self, reason: Reason | str, **facts: Any) -> None:
        self.reason = Reason(reason)
        super().__init__(str(self.reason), **facts)


class TakenOver(PermanentError):
    """This attempt was thought dead and another one has the mail now; only that one may file and close it."""


class ConfigurationError(Exception):
    """Mailroom is set up wrong; the message says what to change."""
