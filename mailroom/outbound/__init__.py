"""Outbound mail, without an orchestrator: submission, relay, rendering, dispatch."""
