"""The rate of a provider identity as a global concurrency limit on the Prefect server, for an operator to see and edit.

The limit is made from the provider's quota, with `limit` and `slot_decay_per_second` the mails of one second; the lower
of the two applies. A change in the UI applies to running batches within seconds; 0, or switching it off, stops them. More
than the provider allows is not used. Its slots are not occupied: `mailroom.adapters.postgres.outbound.rate_permits` keeps
the rate.

The API cannot find a name with a slash (Prefect 3.8, server/api/concurrency_limits_v2.py).
"""

import re
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx

from mailroom.adapters.prefect.http import translated
from mailroom.domain.errors import TransientError
from mailroom.domain.outbound.rate_slots import RateSlots
from mailroom.ports.provider import ProviderQuota

#: In seconds: how soon an operator's change is used, how soon the provider's, and how long the last reading is used while
#: the server is away.
_LOOK_S, _ASK_S, _HOLDS_S = 2.0, 60.0, 60.0


class PrefectLimit:
    """The limit of one identity.

    `quota` returns what the provider allows now; without a rate in it, `otherwise` mails a second apply. `publish` is called
    with the rate that applies, at once when it changes and each minute.
    """

    def __init__(
        self,
        http: httpx.Client,
        identity: str,
        *,
        quota: Callable[[], ProviderQuota],
        otherwise: float,
        publish: Callable[[float], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = f"rate:{re.sub(r'[^A-Za-z0-9._-]+', ':', identity)}"
        self._remembered = re.sub(r"[^a-z0-9]+", "_", self.name.lower())
        self._http, self._quota, self._otherwise, self._publish, self._clock = http, quota, otherwise, publish, clock
        self._looking = threading.Lock()
        self._allowed: tuple[float, float] | None = None
        self._seen: tuple[float, float] | None = None
        self._published: tuple[float, float] | None = None

    def pace(self) -> RateSlots | None:
        """Return the slots that may be used now; None when nothing may be sent.

        Raises:
            TransientError: the server is away, and its last answer is too old.
        """
        with self._looking:
            now = self._clock()
            if self._seen is None or now - self._seen[0] >= _LOOK_S:
                try:
                    self._seen = now, self._look(now)
                    self._publish_when_due(now, self._seen[1])
                except TransientError:
                    if self._seen is None or now - self._seen[0] >= _HOLDS_S:
                        raise
            return RateSlots.of(self._seen[1]) if self._seen[1] > 0 else None

    def _look(self, now: float) -> float:
        """Return the mails per second that both the provider and the limit on the server allow."""
        if self._allowed is None or now - self._allowed[0] >= _ASK_S:
            allowed = self._ask()
            self._ensure(allowed)
            self._allowed = now, allowed
        limit = self._call("GET", f"/v2/concurrency_limits/{self.name}")
        if limit is None:
            # It was deleted.
            self._ensure(self._allowed[1])
            return self._allowed[1]
        return min(self._allowed[1], limit["limit"], limit["slot_decay_per_second"]) if limit["active"] else 0.0

    def _publish_when_due(self, now: float, per_second: float) -> None:
        last = self._published
        if last is None or last[1] != per_second or now - last[0] >= _ASK_S:
            self._publish(per_second)
            self._published = now, per_second

    def _ask(self) -> float:
        try:
            per_second = self._quota().per_second
        except TransientError:
            if self._allowed is None:
                raise
            return self._allowed[1]
        return self._otherwise if per_second is None else per_second

    def _ensure(self, per_second: float) -> None:
        """Create the limit, or update it to the provider's quota, unless its numbers are not those set here."""
        wanted = {"limit": max(1, int(per_second)), "slot_decay_per_second": per_second}
        limit = self._call("GET", f"/v2/concurrency_limits/{self.name}")
        if limit is None:
            self._call("POST", "/v2/concurrency_limits/", {"name": self.name, "active": True} | wanted)
            self._remember(wanted)
            return
        values = (self._call("GET", f"/variables/name/{self._remembered}") or {}).get("value")
        if values != wanted and values == {name: limit[name] for name in wanted}:
            self._call("PATCH", f"/v2/concurrency_limits/{self.name}", wanted)
            self._remember(wanted)

    def _remember(self, values: dict[str, Any]) -> None:
        """Store what was set as a Prefect variable: other numbers in the limit are an operator's."""
        body = {"name": self._remembered, "value": values}
        if self._call("PATCH", f"/variables/name/{self._remembered}", body) is None:
            self._call("POST", "/variables/", body)

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Return the response; None for 404. A conflict counts as success: another process made the same."""
        with translated():
            answer = self._http.request(method, path, json=body)
            if answer.status_code == httpx.codes.NOT_FOUND:
                return None
            if answer.status_code != httpx.codes.CONFLICT:
                answer.raise_for_status()
        return answer.json() if answer.content else {}
