"""Files of a mail as one zip: a sender chooses their names and number, and a stream cannot be corrected afterwards."""

import io
import tracemalloc
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import chain
from tempfile import TemporaryFile
from typing import IO
from zipfile import ZipFile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailroom.api.downloads import safe_filename
from mailroom.api.zipping import UniqueNames, zipped
from mailroom.domain.errors import TransientError

AT = datetime(2026, 3, 14, 9, 30, tzinfo=UTC)


def opened(*files: tuple[str, bytes]) -> Iterator[tuple[str, IO[bytes]]]:
    return ((name, io.BytesIO(content)) for name, content in files)


def read(content: bytes) -> dict[str, bytes]:
    with ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def test_names_that_differ_in_case_or_spelling_only_get_a_number() -> None:
    """On Windows and macOS they are one file: the second would replace the first, and a document were lost."""
    names = UniqueNames()
    given = [
        "scan.pdf",
        "Scan.PDF",
        "scan.pdf",
        "scan (2).pdf",
        "e\u0301.txt",
        "\xe9.txt",
        "stra\xdfe",
        "STRASSE",
        ".a",
        "a",
    ]

    taken = [names.take(name) for name in given]

    assert taken == [
        "scan.pdf", "Scan (2).PDF", "scan (3).pdf", "scan (2) (2).pdf", "\xe9.txt", "\xe9 (2).txt", "stra\xdfe",
        "STRASSE (2)", "a", "a (2)",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("../../etc/passwd", "_.._etc_passwd"), ("/abs", "_abs"), ("C:\\x", "C__x"), ("", "attachment"), ("..", "attachment"),
        ("a\x00b.pdf", "ab.pdf"), ("a\r\n\x1b[2Jb", "a[2Jb"), ("\ud800", "attachment"), ("\u202efdp.exe", "fdp.exe"),
        ("NUL", "_NUL"), ("inline", "inline (2)"), ("not included.TXT", "not included (2).TXT"),
    ],
)  # fmt: skip
def test_a_hostile_name_is_a_plain_file_in_the_zip(name: str, safe: str) -> None:
    """A path that leaves the folder, a control character, half a character, a device, the name of our own folder."""
    taken = UniqueNames(["inline", "NOT INCLUDED.txt"]).take(name)

    assert taken == safe
    assert list(read(b"".join(zipped(opened((taken, b"x")), at=AT)))) == [safe]


@given(
    st.lists(
        st.sampled_from(["a", "A", "a (2)", "a (3)", "a.b", "", "/", "\xe9", "e\u0301", "\u017f", "s", "CON"])
        | st.text()
    )
)
def test_no_two_names_are_one_file_anywhere(given: list[str]) -> None:
    """Whatever they are, each is safe by itself and different from the others without regard to case."""
    names = UniqueNames()
    taken = [names.take(name) for name in given]

    assert len({name.casefold() for name in taken}) == len(given)
    assert all(safe_filename(name) == name and len(name.encode()) <= 200 for name in taken)


def test_thousand_long_equal_names_stay_short_and_take_no_time() -> None:
    """Counted on from the last number: a search from one for each would be a million steps."""
    names = UniqueNames()

    taken = [names.take("\xe9" * 300 + ".pdf") for _ in range(1_000)]

    assert len(set(taken)) == 1_000
    assert taken[-1].endswith(" (1000).pdf")
    assert max(len(name.encode()) for name in taken) <= 200


@given(st.lists(st.binary(max_size=200_000), max_size=5))
def test_what_goes_in_comes_out(contents: list[bytes]) -> None:
    """Empty files and none at all too; equal files give equal bytes, so a second download can be compared with the first."""
    files = [(f"{number}.bin", content) for number, content in enumerate(contents)]

    first, second = (b"".join(zipped(opened(*files), at=AT)) for _ in range(2))

    assert read(first) == dict(files)
    assert first == second


@pytest.mark.parametrize(("at", "dated"), [(AT, 2026), (AT.replace(year=1971), 1980), (AT.replace(year=9000), 2107)])
def test_the_date_is_the_mails(at: datetime, dated: int) -> None:
    """Not the time of the download; a year that the format does not have is no error."""
    with ZipFile(io.BytesIO(b"".join(zipped(opened(("a", b"")), at=at)))) as archive:
        [entry] = archive.infolist()

    assert entry.date_time == (dated, 3, 14, 9, 30, 0)
    assert entry.external_attr >> 16 == 0o100644


def test_more_than_the_old_format_holds_is_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over 4 GB or 65,535 files; the limits are lowered, the fields of the newer format are the same."""
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 1_000)
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 3)
    files = [(f"{number}.bin", bytes(range(256)) * 20) for number in range(10)]

    assert read(b"".join(zipped(opened(*files), at=AT))) == dict(files)


def test_a_failure_in_the_middle_leaves_no_valid_zip() -> None:
    """A program that took a part for the whole would lose the rest of the files."""

    def failing() -> Iterator[tuple[str, IO[bytes]]]:
        yield "a.txt", io.BytesIO(b"a" * 300_000)
        raise TransientError("AWS is temporarily unavailable")

    sent = bytearray()
    stream = zipped(failing(), at=AT)
    with pytest.raises(TransientError):
        sent.extend(chain.from_iterable(stream))

    assert not zipfile.is_zipfile(io.BytesIO(sent))


def test_memory_does_not_grow_with_the_files() -> None:
    """32 MB that cannot be compressed: a piece is sent before the next is read, and one file at a time is open."""
    noise = bytes(hash((one, "x")) & 255 for one in range(1 << 16))
    made: list[IO[bytes]] = []

    def files() -> Iterator[tuple[str, IO[bytes]]]:
        for number in range(4):
            assert all(one.closed for one in made)
            made.append(TemporaryFile())  # noqa: SIM115 - `zipped` closes it
            for _ in range(128):
                made[-1].write(noise)
            yield f"{number}.bin", made[-1]

    tracemalloc.start()
    total = sum(len(chunk) for chunk in zipped(files(), at=AT))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert total > 1 << 20
    assert peak < 2 << 20
    assert all(one.closed for one in made)
