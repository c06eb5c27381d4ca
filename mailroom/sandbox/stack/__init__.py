"""The embedded stack: its processes, their start, supervision and stop."""
