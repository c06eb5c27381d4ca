"""Faults of one worker, which has this folder on its path: the subject of a mail says what happens when it is filed."""

import os
import signal
import time
from typing import Any

from mailroom.adapters.sql.inbox import SqlInbox

_file = SqlInbox.file


def _file_or_fail(self: SqlInbox, email_id: str, items: Any, **how: Any) -> list[str]:
    word, _, seconds = (items[0].subject or "").partition(" ")
    if word == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if word == "slow":
        time.sleep(float(seconds))
    return _file(self, email_id, items, **how)


SqlInbox.file = _file_or_fail  # type: ignore[method-assign]
