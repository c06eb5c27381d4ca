"""Faults for a worker that has this folder on its path: the subject of a mail says what happens when it is filed.

`slow 7` takes seven seconds, `hold` waits for the test, `kill` kills its process; the children of `kill` hold first,
so that a test can see what happens beside them.

With `MAILROOM_FAULTS_SMTP` batches go to the SMTP server at this port, instead of the provider in the block `outbound`.
"""

import os
import signal
import time
from pathlib import Path
from typing import Any

from mailroom.adapters.postgres.inbox.filing import SqlInbox
from mailroom.inbound.lease import WORKER_VARIABLE

_file = SqlInbox.file


def _file_or_fail(self: SqlInbox, email_id: str, items: Any, **how: Any) -> list[str]:
    word, _, seconds = (items[0].subject or "").partition(" ")
    if word == "hold" or (word == "kill" and WORKER_VARIABLE in os.environ):
        while not Path(os.environ["MAILROOM_FAULTS_RELEASED"]).exists():
            time.sleep(0.05)
    if word == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if word == "slow":
        time.sleep(float(seconds))
    return _file(self, email_id, items, **how)


SqlInbox.file = _file_or_fail  # type: ignore[method-assign]

if port := os.environ.get("MAILROOM_FAULTS_SMTP"):
    from blocks import outbound as sending
    from mailroom.adapters.providers.smtp import Smtp, Tls

    async def _to_the_port(_name: str) -> Smtp:
        return Smtp(host="127.0.0.1", port=int(port), tls=Tls.OFF)

    sending._provider = _to_the_port  # type: ignore[assignment]
