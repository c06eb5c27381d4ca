"""The orchestrator over its REST API; nothing here imports it."""
