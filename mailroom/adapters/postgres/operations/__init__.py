"""Workers, counts, dumps and restores."""
