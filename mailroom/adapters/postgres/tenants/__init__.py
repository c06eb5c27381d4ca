"""Tenants, and the addresses that they receive at and send from."""
