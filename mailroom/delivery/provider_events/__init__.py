"""Provider webhooks: each call's headers and body, verified and turned into delivery events."""
