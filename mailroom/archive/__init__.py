"""Deposits of an e-mail and its attachments, and the manifests that describe them."""
