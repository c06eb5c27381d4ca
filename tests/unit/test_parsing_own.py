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
    assert wrong() == {}, table()


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
