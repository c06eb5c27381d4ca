"""Collections that hold many values in little memory, such as the 100,000 drafts of a request until they are stored."""

import pickle
import zlib
from collections.abc import Collection, Iterator
from typing import TypeVar

T = TypeVar("T")

#: Values that are packed together: enough to compress well, few enough to unpack at once.
_SLICE = 500


class Reread(Collection[T]):
    """Values that are created again for each iteration, so that they take no memory in between."""

    __slots__ = ()

    def __contains__(self, value: object) -> bool:
        return any(one == value for one in self)


class Packed(Reread[T]):
    """Values in the order of their addition; can be iterated many times.

    The first `loose` stay as they are. Those after them are pickled and compressed in slices of `_SLICE`.
    """

    def __init__(self, *, loose: int = 0) -> None:
        self._loose, self._most_loose = list[T](), loose
        self._slices: list[bytes] = []
        self._open: list[T] = []

    def add(self, value: T) -> None:
        """Add a value at the end."""
        if len(self._loose) < self._most_loose:
            self._loose.append(value)
            return
        self._open.append(value)
        if len(self._open) == _SLICE:
            # Level 1: most of the gain, and a third of the time of the default.
            self._slices.append(zlib.compress(pickle.dumps(self._open, pickle.HIGHEST_PROTOCOL), 1))
            self._open = []

    def clear(self) -> None:
        """Remove all values."""
        self._loose, self._slices, self._open = [], [], []

    def __iter__(self) -> Iterator[T]:
        yield from self._loose
        for one in self._slices:
            yield from pickle.loads(zlib.decompress(one))  # noqa: S301 - our own bytes, which never leave the process
        yield from self._open

    def __len__(self) -> int:
        return len(self._loose) + len(self._slices) * _SLICE + len(self._open)
