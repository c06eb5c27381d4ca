"""The way of outbound mail, without an orchestrator: handing over, relaying, rendering, dispatching."""
