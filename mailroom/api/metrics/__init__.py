"""Counts in Prometheus's text format."""
