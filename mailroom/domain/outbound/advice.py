"""Why a message has its status and what to do, with the names that a person needs: ids in commands, the sender's domain.

Sentences of reasons have placeholders in their commands: `DOMAIN` is the sender's domain, `ID` the batch's id after
`mailroom batch`, and else the message's.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from mailroom.domain.outbound.reasons import OutboundReason
from mailroom.domain.readable import shown, when
from mailroom.domain.texts import Lookup, Text

_COMMAND = re.compile(r"`[^`]*`")
_NAME = re.compile(r"\b(?:ID|DOMAIN)\b")
#: A-labels; what is no domain stays a placeholder.
_DOMAIN = re.compile(r"[A-Za-z0-9.-]{1,253}")
#: The words of sentences after which the domain itself is named; pages look for their translation.
SENDERS_DOMAIN = "sender's domain"


@dataclass(frozen=True, slots=True)
class _Names:
    message_id: str
    batch_id: str
    domain: str | None

    def in_command(self, found: re.Match[str]) -> str:
        filled = {"ID": self.batch_id if found[0].startswith("`mailroom batch ") else self.message_id}
        if self.domain:
            filled["DOMAIN"] = self.domain
        return _NAME.sub(lambda name: filled.get(name[0], name[0]), found[0])


class _Named(Text):
    """A reason's sentence with names in its commands, in any language."""

    names: _Names

    @classmethod
    def of(cls, sentence: str, names: _Names) -> Self:
        made = cls._made(cls._with(sentence, SENDERS_DOMAIN, names), None, 1, {})
        made.template, made.names = sentence, names
        return made

    def worded(self, lookup: Lookup) -> str:
        return self._with(lookup(self.template), lookup(SENDERS_DOMAIN), self.names)

    @staticmethod
    def _with(sentence: str, domain_words: str, names: _Names) -> str:
        if names.domain:
            sentence = sentence.replace(domain_words, f"{domain_words} {names.domain}")
        return _COMMAND.sub(names.in_command, sentence)


@dataclass(frozen=True, slots=True)
class Advice:
    """A reason's sentence and what to do, about one message; both read on after a colon."""

    sentence: str
    remedy: str


def advice(stored: str | None, *, message_id: str, batch_id: str, sender: str) -> Advice | None:
    """Return why a message has its status and what to do; None for a word that is no reason.

    Args:
        stored: The message's reason, in either spelling.
        sender: The address it is from.
    """
    known = OutboundReason.read(stored)
    if known is None:
        return None
    domain = _DOMAIN.fullmatch(sender.rpartition("@")[2])
    names = _Names(message_id, batch_id, domain[0] if domain else None)
    return Advice(_Named.of(known.sentence, names), _Named.of(known.remedy, names))


def explain(stored: str | None, *, message_id: str, batch_id: str, sender: str) -> dict[str, str | None]:
    """Return what JSON says beside `reason`: its stable word, why, and what to do, with the names of this message."""
    about = advice(stored, message_id=message_id, batch_id=batch_id, sender=sender)
    values = OutboundReason.explain(stored)
    return values if about is None else values | {"why": about.sentence, "what_to_do": about.remedy}


def about_pause(reason: str, sender_domain: str | None) -> Advice | None:
    """Return why an account, or a sender at it, is paused and what to do; None for a word that is no reason."""
    return advice(reason, message_id="ID", batch_id="ID", sender=f"@{sender_domain or ''}")


def paused_line(pause: Mapping[str, Any]) -> str:
    """Return why a batch waits for its provider, until when, and what to do; `pause` is that of a batch's JSON."""
    of = f", for mail of {shown(pause['sender_domain'])}" if pause["sender_domain"] else ""
    code = f" ({shown(pause['code'])})" if pause["code"] else ""
    about = about_pause(pause["reason"], pause["sender_domain"]) or Advice(pause["why"], pause["what_to_do"])
    said = f"paused until {when(pause['until'])}, since {when(pause['since'])}: {pause['provider']}{of}{code}"
    return f"{said}: {about.sentence}. What to do: {about.remedy}"
