"""What Mailroom needs from the outside world: one Protocol with its values a file.

Adapters fulfil them (`mailroom/adapters/`), in-memory twins too (`mailroom/testing/`), and one contract suite for each
port proves both (`tests/contract/`). All calls are blocking; callers that live in an event loop use a thread. Every call
may raise `TransientError` (and `Throttled`); other errors are named at the call.
"""

# The documented name of processors in other packages, for one release.
from mailroom.ports.inbound import Inbound as Inbound
