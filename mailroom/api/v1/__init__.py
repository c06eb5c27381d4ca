"""The JSON routes, by area."""
