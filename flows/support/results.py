"""Reads results of runs from Prefect's result storage: always as plain JSON, whatever serializer a record names.

A record names its serializer, so a writer to the storage could make a reader run code: pickle does (also where a record
names none), and so does Prefect's JSON, which imports and calls what `object_decoder` and `__class__` name:
`{"__class__": "subprocess.call", "data": [["id"]]}` (3.8.8).

Importing this module guards the process; `flows` imports it, and so does every process that runs a flow.
"""

import json
from typing import Any

from prefect.serializers import JSONSerializer, PickleSerializer, Serializer
from prefect.utilities.dispatch import get_registry_for_type
from pydantic import ConfigDict, Field

from mailroom.domain.errors import PermanentError

#: Serializers by type; Prefect refuses a type that is not listed.
_serializers: dict[str, Any] = get_registry_for_type(Serializer) or {}
for _name in ("pickle", "compressed", "compressed/json", "compressed/pickle"):
    _serializers.pop(_name, None)


class Pickled(Serializer):
    """Prefect's default serializer: it writes, and refuses to read or to import what a record names."""

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
    """Return the parsed JSON; the record's own decoder settings are ignored."""
    return json.loads(blob, object_hook=_described)


def _described(document: dict[str, Any]) -> Any:
    """Return a stored error as a RuntimeError with its type and message; other dicts are unchanged."""
    if "__exc_type__" not in document:
        return document
    return RuntimeError(f"{document['__exc_type__']}: {document.get('message')}")


# Prefect reads a record without a serializer with this class, and a subclass of either could replace ours.
PickleSerializer.loads = Pickled.loads  # type: ignore[method-assign,assignment]
JSONSerializer.loads = _plain  # type: ignore[method-assign,assignment]
