"""The commands of `mailroom`, one module each."""
