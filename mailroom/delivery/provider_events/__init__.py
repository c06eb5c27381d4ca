"""Bytes and headers of a provider's webhook, verified and turned into events of the domain."""
