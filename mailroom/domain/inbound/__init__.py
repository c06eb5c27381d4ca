"""Received mail: notifications, encryption, routing, verdicts, states."""
