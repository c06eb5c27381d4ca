"""Archived bytes on their way to a client: verified before the first of them is sent, and never in memory as a whole."""

from collections.abc import Iterator
from tempfile import SpooledTemporaryFile
from typing import IO, cast

from mailroom.domain.errors import TransientError
from mailroom.ports.archive import Archive

#: Larger contents are in a temporary file.
MOST_IN_MEMORY = 1 << 20
CHUNK = 64 << 10


def spooled(archive: Archive, archive_id: str) -> IO[bytes]:
    """Return an open file with the content, at its start; it is deleted when it is closed.

    Raises:
        LookupError, PermanentError: as `Archive.copy`.
        TransientError: also if there is no room for a temporary file.
    """
    file = cast(IO[bytes], SpooledTemporaryFile(MOST_IN_MEMORY))  # noqa: SIM115 - the caller closes it
    try:
        archive.copy(archive_id, file)
        file.seek(0)
    except OSError as error:
        file.close()
        raise TransientError("no temporary file can be written; free space in TMPDIR", code=error.errno) from None
    except BaseException:
        file.close()
        raise
    return file


def chunks(file: IO[bytes]) -> Iterator[bytes]:
    """Yield the rest of `file`, and close it."""
    with file:
        while chunk := file.read(CHUNK):
            yield chunk
