"""External services, one module each, that implement the ports of `mailroom.ports`. Errors are translated here."""
