"""Outbound mail: batches, messages, quotas, rates."""
