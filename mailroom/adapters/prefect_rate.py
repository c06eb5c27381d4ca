"""The rate of a provider identity, cluster-wide, as a global concurrency limit on the Prefect server.

The limit is a bucket: what was taken drains at `slot_decay_per_second`. A bucket of L slots that drains D a second lets
at most L + D through in any one second, so both together are the provider's rate. A turn takes several slots in one
call, and the bucket is looked at before: the server forgets what has drained when it must say no.

An operator sees the limit in the UI and may change it there: lower numbers are kept to, also by batches under way, and
a limit of 0 or one that is switched off stops sending. Higher numbers than the provider allows are not used.

Source: Prefect 3.8, server/models/concurrency_limits_v2.py. A name with a slash cannot be asked for; a limit that is
missing lets everything through, so it is made before it is used.
"""

import random
import re
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import httpx

from mailroom.adapters.prefect_http import translated
from mailroom.domain.errors import TransientError
from mailroom.domain.outbound import Lane
from mailroom.sending import ProviderQuota

#: How large a part of a second's mails may go at once.
_BURST = 6
#: Where one mail is all that goes at once, the bucket is always empty between two; this is for the clock's jitter.
_HEADROOM = 0.9
_FRESH_S = 60.0
_PATIENCE_S = 5.0
_LOOK_AGAIN_S = 1.0


@dataclass(frozen=True, slots=True)
class Bucket:
    """What may go at once, and how many slots become free in a second."""

    limit: int
    slot_decay_per_second: float

    @classmethod
    def of(cls, per_second: float) -> "Bucket":
        """Return the bucket that lets at most `per_second` through in any one second."""
        limit = max(1, int(per_second / _BURST))
        return cls(limit, per_second * _HEADROOM if limit == 1 else per_second - limit)


class PrefectRate:
    """The port `Rate` on a Prefect 3 server.

    `quota` says what the provider allows now; where it says nothing, `otherwise` mails a second.
    """

    def __init__(
        self,
        http: httpx.Client,
        identity: str,
        *,
        quota: Callable[[], ProviderQuota],
        otherwise: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.name = f"rate:{re.sub(r'[^A-Za-z0-9._-]+', ':', identity)}"
        self._remembered = re.sub(r"[^a-z0-9]+", "_", self.name.lower())
        self._http, self._quota, self._otherwise = http, quota, otherwise
        self._clock, self._sleep = clock, sleep
        self._ensuring = threading.Lock()
        self._own: tuple[float, Bucket] | None = None

    def wait(self, mails: int, *, lane: Lane = Lane.TRANSACTIONAL) -> int:
        """Wait for a turn; bulk gets its own only while the bucket is half empty, so that transactional mail overtakes it."""
        give_up = self._clock() + _PATIENCE_S
        while True:
            own, bucket, taken = self._look()
            most = bucket.limit if lane is Lane.TRANSACTIONAL else (bucket.limit + 1) // 2
            turn = min(mails, most)
            pause = _LOOK_AGAIN_S
            if turn and bucket.slot_decay_per_second > 0:
                pause = (taken + turn - most) / bucket.slot_decay_per_second
                if pause <= 0 and self._take(turn):
                    return turn
                # The slots just went to somebody else.
                pause = max(pause, turn / own.slot_decay_per_second / 2)
            left = give_up - self._clock()
            if left <= 0 or pause > left:
                self._sleep(max(0.0, left))
                return 0
            self._sleep(pause * (random.uniform(1, 1.1) if lane is Lane.BULK else 1))

    def _look(self) -> tuple[Bucket, Bucket, float]:
        """Return what the provider allows, what holds now, and how much of it is taken."""
        own = self._ensured()
        found = self._call("GET", f"/v2/concurrency_limits/{self.name}")
        if found is None:
            # Somebody deleted it.
            self._own = None
            own = self._ensured()
            return own, own, own.limit
        limit = min(own.limit, found["limit"]) if found["active"] else 0
        return own, Bucket(limit, min(own.slot_decay_per_second, found["slot_decay_per_second"])), found["active_slots"]

    def _take(self, slots: int) -> bool:
        body = {"names": [self.name], "slots": slots, "mode": "rate_limit"}
        with translated():
            answer = self._http.post("/v2/concurrency_limits/increment", json=body)
            # Its database was busy: nothing was counted either.
            if answer.status_code in (httpx.codes.LOCKED, httpx.codes.SERVICE_UNAVAILABLE):
                return False
            answer.raise_for_status()
        # An empty answer: there is no such limit, and nobody counted.
        return bool(answer.json())

    def _ensured(self) -> Bucket:
        with self._ensuring:
            if self._own is None or self._clock() - self._own[0] >= _FRESH_S:
                bucket = self._allowed()
                self._ensure(bucket)
                self._own = self._clock(), bucket
            return self._own[1]

    def _allowed(self) -> Bucket:
        try:
            per_second = self._quota().per_second
        except TransientError:
            if self._own is None:
                raise
            return self._own[1]
        return Bucket.of(self._otherwise if per_second is None else per_second)

    def _ensure(self, bucket: Bucket) -> None:
        """Make the limit, or have it follow the provider's quota, unless its numbers are not those set here."""
        wanted = asdict(bucket)
        found = self._call("GET", f"/v2/concurrency_limits/{self.name}")
        if found is None:
            self._call("POST", "/v2/concurrency_limits/", {"name": self.name, "active": True} | wanted)
            self._remember(wanted)
            return
        told = (self._call("GET", f"/variables/name/{self._remembered}") or {}).get("value")
        if told != wanted and told == {name: found[name] for name in wanted}:
            self._call("PATCH", f"/v2/concurrency_limits/{self.name}", wanted)
            self._remember(wanted)

    def _remember(self, values: dict[str, Any]) -> None:
        """Keep what was set, as a Prefect variable: other numbers are an operator's."""
        body = {"name": self._remembered, "value": values}
        if self._call("PATCH", f"/variables/name/{self._remembered}", body) is None:
            self._call("POST", "/variables/", body)

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Return the answer; None for what is not there. What somebody else made at the same time is as good."""
        with translated():
            answer = self._http.request(method, path, json=body)
            if answer.status_code == httpx.codes.NOT_FOUND:
                return None
            if answer.status_code != httpx.codes.CONFLICT:
                answer.raise_for_status()
        return answer.json() if answer.content else {}
