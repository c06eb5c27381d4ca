"""In-memory twins of ports, for tests: what they answer is held to the same contract suites as the adapters."""
