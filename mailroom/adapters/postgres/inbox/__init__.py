"""Inbox items: filed, read and searched."""
