"""All mails of our own against the parser: what is right for each, column by column.

`.venv/bin/python -m tests.unit.test_parsing_own` prints the table, and what is wrong.
"""

import json
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from mailroom.domain.parsing import parse_email
from tests.fuzz.content_rules import assert_sound
from tests.support.mails.corpus import corpus, write
from tests.support.mails.judging import COLUMNS, judge

SAMPLES = list(corpus())
#: Mails that are read wrongly today, by the line of issue F that mends them: a kind and its siblings. The test fails when
#: one of them is right, so that the list only gets shorter.
KNOWN: dict[int, list[str]] = {
    1: [
        "attached_and_linked 0 1 2 3 4 5",
        "certified_mail 0 1 2 3 4",
        "electronic_invoice 1 4",
        "file_of_unnamed_text 0 1 2 3 4 5",
        "file_without_name 0 1 3 5 6",
        "inline_document 0 1 2 3 4 5 6 7",
        "logo_and_document 0 1 2 3 4",
        "lone_inline_document 0 1 2 3 4 5",
        "name_in_description 0 1 2",
        "own/apple-mail-pdf-inline-between-texts",
        "own/dispositions-of-a-fax-gateway",
        "own/iphone-photos-in-html-mail",
        "own/zugferd-pdf-and-xml-without-text",
        "photos_between_texts 0 1 2 3 4",
        "picture_never_drawn 0 1 2 3 4 5",
    ],
    3: [
        "own/korean-web-mail-raw-names",
    ],
    4: [
        "appledouble 0 1 2 3 4",
        "forwarded_mail 0 1 2 3 4 5",
        "name_in_continuations 11 12 13",
        "named_alternatives 0 1 2 3 4 5",
        "own/forwarded-as-attachment-encoded",
        "own/pec-transport-envelope",
        "quoted_printable_damage 0 5",
        "signed_file 0 1 2 3 4 5",
        "signed_mail 0 1 2 3 4",
        "split_mail 0 1 2 3 4",
        "text_behind_delimiters 0 2 4 5",
        "unreadable_multipart 0 1 2 3 4 5 7 9",
        "uuencoded_part 1 3 4 5",
        "uuencoded_text 0 1",
    ],
    5: [
        "many_files 3 4",
    ],
    6: [
        "invitation 0 1 2 3 4 5",
        "thread_fields 0 1 2 3 4",
    ],
}


def known() -> set[str]:
    """Return the names of the mails in `KNOWN`."""
    names = set()
    for kinds in KNOWN.values():
        for one in kinds:
            kind, *numbers = one.split()
            names |= {f"{kind}-{number}" for number in numbers} if numbers else {kind}
    return names


@cache
def verdicts() -> dict[str, dict[str, bool]]:
    """Return whether each column that a mail asserts is right, by the mail's name."""
    return {sample.name: judge(sample.right, parse_email(sample.raw)) for sample in SAMPLES}


def wrong() -> dict[str, list[str]]:
    """Return the columns that are wrong, by the name of the mail."""
    found = {name: [column for column, right in verdict.items() if not right] for name, verdict in verdicts().items()}
    return {name: columns for name, columns in found.items() if columns}


def table() -> str:
    """Return the share of right mails by column."""
    asked: Counter[str] = Counter()
    right: Counter[str] = Counter()
    for verdict in verdicts().values():
        asked.update(list(verdict))
        right.update(column for column, value in verdict.items() if value)
    rows = [
        f"{one:12} {right[one]:4} of {asked[one]:4} {100 * right[one] / asked[one]:6.1f} %"
        for one in COLUMNS
        if asked[one]
    ]
    return "\n".join(rows)


def test_every_mail_is_read_as_is_right() -> None:
    """Each kind has siblings that differ in every detail: what passes is the rule, no special case."""
    found = wrong()

    assert {name: columns for name, columns in found.items() if name not in known()} == {}, table()
    assert sorted(known() - found.keys()) == [], "right by now: delete them from KNOWN"


def test_there_are_five_siblings_of_each_kind() -> None:
    """One file alone teaches its details instead of its rule."""
    kinds = Counter(sample.kind for sample in SAMPLES)

    assert len(SAMPLES) == len({sample.name for sample in SAMPLES}) >= 150
    assert {kind: number for kind, number in kinds.items() if number < 5} == {}


def test_no_column_is_forgotten() -> None:
    """A word that no column reads would assert nothing."""
    words = set(COLUMNS) | {
        "id", "source", "path", "text_contains", "text_lacks", "text_is", "html_contains", "attachments", "complete", "once", "sound"
    }  # fmt: skip

    assert {key for sample in SAMPLES for key in sample.right} <= words
    assert all(verdicts().values())


@pytest.mark.parametrize("cut", [3, 2])
def test_a_cut_mail_is_read_soundly(cut: int) -> None:
    """A mail that was cut anywhere is read as far as it goes."""
    for sample in SAMPLES:
        assert_sound(parse_email(sample.raw[: len(sample.raw) // cut]))


def test_corpus_can_be_written(tmp_path: Path) -> None:
    """In the form that other scorers read: a manifest and files."""
    number = write(tmp_path)

    records = [json.loads(line) for line in (tmp_path / "manifest.jsonl").read_text().splitlines()]
    assert number == len(records) == len(SAMPLES)
    assert all((tmp_path / one["path"]).stat().st_size for one in records)


if __name__ == "__main__":
    print(table())
    for name, columns in wrong().items():
        print(name, *columns)
