"""The cluster-wide rate of a provider identity, in SQL: permits for the slots of `mailroom.domain.outbound.rate_slots`.

Workers lease slots a moment ahead and send each mail at its permit's time, so that no round trip to the database is between
two mails. Only the database's clock decides; a worker only measures how long ago something was. A slot whose worker died
is free again after some seconds. `SKIP LOCKED` keeps workers from waiting for one another.

Transactional mail looks further ahead than bulk, so bulk gets the slots that it leaves.

A mail counts at some moment of its call, so a slot is free one whole window after the call: calls of 50 ms leave a
twentieth of the rate unused, and no window ever has more.
"""

import json
import math
import random
import time
from collections.abc import Callable, Sequence
from uuid import uuid4

from sqlalchemy import Engine, text

from mailroom.adapters.postgres.engine import statement, transaction
from mailroom.domain.outbound.message import Lane
from mailroom.domain.outbound.rate_slots import RateSlots
from mailroom.ports.rate import Permit

#: How far ahead of its time a slot may be leased, in seconds.
_AHEAD_S = {Lane.TRANSACTIONAL: 0.75, Lane.BULK: 0.5}
#: A lease of a slot ends after this many seconds: its holder died, or may not use it any more.
_HELD_S = 10.0
_STOPPED_S = 1.0
#: The slots are divided by this number: the most that one call gets.
_SHARES = {Lane.TRANSACTIONAL: 1, Lane.BULK: 8}
#: Without a free slot, a caller looks again when the next mail may go, within these bounds in seconds.
_LOOK_AGAIN_S = 0.05, 0.15

_MAKE = text("""
    insert into turn (identity, place, free_at)
    select :identity, place, clock_timestamp() + place * :step_s * interval '1 second'
    from generate_series(0, :places - 1) as place on conflict do nothing
""")
_TAKE = text("""
    with free as (
        select place, free_at from turn
        where identity = :identity and place < :places
            and free_at <= clock_timestamp() + :ahead_s * interval '1 second'
        order by free_at limit :most for update skip locked
    )
    update turn set free_at = clock_timestamp() + :held_s * interval '1 second', holder = :holder
    from free where turn.identity = :identity and turn.place = free.place
    returning turn.place, extract(epoch from free.free_at - clock_timestamp())::float as in_s
""")
_GIVE_BACK = text("""
    update turn set free_at = clock_timestamp() + in_s * interval '1 second', holder = null
    from json_to_recordset(:rows) as given (place int, holder uuid, in_s float)
    where turn.identity = :identity and turn.place = given.place and turn.holder = given.holder
""")


class SqlRate:
    """The port `Rate` on PostgreSQL; `pace` returns the slots allowed now, None when nothing may be sent."""

    def __init__(
        self, engine: Engine, identity: str, *, pace: Callable[[], RateSlots | None], patience_s: float = 5.0
    ) -> None:
        self._engine, self._identity, self._pace, self._patience_s = engine, identity, pace, patience_s
        self._made = 0

    def wait(self, mails: int, *, lane: Lane = Lane.TRANSACTIONAL) -> list[Permit]:
        """Wait for permits; see the port."""
        give_up = time.monotonic() + self._patience_s
        while True:
            pace = self._pace()
            if pace is not None and (permits := self._take(mails, pace, lane)):
                return permits
            pause_s = _STOPPED_S if pace is None else _until_next_look_s(pace)
            left_s = give_up - time.monotonic()
            if left_s <= 0:
                return []
            time.sleep(min(pause_s, left_s))

    def give_back(self, permits: Sequence[Permit]) -> None:
        """Release permits, used or not."""
        # After a call that was cut off, it is unknown whether the provider counted it: the slot's lease expires by itself.
        known = [permit for permit in permits if permit.began is None or permit.ended is not None]
        with statement(self._engine) as connection:
            # As late as possible: from here to the database, time is lost to the slot.
            now = time.monotonic()
            rows = [{"place": one.place, "holder": one.holder, "in_s": one.free_at - now} for one in known]
            connection.execute(_GIVE_BACK, {"identity": self._identity, "rows": json.dumps(rows)})

    def _take(self, mails: int, pace: RateSlots, lane: Lane) -> list[Permit]:
        self._make(pace)
        holder = str(uuid4())
        # Slots that bulk takes together are free together again: taking all would leave others nothing the next time either.
        most = min(mails, math.ceil(pace.slots / _SHARES[lane]))
        parameters = {"identity": self._identity, "places": pace.slots, "most": most, "holder": holder}
        parameters |= {"ahead_s": _AHEAD_S[lane], "held_s": _HELD_S}
        begun = time.monotonic()
        with transaction(self._engine) as connection:
            rows = sorted(connection.execute(_TAKE, parameters).all(), key=lambda row: row.in_s)
            # Later than by the database's clock, by the time of the response, never sooner; the commit is not waited for.
            now = time.monotonic()
        # The lease ends a little sooner here.
        until, permits = begun + _HELD_S, list[Permit]()
        for row in rows:
            # Slots that are free already are not all used at once.
            at = max(now + row.in_s, permits[-1].at + pace.window_s / pace.slots / 2 if permits else now)
            permits.append(Permit(at=at, until=until, window_s=pace.window_s, place=row.place, holder=holder))
        return permits

    def _make(self, pace: RateSlots) -> None:
        """Make missing slots; new ones are free one after the other."""
        if self._made >= pace.slots:
            return
        parameters = {"identity": self._identity, "places": pace.slots, "step_s": pace.window_s / pace.slots}
        with transaction(self._engine) as connection:
            connection.execute(_MAKE, parameters)
        self._made = pace.slots


def _until_next_look_s(pace: RateSlots) -> float:
    shortest, longest = _LOOK_AGAIN_S
    return min(longest, max(shortest, pace.window_s / pace.slots)) * random.uniform(0.5, 1.5)
