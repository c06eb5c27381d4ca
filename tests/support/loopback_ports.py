"""Ports for servers that tests start."""

from mailroom.sandbox.stack.ports import any_free_port


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens on, and that no outgoing connection will take."""
    return any_free_port()
