"""The parser in this process."""

from collections.abc import Callable

from mailroom.domain.errors import Quarantined, Reason
from mailroom.domain.parsing import ParsedEmail, parse_email


class MemoryParser:
    """A `Parser` in the calling process. It does not survive a crash or a hang; it reports errors as the real one does."""

    def __init__(self, function: Callable[[bytes], ParsedEmail] = parse_email) -> None:
        """Take the function that parses."""
        self._function = function

    def parse(self, raw: bytes) -> ParsedEmail:
        """Return `raw` parsed."""
        try:
            return self._function(raw)
        except MemoryError:
            raise Quarantined(Reason.UNPARSABLE, cause="memory") from None
        except Exception as error:  # noqa: BLE001 - as the real parser's process does
            raise Quarantined(Reason.UNPARSABLE, cause=type(error).__name__) from None
