"""Rules about a message after it was sent: events, suppression, reputation, tracked links."""
