"""One outside thing per module, each fulfilling a port of `mailroom.ports`. Errors are translated here, at the edge."""
