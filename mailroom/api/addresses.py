"""Addresses that a caller writes."""

from mailroom.domain.inbound.routing import normalise


def compared(written: str) -> str | None:
    """Return an address in the spelling that is stored and compared; None where it is none."""
    try:
        # PostgreSQL's text holds no NUL.
        return None if "\x00" in written else normalise(written)
    except ValueError:
        return None
