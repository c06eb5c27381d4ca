"""Findings of archive checks."""
