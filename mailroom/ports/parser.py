"""The e-mail parser, isolated so that a hostile e-mail harms no other."""

from typing import Protocol

from mailroom.domain.parsing import ParsedEmail


class Parser(Protocol):
    """Parses e-mails, isolated so that a hostile one harms no other."""

    def parse(self, raw: bytes) -> ParsedEmail:
        """Return `raw` parsed, as far as it can be read.

        Raises:
            Quarantined: `unparsable` when parsing crashed, hung or took too much memory.
        """
