"""The parser in this process."""

from collections.abc import Callable

from mailroom.domain.errors import Quarantined, Reason
from mailroom.domain.parsing import ParsedEmail, parse_email


class MemoryParser:
    """A `Parser` that parses where it is called. It cannot outlive a crash or a hang; errors it tells as the real one does."""

    def __init__(self, function: Callable[[bytes], ParsedEmail] = parse_email) -> None:
        """Take what parses."""
        self._function = function

    def parse(self, raw: bytes) -> ParsedEmail:
        """Return what `raw` says."""
        try:
            return self._function(raw)
        except MemoryError:
            raise Quarantined(Reason.UNPARSABLE, cause="memory") from None
        except Exception as error:  # noqa: BLE001 - as the process does, whatever it is
            raise Quarantined(Reason.UNPARSABLE, cause=type(error).__name__) from None
