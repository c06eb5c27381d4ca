"""A zip file as a stream: nothing is sought in it, and one file at a time is open."""

import io
import unicodedata
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import IO
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from mailroom.api.downloads import safe_filename
from mailroom.api.spooled import CHUNK

_MAX_NAME = 200
#: Permissions of a file that its owner writes and everybody reads.
_READABLE = 0o100644 << 16


class _Pipe(io.RawIOBase):
    """Collects what is written, until it is taken; it cannot be sought."""

    def __init__(self) -> None:
        self._written = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        before = len(self._written)
        self._written += memoryview(data)  # type: ignore[arg-type]
        return len(self._written) - before

    def take(self, least: int = 1) -> Iterator[bytes]:
        """Yield what was written, once it has the given number of bytes."""
        if len(self._written) >= least:
            taken = bytes(self._written)
            self._written.clear()
            yield taken


class UniqueNames:
    """Names of files in one folder: safe on every system, and different where letters' case does not count."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = {_compared(name) for name in taken}
        self._next: dict[str, int] = {}

    def take(self, name: str) -> str:
        """Return `name` made safe, with a number if another file has it: `scan.pdf`, `scan (2).pdf`."""
        safe = safe_filename(name)
        unique, key = safe, _compared(safe)
        while _compared(unique) in self._taken:
            self._next[key] = number = self._next.get(key, 1) + 1
            unique = _numbered(safe, number)
        self._taken.add(_compared(unique))
        return unique


def zipped(files: Iterable[tuple[str, IO[bytes]]], *, at: datetime) -> Iterator[bytes]:
    """Yield a zip file with `files`, each (path, open file), all dated `at`; each file is closed once it is written.

    The same files give the same bytes. They are compressed: programs that read a zip from a stream cannot find the end of a
    file that is only stored. If one of `files` raises, the stream ends without the directory, so no program takes it for
    complete.
    """
    pipe = _Pipe()
    with ZipFile(pipe, "w", ZIP_DEFLATED) as archive:
        for path, file in files:
            with file, archive.open(_entry(path, file, at), "w") as entry:
                while chunk := file.read(CHUNK):
                    entry.write(chunk)
                    yield from pipe.take(CHUNK)
            yield from pipe.take(CHUNK)
    yield from pipe.take()


def _entry(path: str, file: IO[bytes], at: datetime) -> ZipInfo:
    utc = at.astimezone(UTC)
    # A zip file has no dates outside of these years, and seconds in twos.
    entry = ZipInfo(path, (min(max(utc.year, 1980), 2107), utc.month, utc.day, utc.hour, utc.minute, utc.second))
    entry.compress_type, entry.create_system, entry.external_attr = ZIP_DEFLATED, 3, _READABLE
    # Decides whether the entry needs the format for more than 4 GB.
    entry.file_size = file.seek(0, io.SEEK_END)
    file.seek(0)
    return entry


def _compared(name: str) -> str:
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).casefold())


def _numbered(name: str, number: int) -> str:
    stem, dot, ending = name.rpartition(".")
    if not stem or len(ending.encode()) > 20:
        stem, dot, ending = name, "", ""
    mark = f" ({number}){dot}{ending}"
    return stem.encode()[: _MAX_NAME - len(mark.encode())].decode("utf-8", "ignore").rstrip(". ") + mark
