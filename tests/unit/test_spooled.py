"""Archived bytes in a temporary file: verified as a whole before any is used, and gone afterwards."""

import tempfile
from pathlib import Path

import pytest

from mailroom.api.spooled import CHUNK, MOST_IN_MEMORY, chunks, spooled
from mailroom.domain.errors import PermanentError, TransientError
from mailroom.testing.archive import MemoryArchive


@pytest.mark.parametrize("size", [0, 1, CHUNK, MOST_IN_MEMORY, MOST_IN_MEMORY + 1])
def test_a_content_is_read_back_in_chunks(size: int) -> None:
    """In memory or on disk; the file is closed, and so deleted, after the last chunk."""
    archive = MemoryArchive()
    file = spooled(archive, archive.deposit("acme", b"x" * size).archive_id)

    read = list(chunks(file))

    assert b"".join(read) == b"x" * size
    assert max(map(len, read), default=0) <= CHUNK
    assert file.closed


def test_no_room_for_a_temporary_file_is_tried_again_later(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The caller gets 503 with what to do; a small content needs no file."""
    archive = MemoryArchive()
    small, large = (archive.deposit("acme", b"x" * size).archive_id for size in (10, MOST_IN_MEMORY + 1))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))

    assert b"".join(chunks(spooled(archive, small))) == b"x" * 10
    with pytest.raises(TransientError, match="free space in TMPDIR"):
        spooled(archive, large)


def test_altered_bytes_are_not_returned() -> None:
    """Not even the first of them."""
    archive = MemoryArchive()
    kept = archive.deposit("acme", b"invoice")
    archive.contents[kept.archive_id] = b"invoicE"

    with pytest.raises(PermanentError):
        spooled(archive, kept.archive_id)
