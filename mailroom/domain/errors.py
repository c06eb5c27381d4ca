"""The tree of errors, and what each means for the next step.

    MailroomError
    ├── TransientError          nothing left our side; try again later
    │   ├── Throttled           the other side asked us to slow down
    │   │   └── DailyQuota      its daily quota is used up; room comes within hours
    │   ├── RecipientUnavailable    this recipient cannot be reached now; others can
    │   ├── Paused              the other side has stopped this account or identity; a person must look
    │   │   └── SenderRefused   it does not send for this sender's domain; other senders go on
    │   ├── NotPermitted        a permission of ours is missing; work pauses until a person grants it
    │   └── UnfitSchema         the database's schema and this code do not fit; all work waits until they do
    ├── OutcomeUnknown          it may have been accepted; never repeat it blindly
    └── PermanentError          repeating cannot help; a person or a code change must
        ├── Quarantined         this mail is kept, visible and acknowledged, with its reason
        ├── Conflict            the same was requested before, with different content
        ├── TakenOver           another worker has the lease now; ours writes nothing more
        ├── RecipientGaveUp     this recipient could not be reached until the last try of its schedule
        └── Refused             this recipient or content will never be accepted
            ├── RecipientRefused    this recipient will never be accepted, whatever the content
            ├── ContentRefused      this content will never be accepted, by any recipient
            └── Unacceptable    a submitted request is refused as a whole; each fault names its place

    ConfigurationError          outside the tree: nothing may swallow or retry it

Messages are constant; what varies is in `facts`: ids, codes, sizes and digests. Facts appear in logs and in the Prefect
UI, so none may contain what a sender wrote.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class MailroomError(Exception):
    """The root of the tree."""

    def __init__(self, message: str, **facts: Any) -> None:
        super().__init__(message)
        self.message = message
        self.facts = facts

    def __reduce__(self) -> tuple[Any, ...]:
        # The default pickling of exceptions loses keyword-only facts.
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
    """The daily quota is used up: stop sending until there is room."""


class PermitExpired(TransientError):
    """The permit expired before the call, because earlier calls took too long; the provider was not called."""


class Paused(TransientError):
    """The other side has stopped this account or identity: nothing was sent, and nothing more should be."""


class SenderRefused(Paused):
    """The provider does not send for this sender's domain; the fact `sender_domain` names it. Other senders go on."""


class RecipientUnavailable(TransientError):
    """The provider takes mail, but not for this recipient now: only this message waits."""


class NotPermitted(TransientError):
    """A permission of ours is missing, independent of the mail: work pauses until a person grants it."""

    @property
    def permission(self) -> str:
        """The permission to grant, such as `s3:GetObjectRetention`."""
        return str(self.facts.get("permission", ""))


class UnfitSchema(TransientError):
    """The database's schema is missing, too old or too new for this code; the message says what to do."""


class OutcomeUnknown(MailroomError):
    """The answer was lost; the other side may have accepted the call."""


class PermanentError(MailroomError):
    """Repeating cannot help."""


class RecipientGaveUp(PermanentError):
    """This recipient could not be reached until the last try; the facts are the last answer's, `tries` and `since`."""


class Refused(PermanentError):
    """This recipient or content will never be accepted."""


class RecipientRefused(Refused):
    """This recipient will never be accepted, whatever the content; the fact `hard` is true where the address takes no mail."""


class ContentRefused(Refused):
    """This content will never be accepted by any recipient."""


class Conflict(PermanentError):
    """The same was requested before, with different content."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of a request: `where` is its path from the top, as in `("messages", 3, "to")`.

    `what` is a constant sentence that repeats nothing of the request. `named`, if there is one, is a sentence that does: for
    the caller's response alone, and in no log.
    """

    where: tuple[str | int, ...]
    what: str
    named: str = field(default="", repr=False)


class Unacceptable(Refused):
    """A request to send is refused as a whole, before any part of it is stored."""

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The faults to correct."""
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
    TOO_MANY = "too_many"


class Quarantined(PermanentError):
    """This mail is not filed; it is kept and waits for a person.

    `reason` is one of `Reason`; `facts` has the details.
    """

    def __init__(self, reason: Reason | str, **facts: Any) -> None:
        self.reason = Reason(reason)
        super().__init__(str(self.reason), **facts)


class TakenOver(PermanentError):
    """This attempt's lease expired and another attempt has the mail; only that one may file and close it."""


class ConfigurationError(Exception):
    """Mailroom is set up wrong; the message says what to change."""
