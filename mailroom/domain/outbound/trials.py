"""Test mails: one mail of a batch, sent to the author of the letter, marked, and not counted in the quota."""

from collections.abc import Mapping
from datetime import timedelta

#: The metadata of a test mail and of its batch. No request may set it: what has it is not counted.
MARK = "mailroom-test"
#: Test mails of one tenant within `PERIOD`: enough to work on a letter, too few to send a newsletter past the quota.
MOST, PERIOD = 50, timedelta(days=1)


def is_test(metadata: Mapping[str, str]) -> bool:
    """Return whether a batch or a message with this metadata is a test mail."""
    return MARK in metadata
