"""The steps of an inbound e-mail that need more than one port, without the orchestrator."""
