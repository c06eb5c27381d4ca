"""Words for why something is as it is: stable, snake_case, each with a sentence for people and what to do.

A reason is stored, filtered by, counted and emitted by its word. Up to 0.1.0 some words were names of Python classes:
rows that have them stay as they are and are read as the new word, and for one release the old word is emitted beside it.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Self


class ReasonWord(StrEnum):
    """A reason. `sentence` and `remedy` read on after a colon: lower case, no full stop. `old` is the word up to 0.1.0."""

    _value_: str
    sentence: str
    remedy: str
    old: str

    def __new__(cls, word: str, sentence: str, remedy: str, old: str = "") -> Self:
        """Make a member of its word; without `old` the word has not changed."""
        plain = str(word)
        member = str.__new__(cls, plain)
        member._value_ = plain
        member.sentence, member.remedy, member.old = sentence, remedy, old or plain
        return member

    @property
    def spellings(self) -> frozenset[str]:
        """The words by which rows may have it."""
        return frozenset({self.value, self.old})

    @classmethod
    def read(cls, stored: object) -> Self | None:
        """Return the reason of a stored word, new or old; None for a word that is not one of these."""
        return next((one for one in cls if stored in (one.value, one.old)), None)

    @classmethod
    def same(cls, one: str | None, other: str | None) -> bool:
        """Return whether two stored words, new or old, are of one reason."""
        known = cls.read(one)
        return one == other or (known is not None and known is cls.read(other))

    @classmethod
    def old_word(cls, stored: str | None) -> str | None:
        """Return the word of up to 0.1.0 for a stored one, new or old; an unknown word stays as it is."""
        known = cls.read(stored)
        return known.old if known is not None and known.value == stored else stored

    @classmethod
    def explain(cls, stored: str | None) -> dict[str, str | None]:
        """Return what JSON says beside `reason`, which has the old word: the new word, its sentence and what to do."""
        known = cls.read(stored)
        return {"reason_code": known.value if known else stored, **cls.advise(stored)}

    @classmethod
    def advise(cls, stored: str | None) -> dict[str, str | None]:
        """Return what JSON says beside a word that has not changed: its sentence and what to do."""
        known = cls.read(stored)
        return {"why": known.sentence if known else None, "what_to_do": known.remedy if known else None}

    @classmethod
    def both_words(cls, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Return the facts of an activity: `reason` with the old word, where there is a known one, `reason_code` beside it."""
        known = cls.read(facts.get("reason"))
        if known is None:
            return dict(facts)
        return {**facts, "reason": cls.old_word(facts["reason"]), "reason_code": known.value}
