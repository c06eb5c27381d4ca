"""Reasons: stable snake_case words, each with a sentence for people and what to do.

Rows, filters, metrics and webhooks contain the word. Up to 0.1.0 some words were names of Python classes: rows that have
them stay unchanged and are read as the new word, and for one release the old word is emitted beside it.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Self


class ReasonWord(StrEnum):
    """A reason. `sentence` and `remedy` continue after a colon: lower case, no full stop. `old` is the word up to 0.1.0."""

    _value_: str
    sentence: str
    remedy: str
    old: str

    def __new__(cls, word: str, sentence: str, remedy: str, old: str = "") -> Self:
        """Return a member; without `old` the word has not changed."""
        plain = str(word)
        member = str.__new__(cls, plain)
        member._value_ = plain
        member.sentence, member.remedy, member.old = sentence, remedy, old or plain
        return member

    @property
    def spellings(self) -> frozenset[str]:
        """The words, new and old, that rows may contain; an old word that several reasons were is of the first alone."""
        return frozenset({self.value, self.old} if type(self).read(self.old) is self else {self.value})

    @classmethod
    def read(cls, stored: object) -> Self | None:
        """Return the reason of a stored word, new or old; None for an unknown word."""
        return next((one for one in cls if stored in (one.value, one.old)), None)

    @classmethod
    def same(cls, one: str | None, other: str | None) -> bool:
        """Return whether two stored words, new or old, mean the same reason."""
        known = cls.read(one)
        return one == other or (known is not None and known is cls.read(other))

    @classmethod
    def old_word(cls, stored: str | None) -> str | None:
        """Return the word up to 0.1.0 for a stored word, new or old; an unknown word is returned unchanged."""
        known = cls.read(stored)
        return known.old if known is not None and known.value == stored else stored

    @classmethod
    def explain(cls, stored: str | None) -> dict[str, str | None]:
        """Return the JSON fields beside `reason` (the old word): the new word, its sentence and what to do."""
        known = cls.read(stored)
        return {"reason_code": known.value if known else stored, **cls.advise(stored)}

    @classmethod
    def advise(cls, stored: str | None) -> dict[str, str | None]:
        """Return the JSON fields beside a word that has not changed: its sentence and what to do."""
        known = cls.read(stored)
        return {"why": known.sentence if known else None, "what_to_do": known.remedy if known else None}

    @classmethod
    def both_words(cls, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Return the facts of an activity; a known reason becomes `reason`, the old word, and `reason_code`, the new one."""
        known = cls.read(facts.get("reason"))
        if known is None:
            return dict(facts)
        return {**facts, "reason": cls.old_word(facts["reason"]), "reason_code": known.value}
