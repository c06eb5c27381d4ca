"""The limit of mails from one sender to one address, from the settings of the process."""

from mailroom.domain.errors import ConfigurationError
from mailroom.settings import load_settings


def sender_hourly_limit() -> int:
    """Return how many mails an hour one sender may send to one address; 0, no limit, in a process without settings."""
    try:
        return load_settings().sender_hourly_limit
    except ConfigurationError:
        return 0
