"""Damage of a copy of a deposit, as the flow `audit` finds it."""

from enum import StrEnum


class Damage(StrEnum):
    """What is wrong with a copy. The words are stored."""

    MISSING = "missing"
    ALTERED = "altered"
    UNLOCKED = "unlocked"
    UNREADABLE = "unreadable"

    @property
    def sentence(self) -> str:
        """What happened, for people."""
        return _SENTENCES[self]


_SENTENCES = {
    Damage.MISSING: "its version is not in the bucket",
    Damage.ALTERED: "its bytes are not those that were deposited",
    Damage.UNREADABLE: "S3 does not return it, while it returns others",
    Damage.UNLOCKED: "its lock is missing, weaker or shorter than recorded",
}
