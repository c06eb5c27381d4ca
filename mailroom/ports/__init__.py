"""Ports: the interfaces to everything outside Mailroom's own code. One Protocol with its value types per file.

Adapters (`mailroom/adapters/`) and in-memory doubles (`mailroom/testing/`) implement them, and both pass the port's contract
suite (`tests/contract/`). All calls block; code in an event loop calls them in a thread. Every call may raise
`TransientError` (and `Throttled`); other errors are documented at the call.
"""

# Processors in other packages import this documented name; kept for one release.
from mailroom.ports.inbound import Inbound as Inbound
