"""How a stand-in for a mail provider treats the next mail: well, or in one of the ways that real ones fail."""

from enum import StrEnum


class Behaviour(StrEnum):
    """One way of treating a mail. Those that accept it count it, whatever they answer."""

    GOOD = "good"
    #: Asks to slow down, and for how long.
    SLOW = "slow"
    #: The quota of the day is used up.
    DAILY = "daily"
    #: The account or its key is not served.
    STOPPED = "stopped"
    REFUSES = "refuses"
    TOO_LARGE = "too_large"
    #: Accepts, and answers with a failure of its own.
    FAILS_AFTER = "fails_after"
    #: Accepts, and answers what nobody can read.
    GARBAGE = "garbage"
    #: Accepts, and answers twice.
    TWICE = "twice"
    #: Accepts, and resets the connection instead of answering.
    RESETS_AFTER = "resets_after"
    #: Resets the connection before it has read the mail.
    RESETS_BEFORE = "resets_before"
    #: Accepts, and never answers.
    HANGS = "hangs"


RETRY_AFTER_S = 7
