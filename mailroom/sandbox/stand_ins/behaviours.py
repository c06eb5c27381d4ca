"""Behaviours of a stand-in for a mail provider: accept the next mail, or fail in one of the ways that real providers do."""

from enum import StrEnum


class Behaviour(StrEnum):
    """What a stand-in does with a mail. An accepted mail is counted, whatever the response."""

    GOOD = "good"
    #: Throttles, with a time to wait.
    SLOW = "slow"
    #: The daily quota is used up.
    DAILY = "daily"
    #: The account or its key is disabled.
    STOPPED = "stopped"
    REFUSES = "refuses"
    TOO_LARGE = "too_large"
    #: Accepts, and responds with a server error.
    FAILS_AFTER = "fails_after"
    #: Accepts, and responds with garbage.
    GARBAGE = "garbage"
    #: Accepts, and responds twice.
    TWICE = "twice"
    #: Accepts, and resets the connection without a response.
    RESETS_AFTER = "resets_after"
    #: Resets the connection before it has read the mail.
    RESETS_BEFORE = "resets_before"
    #: Accepts, and never responds.
    HANGS = "hangs"


RETRY_AFTER_S = 7
