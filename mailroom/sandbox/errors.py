"""The error of the embedded stack. Errors about mail are in `mailroom.domain.errors`."""

from mailroom.domain.errors import ConfigurationError


class StackError(ConfigurationError):
    """The embedded stack cannot start, or ended by itself; the message says why and where to look."""
