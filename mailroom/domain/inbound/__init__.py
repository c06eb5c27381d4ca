"""Received mail: notifications, encryption, routing, verdicts, the life of an e-mail."""
