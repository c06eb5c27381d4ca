"""What becomes of a message after it was sent: provider events in, tenants' webhooks out."""
