"""Batches and messages: submission, orders, dispatch, queries and limits."""
