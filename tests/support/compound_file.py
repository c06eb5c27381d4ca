"""Writes small compound files ([MS-CFB]), for tests of the reader."""

import struct
from collections.abc import Mapping

_NOBODY, _END, _TABLE = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD
Folder = Mapping[str, "bytes | Folder"]


def write_compound(root: Folder) -> bytes:
    """Return a compound file of folders and streams under 4 096 bytes each, in sectors of 512."""
    entries: list[list[object]] = []
    mini = bytearray()
    mini_table: list[int] = []
    _add(entries, "Root Entry", root, mini, mini_table)
    directory = b"".join(_entry(*entry) for entry in entries)
    directory += bytes(-len(directory) % 512)
    mini += bytes(-len(mini) % 512)
    mini_links = struct.pack(f"<{len(mini_table)}I", *mini_table).ljust(-(-len(mini_table) * 4 // 512) * 512, b"\xff")
    chains = [directory, mini_links, bytes(mini)]
    starts, links = [], [_TABLE]
    for chain in chains:
        starts.append(len(links) if chain else _END)
        count = len(chain) // 512
        links += [*range(len(links) + 1, len(links) + count), _END] if count else []
    entries[0][-2:] = [starts[2], len(mini)]
    directory = b"".join(_entry(*entry) for entry in entries).ljust(len(directory), b"\0")
    head = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16) + struct.pack("<HHHHH", 0x3E, 3, 0xFFFE, 9, 6)
    head += bytes(10) + struct.pack("<IIIIII", 1, starts[0], 0, 4096, starts[1], len(mini_links) // 512)
    head += struct.pack("<II", _END, 0) + struct.pack("<109I", 0, *[_NOBODY] * 108)
    table = struct.pack(f"<{len(links)}I", *links).ljust(512, b"\xff")
    return head + table + directory + mini_links + bytes(mini)


def _add(entries: list[list[object]], name: str, value: "bytes | Folder", mini: bytearray, table: list[int]) -> int:
    """Add one entry and all below it, siblings in a row to the right, and return its number."""
    number = len(entries)
    if isinstance(value, bytes):
        start = len(table) if value else _END
        count = -(-len(value) // 64)
        table += [*range(len(table) + 1, len(table) + count), _END] if count else []
        mini += value + bytes(-len(value) % 64)
        entries.append([name, 2, _NOBODY, _NOBODY, start, len(value)])
        return number
    entries.append([name, 1 if number else 5, _NOBODY, _NOBODY, 0, 0])
    before = None
    for inner, content in value.items():
        child = _add(entries, inner, content, mini, table)
        if before is None:
            entries[number][3] = child
        else:
            entries[before][2] = child
        before = child
    return number


def _entry(name: str, kind: int, right: int, child: int, start: int, size: int) -> bytes:
    letters = name.encode("utf-16-le") + b"\0\0"
    head = letters.ljust(64, b"\0") + struct.pack("<HBBIII", len(letters), kind, 1, _NOBODY, right, child)
    return head + bytes(36) + struct.pack("<IQ", start, size)
