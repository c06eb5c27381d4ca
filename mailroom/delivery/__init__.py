"""After a message was sent: provider events in, tenants' webhooks out."""
