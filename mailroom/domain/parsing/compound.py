"""A Microsoft compound file: streams in folders in one file, the container of .msg.

Source: Microsoft, [MS-CFB]. Only the directory and small streams are read. Chains of sectors may be circular in a damaged
or hostile file: none is followed for more steps than the file has sectors, and no entry is visited twice.
"""

import struct
from array import array
from collections.abc import Iterator
from dataclasses import dataclass

SIGNATURE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_STORAGE, _STREAM, _ROOT = 1, 2, 5
_LAST = 0xFFFFFFFA
_ENTRY_BYTES = 128
_MOST_ENTRIES = 20_000
_MOST_TABLE_BYTES = 1 << 20
_CUTOFF = 4096


@dataclass(frozen=True, slots=True)
class Entry:
    """A folder or a stream of the directory."""

    name: str
    kind: int
    left: int
    right: int
    child: int
    start: int
    size: int

    @property
    def is_folder(self) -> bool:
        """Whether it can contain other entries."""
        return self.kind == _STORAGE


class Compound:
    """A compound file, opened."""

    def __init__(self, data: bytes) -> None:
        """Read the tables and the directory.

        Raises:
            ValueError: this is not a compound file, or it is too incomplete.
        """
        if not data.startswith(SIGNATURE) or len(data) < 512:
            raise ValueError("not a compound file")
        self._data = data
        shift, mini_shift = struct.unpack_from("<HH", data, 30)
        if shift not in (9, 12) or mini_shift != 6:
            raise ValueError("not a compound file")
        self._size, self._mini_size = 1 << shift, 1 << mini_shift
        first, _, _, mini_first = struct.unpack_from("<IIII", data, 48)
        self._table = self._read_table()
        self._entries = list(self._read_directory(first))
        # Each entry is in one folder and names two neighbours; more steps than this mean a circle.
        self._steps = 4 * len(self._entries)
        if not self._entries or self._entries[0].kind != _ROOT:
            raise ValueError("no root in the compound file")
        self._mini_table = _numbers(self._chain(mini_first, _MOST_TABLE_BYTES))
        self._mini = b""

    def inside(self, folder: Entry | None = None) -> Iterator[Entry]:
        """Yield the entries of a folder, or of the root."""
        waiting = [(folder or self._entries[0]).child]
        seen: set[int] = set()
        while waiting and self._steps > 0:
            self._steps -= 1
            number = waiting.pop()
            if number in seen or number >= len(self._entries):
                continue
            seen.add(number)
            entry = self._entries[number]
            yield entry
            waiting += [entry.left, entry.right]

    def small(self, entry: Entry) -> bytes:
        """Return the bytes of a stream that is smaller than the cutoff (4 096 bytes); empty for any other."""
        if entry.size >= _CUTOFF or entry.kind != _STREAM:
            return b""
        if not self._mini:
            root = self._entries[0]
            self._mini = self._chain(root.start, min(root.size, _MOST_TABLE_BYTES))
        content, at = bytearray(), entry.start
        for _ in range(entry.size // self._mini_size + 1):
            if at >= len(self._mini_table):
                break
            content += self._mini[at * self._mini_size : (at + 1) * self._mini_size]
            at = self._mini_table[at]
        return bytes(content[: entry.size])

    def _read_table(self) -> "array[int]":
        """Return the sector that follows each, from the table's sectors listed in the header.

        The 109 listed there suffice for 6.8 MB in sectors of 512 bytes; a larger file lists more in a chain.
        """
        (next_list,) = struct.unpack_from("<I", self._data, 68)
        named = list(struct.unpack_from("<109I", self._data, 76))
        most = len(self._data) // (self._size * self._size // 4) + 1
        while len(named) < most and next_list < _LAST:
            numbers = _numbers(self._sector(next_list))
            if len(numbers) < 2:
                break
            named += numbers[:-1]
            next_list = numbers[-1]
        return _numbers(b"".join(self._sector(one) for one in named[:most] if one < _LAST))

    def _sector(self, number: int) -> bytes:
        return self._data[(number + 1) * self._size : (number + 2) * self._size]

    def _chain(self, at: int, most: int) -> bytes:
        sectors: list[bytes] = []
        for _ in range(min(most, len(self._data)) // self._size + 1):
            if at >= len(self._table):
                break
            sectors.append(self._sector(at))
            at = self._table[at]
        return b"".join(sectors)

    def _read_directory(self, first: int) -> Iterator[Entry]:
        directory = self._chain(first, _MOST_ENTRIES * _ENTRY_BYTES)
        for at in range(0, len(directory) - _ENTRY_BYTES + 1, _ENTRY_BYTES):
            letters, kind, left, right, child = struct.unpack_from("<HBxIII", directory, at + 64)
            start, size = struct.unpack_from("<II", directory, at + 116)
            name = directory[at : at + max(0, min(letters, 64) - 2)].decode("utf-16-le", "replace")
            yield Entry(name, kind, left, right, child, start, size)


def _numbers(data: bytes) -> "array[int]":
    return array("I", data[: len(data) & ~3])
