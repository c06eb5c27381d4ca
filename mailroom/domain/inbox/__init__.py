"""Search in an inbox."""
