"""Canaries: words that occur in one place of a mail each, and the search for them where no content may be."""

import base64
from collections.abc import Iterator, Mapping
from pathlib import Path

import psycopg
from psycopg import sql

from tests.support.running_stack import Stack


def finds(stack: Stack, canaries: Mapping[str, str]) -> list[str]:
    """Return where a word was found: in Prefect's database, its files (results above all), or a part's log."""
    return [*_in_database(stack, canaries), *_in_files(stack.folder, canaries)]


def _in_database(stack: Stack, canaries: Mapping[str, str]) -> Iterator[str]:
    """Search every column of every table of Prefect's database."""
    url = stack["database_owner_url"].rpartition("/")[0] + "/prefect"
    tables = (
        "select table_name from information_schema.tables where table_schema = 'public' and table_type = 'BASE TABLE'"
    )
    with psycopg.connect(url) as connection:
        for (table,) in connection.execute(tables).fetchall():
            rows = connection.execute(sql.SQL("select t::text from {} t").format(sql.Identifier(table))).fetchall()
            for (row,) in rows:
                yield from (f"{place} in table {table}" for place in _found(row.encode(), canaries))


def _in_files(folder: Path, canaries: Mapping[str, str]) -> Iterator[str]:
    """Search the logs of every part, and the files that Prefect keeps: results above all."""
    for file in [*folder.glob("logs/*"), *folder.glob("prefect/**/*")]:
        if file.is_file():
            yield from (f"{place} in {file.relative_to(folder)}" for place in _found(file.read_bytes(), canaries))


def _found(text: bytes, canaries: Mapping[str, str]) -> Iterator[str]:
    for place, canary in canaries.items():
        spellings = [canary.encode(), canary.encode().hex().encode(), *_inside_base64(canary)]
        if any(spelling in text for spelling in spellings):
            yield place


def _inside_base64(word: str) -> Iterator[bytes]:
    """Yield how `word` looks inside base64, at each of the three alignments."""
    for shift in range(3):
        yield base64.b64encode(b"x" * shift + word.encode())[4:-4]
