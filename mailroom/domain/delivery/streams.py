"""Streams: the kinds of mail that a recipient leaves one by one, and what a suppression covers.

A batch belongs to one stream. Without a name of its own that is its lane: `transactional` or `bulk`. A suppression covers

    all                all mail (hard bounces, complaints, entries of a person or program)
    not_transactional  all but transactional mail
    stream             one stream of its tenant, and nothing while that stream is transactional

An unsubscribe never covers transactional mail: a reader who leaves a newsletter still gets receipts and password resets.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from mailroom.domain.delivery.suppression import Cause
from mailroom.domain.outbound.content_rules import is_clean
from mailroom.domain.outbound.message import Lane

#: The stream that is transactional for every tenant.
TRANSACTIONAL = Lane.TRANSACTIONAL.value
#: The stream of mail that is not transactional and names none.
BULK = Lane.BULK.value

MOST_STREAMS, MOST_GROUPS, MOST_NAME, MOST_TEXT = 50, 200, 100, 1_000

#: The message for a caller whose stream's name is not valid.
WHAT_A_STREAM_IS = (
    "a stream's name has 1 to 63 small letters, digits, dashes and underscores, and begins with a letter or a digit"
)
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_GROUP = re.compile(r"[0-9]{1,12}")


class Scope(StrEnum):
    """The mail that a suppression covers. Stable words: the API, filters and stored policies use them."""

    ALL = "all"
    NOT_TRANSACTIONAL = "not_transactional"
    STREAM = "stream"


def stream_name(written: str) -> str:
    """Return `written` if it is a valid name of a stream; nothing is trimmed or lowered.

    Raises:
        ValueError: it is not valid; the message is `WHAT_A_STREAM_IS`.
    """
    if not _NAME.fullmatch(written):
        raise ValueError(WHAT_A_STREAM_IS)
    return written


def default_stream(lane: Lane, *, leavable: bool) -> str:
    """Return the stream of a batch that names none; `leavable` is a batch that offers an unsubscribe.

    Transactional mail cannot be left, so what offers to leave is not in that stream, whatever its lane.
    """
    return BULK if leavable else lane.value


def is_stream(written: object) -> bool:
    """Return whether `written` is a valid name of a stream."""
    return isinstance(written, str) and _NAME.fullmatch(written) is not None


def scope_of(reason: str, stream: str | None) -> Scope:
    """Return what a suppression of this reason covers; `stream` None is one that names no stream."""
    if stream is not None:
        return Scope.STREAM
    return Scope.NOT_TRANSACTIONAL if reason == Cause.UNSUBSCRIBE else Scope.ALL


def scope_key(scope: Scope, stream: str | None) -> str:
    """Return the word of a scope with its stream, as it is stored: `stream:weekly` for a stream."""
    return f"{scope}:{stream}" if stream is not None else scope.value


@dataclass(frozen=True, slots=True, kw_only=True)
class UnsubscribePolicy:
    """A tenant's choices about leaving its mail.

    Attributes:
        covers: What an unsubscribe covers that says nothing of it: `stream` or `not_transactional`.
        transactional: Streams that are transactional beside `transactional`; an unsubscribe never withholds their mail.
        name: The sender's name on the unsubscribe page; empty is that of the mail's From.
        text: The tenant's own text on that page, plain, with line breaks.
        groups: Unsubscribe groups of the provider, by their number, and the stream that each stands for.
    """

    covers: Scope = Scope.STREAM
    transactional: tuple[str, ...] = ()
    name: str = ""
    text: str = ""
    groups: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def is_transactional(self, stream: str) -> bool:
        """Return whether the mail of a stream is withheld by no unsubscribe."""
        return stream == TRANSACTIONAL or stream in self.transactional


#: The policy of a tenant that chose nothing.
DEFAULT_UNSUBSCRIBE_POLICY = UnsubscribePolicy()


def policy_faults(policy: UnsubscribePolicy) -> list[tuple[str, str]]:
    """Return what is wrong with a policy, each fault as its field and a sentence; an empty list for a valid one."""
    faults = []
    if policy.covers not in (Scope.STREAM, Scope.NOT_TRANSACTIONAL):
        faults.append(("covers", f"an unsubscribe covers {Scope.STREAM} or {Scope.NOT_TRANSACTIONAL}"))
    if len(policy.transactional) > MOST_STREAMS:
        faults.append(("transactional", f"a tenant names at most {MOST_STREAMS} transactional streams"))
    if not all(map(is_stream, policy.transactional)):
        faults.append(("transactional", WHAT_A_STREAM_IS))
    if len(policy.name) > MOST_NAME or not is_clean(policy.name):
        faults.append(("name", f"a name has at most {MOST_NAME} characters, and no line breaks"))
    if len(policy.text) > MOST_TEXT or not is_clean(policy.text.replace("\n", "")):
        faults.append(("text", f"a text has at most {MOST_TEXT} characters, and no control characters"))
    if len(policy.groups) > MOST_GROUPS or not all(map(_GROUP.fullmatch, policy.groups)):
        faults.append(("groups", f"at most {MOST_GROUPS} groups, each by its number at the provider"))
    if not all(map(is_stream, policy.groups.values())):
        faults.append(("groups", WHAT_A_STREAM_IS))
    return faults


#: Facts of an `unsubscribed` event that say what was left: a scope, streams by name, a group of the provider's.
SCOPE_FACT, STREAMS_FACT, GROUP_FACT = "scope", "streams", "group"


def left_streams(facts: Mapping[str, str], stream: str, policy: UnsubscribePolicy) -> list[str | None]:
    """Return the streams that an unsubscribe covers; None among them is all that is not transactional.

    Args:
        facts: The event's; they may name a scope, streams or a group.
        stream: The stream of the message that was left.
        policy: The tenant's.
    """
    named = [name for name in facts.get(STREAMS_FACT, "").split(" ") if is_stream(name)][:MOST_STREAMS]
    group = policy.groups.get(facts.get(GROUP_FACT, ""))
    scope = facts.get(SCOPE_FACT) or policy.covers
    by_scope = stream if scope == Scope.STREAM else None
    left: list[str | None] = [*named] or [group or by_scope]
    # There is no leaving a transactional stream; what can be left is left.
    return list(dict.fromkeys(None if one is None or policy.is_transactional(one) else one for one in left))
