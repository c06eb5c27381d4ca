"""The embedded stack: all that Mailroom needs on one machine, started as processes of its own and ended with them."""
