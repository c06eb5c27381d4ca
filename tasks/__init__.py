"""Prefect tasks: one call to a port each, with its retry policy. What the steps mean is in `mailroom/`."""
