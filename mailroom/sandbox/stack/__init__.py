"""The embedded stack: its parts, how they are started, watched and stopped."""
