"""Batches and messages: accepted, ordered, sent, followed."""
