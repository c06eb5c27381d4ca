"""The gate before every transaction: nothing is read or written in a schema that does not fit this code.

It checks the schema again every few seconds of use, and at once after an error that a changed schema may explain. As
`UnfitSchema` is transient, each part of a process waits as in an outage, and goes on when the schema fits.
"""

import threading
import time
from weakref import WeakKeyDictionary

from sqlalchemy import Engine

from mailroom.adapters.postgres.schema import fault, look, this_code
from mailroom.domain.errors import UnfitSchema

#: How long the last check counts, in seconds, by its result. A check takes 2 ms.
_FIT_FOR_S, _UNFIT_FOR_S = 5.0, 1.0


class Gate:
    """The last check of one engine's schema; one thread checks, and the others use the previous result meanwhile."""

    def __init__(self) -> None:
        self._looking = threading.Lock()
        self._look_at = 0.0
        self._fault: UnfitSchema | None = None
        self._looked = False

    def passed(self, engine: Engine) -> None:
        """Return if the schema fits, by a recent check.

        Raises:
            UnfitSchema: it does not.
            DBAPIError, TimeoutError: it could not be checked.
        """
        if time.monotonic() >= self._look_at:
            mine = self._looking.acquire(blocking=False)
            try:
                # Before the first check there is no result to use, so each thread checks.
                if mine or not self._looked:
                    self.look_now(engine)
            finally:
                if mine:
                    self._looking.release()
        if self._fault is not None:
            # A new one each time: one exception raised in many threads would collect all their tracebacks.
            raise UnfitSchema(self._fault.message, **self._fault.facts)

    def look_now(self, engine: Engine) -> UnfitSchema | None:
        """Return why the schema does not fit, or None, checked now.

        Raises:
            DBAPIError, TimeoutError: it could not be checked.
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
    """Return the gate of an engine; one per engine."""
    gate = _gates.get(engine)
    if gate is None:
        with _making:
            gate = _gates.setdefault(engine, Gate())
    return gate
