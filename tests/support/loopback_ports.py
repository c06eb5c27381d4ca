"""Ports for servers that tests start."""

from mailroom.sandbox.stack.ports import any_free_port


def free_port() -> int:
    """Return a port of the loopback interface that is free, and outside the range of outgoing connections."""
    return any_free_port()
