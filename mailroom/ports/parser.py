"""What reads e-mails, kept apart so that a hostile one costs itself alone."""

from typing import Protocol

from mailroom.domain.parsing import ParsedEmail


class Parser(Protocol):
    """What reads e-mails, kept apart so that a hostile one costs itself alone."""

    def parse(self, raw: bytes) -> ParsedEmail:
        """Return what `raw` says, as far as it can be read.

        Raises:
            Quarantined: `unparsable` when reading it crashed, hung or took too much memory.
        """
