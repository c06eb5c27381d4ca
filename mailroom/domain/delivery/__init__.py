"""What becomes of a message after it was sent: events, suppression, reputation, tracked links."""
