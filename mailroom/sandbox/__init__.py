"""The sandbox: an embedded stack of everything that Mailroom needs, on one machine, for tests, drills and demos."""
