"""The bounce domain: one setting for both sides, so that what sends and what receives never differ in it."""

from mailroom.domain.errors import ConfigurationError
from mailroom.settings import load_settings


def bounce_domain() -> str:
    """Return the bounce domain of this process's settings; "" where it has none, or no settings."""
    try:
        return load_settings().bounce_domain
    except ConfigurationError:
        return ""
