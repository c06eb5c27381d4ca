"""Inbox items: filing, queries and search."""
