"""In-memory implementations of ports, for tests; they pass the same contract suites as the adapters."""
