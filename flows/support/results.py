"""How results of runs are read back from Prefect's result storage: as plain JSON, whatever a record says of itself.

A record names the serializer that it wants to be read with, so whoever may write to the storage could have whoever reads
it run code: pickle does (also where a record names none), and so does Prefect's own JSON, which imports what
`object_decoder` and `__class__` name and calls it: `{"__class__": "subprocess.call", "data": [["id"]]}` (3.8.8).

Importing this module is what guards the process; `flows` does, and so whatever runs a flow.
"""

import json
from typing import Any

from prefect.serializers import JSONSerializer, PickleSerializer, Serializer
from prefect.utilities.dispatch import get_registry_for_type
from pydantic import ConfigDict, Field

from mailroom.domain.errors import PermanentError

#: What is not here Prefect calls unknown, and does not read.
_serializers: dict[str, Any] = get_registry_for_type(Serializer) or {}
for _name in ("pickle", "compressed", "compressed/json", "compressed/pickle"):
    _serializers.pop(_name, None)


class Pickled(Serializer):
    """What Prefect writes where no setting says otherwise. It is not read, nor imported what a record names for it."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(default="pickle", frozen=True)

    def dumps(self, obj: Any) -> bytes:
        """Write as Prefect does."""
        return PickleSerializer().dumps(obj)

    def loads(self, blob: bytes) -> Any:
        """Refuse.

        Raises:
            PermanentError: always.
        """
        raise PermanentError("a pickled result is not read, for that would run code", bytes=len(blob))


def _plain(_: Any, blob: bytes) -> Any:
    """Return what the JSON says; a record's own wishes how to read it are not asked."""
    return json.loads(blob, object_hook=_described)


def _described(found: dict[str, Any]) -> Any:
    """Return the error that a dict stands for, told by its kind and message; any other dict stays what it is."""
    if "__exc_type__" not in found:
        return found
    return RuntimeError(f"{found['__exc_type__']}: {found.get('message')}")


# A record without a serializer is read with this very class, and a subclass of either could take its place again.
PickleSerializer.loads = Pickled.loads  # type: ignore[method-assign,assignment]
JSONSerializer.loads = _plain  # type: ignore[method-assign,assignment]
