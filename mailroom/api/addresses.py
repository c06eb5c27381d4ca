"""Addresses in requests."""

from mailroom.domain.inbound.routing import normalise


def compared(written: str) -> str | None:
    """Return an address in its normalised form, as stored and compared; None if it is invalid."""
    try:
        # PostgreSQL's text cannot hold NUL.
        return None if "\x00" in written else normalise(written)
    except ValueError:
        return None
