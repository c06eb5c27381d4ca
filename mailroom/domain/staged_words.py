"""Words with a stage: what is written once of `Status` and `State`."""

from enum import StrEnum
from typing import Any, Self


class StagedWord(StrEnum):
    """A stable word and its stage, an enum of its own for each direction.

    A member without a stage is a ValueError when its module is imported.
    """

    _value_: str
    stage: Any

    def __new__(cls, word: str, *stage: StrEnum) -> Self:
        """Return a member; looking up a word with `Status(word)` does not call this."""
        member = str.__new__(cls, word)
        member._value_, (member.stage,) = word, stage
        return member
