"""Outbound mail as values: batches, messages, quotas, the rate."""
