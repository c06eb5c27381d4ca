"""Records when keys were used, in one thread: a request never waits for it, and a key is written at most once a minute.

Uses may be lost: those of a process that ends, and those of an outage of the database that outlasts it.
"""

import logging
import threading
import time
from collections.abc import Callable

from mailroom.operations.loops import SteadyLoop
from mailroom.ports.api_keys import ApiKeys, Holder

log = logging.getLogger(__name__)

_EVERY_S = 60.0
#: Keys that are remembered; when there are more, some are recorded again within their minute, and change nothing.
_MOST = 10_000


class KeyUses:
    """Notes the keys of requests, and records them in a thread, which starts with the first."""

    def __init__(self, keys: ApiKeys, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._keys, self._clock = keys, clock
        self._noted_at: dict[str, float] = {}
        self._waiting: set[str] = set()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._loop = SteadyLoop(
            self.record_waiting, log=log, failing="the last use of keys cannot be recorded now and waits: %s"
        )

    def note(self, holder: Holder) -> None:
        """Note that the holder's key was used now; nothing is done if it was noted within the last minute."""
        key_id, now = holder.key_id, self._clock()
        # Without the lock: each request comes here, and a race only records the same minute twice.
        if key_id is None or now - self._noted_at.get(key_id, -_EVERY_S) < _EVERY_S:
            return
        with self._changed:
            if len(self._noted_at) >= _MOST:
                self._noted_at.clear()
            self._noted_at[key_id] = now
            self._waiting.add(key_id)
            self._changed.notify()
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._loop.run, args=[threading.Event()], name="key-uses", daemon=True
                )
                self._thread.start()

    def record_waiting(self) -> float:
        """Wait for noted keys and record them; return the pause until the next call, in seconds.

        Raises:
            MailroomError: the database failed; the keys wait for the next call.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._waiting)
            noted = frozenset(self._waiting)
        self._keys.used(noted)
        with self._changed:
            self._waiting -= noted
        return 0
