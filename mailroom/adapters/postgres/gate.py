"""The gate before every transaction: nothing is read or written in a schema that does not fit this code.

It looks at the schema again every few seconds of use, and at once after a statement failed in a way that a changed schema
explains. So every part of every process pauses in its own way of waiting an outage out (`UnfitSchema` is transient), and goes
on by itself.
"""

import threading
import time
from weakref import WeakKeyDictionary

from sqlalchemy import Engine

from mailroom.adapters.postgres.schema import fault, look, this_code
from mailroom.domain.errors import UnfitSchema

#: How long the last look counts. A query takes 2 ms.
_FIT_FOR_S, _UNFIT_FOR_S = 5.0, 1.0


class Gate:
    """What was last seen of the schema behind one engine; one thread looks, and the others go by what was seen before."""

    def __init__(self) -> None:
        self._looking = threading.Lock()
        self._look_at = 0.0
        self._fault: UnfitSchema | None = None
        self._looked = False

    def passed(self, engine: Engine) -> None:
        """Return if the schema fits, by a look that is recent enough.

        Raises:
            UnfitSchema: it does not.
            DBAPIError, TimeoutError: it could not be looked at.
        """
        if time.monotonic() >= self._look_at:
            mine = self._looking.acquire(blocking=False)
            try:
                # Before the first look nobody knows anything, so each thread looks for itself.
                if mine or not self._looked:
                    self.look_now(engine)
            finally:
                if mine:
                    self._looking.release()
        if self._fault is not None:
            # A new one each time: one exception raised in many threads would collect all their tracebacks.
            raise UnfitSchema(self._fault.message, **self._fault.facts)

    def look_now(self, engine: Engine) -> UnfitSchema | None:
        """Return why the schema does not fit, None where it does, by a look of this moment.

        Raises:
            DBAPIError, TimeoutError: it could not be looked at.
        """
        with engine.connect() as connection:
            schema = look(connection.execution_options(isolation_level="AUTOCOMMIT"))
        self._fault = fault(schema, this_code())
        self._looked = True
        self._look_at = time.monotonic() + (_FIT_FOR_S if self._fault is None else _UNFIT_FOR_S)
        return self._fault


_gates: WeakKeyDictionary[Engine, Gate] = WeakKeyDictionary()
_making = threading.Lock()


def gate_of(engine: Engine) -> Gate:
    """Return the gate of an engine; the same for all who use it."""
    gate = _gates.get(engine)
    if gate is None:
        with _making:
            gate = _gates.setdefault(engine, Gate())
    return gate
