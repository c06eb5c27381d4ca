"""The search for avoided words: it finds them in every form that code and pages have, and nothing else."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import words

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("A tenant is told.", ["told"]),
        ("TOLD _MOST_TOLD whoToldWhom", ["told", "told", "told", "whom"]),
        ('"first line\\ntold"', ["told"]),
        ("tells of it; Tell them; telling\n    # it; tell_us", ["tell it/of/us/them"] * 4),
        ("whoever, whosoever, whomever, anew, manieth", ["whoever", "whoever", "whom", "anew", "manieth"]),
        ("for want\n> of", ["for want of"]),
        ("handed over, HandedOver, handing_over, hand-over, handover, HAND_OVER", ["hand over"] * 6),
        ("hands each mail over; hand it over; handed nothing over", ["hand over"] * 3),
        ('"""Hand\n    over.""" and "handed "\n    "over"', ["hand over"] * 2),
        ("docs/handing-over.md", ["hand over"]),
    ],
)
def test_an_avoided_word_is_found_in_every_form(text: str, found: list[str]) -> None:
    """Names and phrases over two lines are read by people as well."""
    assert [place.word for place in words.places(text)] == found


@pytest.mark.parametrize(
    "text",
    [
        "untold retold secondhand overview beforehand over there",
        "mails in hand over the limit; in hand and over ten; on the other hand, over time",
        "the hand of an overseer; handled over; a tell-tale; tells what; tell you",
        "told_at ix_endpoint_news_told activity_told mailroom_told not_told 0007_told",
    ],
)
def test_other_words_and_stored_names_are_left_alone(text: str) -> None:
    """A false alarm in `make check` teaches people to pass it by."""
    assert list(words.places(text)) == []


def test_a_name_that_only_holds_a_stored_one_is_found() -> None:
    """The list of stored names is of whole names."""
    assert [place.word for place in words.places("read_told_at not_told_yet")] == ["told", "told"]


def test_the_line_and_what_to_say_instead_are_printed() -> None:
    """One look at the line of output is enough to correct the place."""
    (place,) = words.places("one\ntwo\nthree whoever", "docs/a.md")

    assert str(place) == f"docs/a.md:3: “whoever”; say {words.AVOIDED['whoever'][1]}"


def test_the_list_stays_short() -> None:
    """House rule: at most 40 words, each with another to say."""
    assert len(words.AVOIDED) <= 40
    assert all(instead for _, instead in words.AVOIDED.values())


def test_every_stored_name_is_still_in_the_tree() -> None:
    """A name that has gone needs no exception."""
    tree = subprocess.run(
        ["git", "grep", "-hoE", "|".join(words.STORED), "--", ":!tests"], cwd=ROOT, capture_output=True, text=True
    )
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert {name for name in words.STORED if name not in tree.stdout + files} == set()


def test_files_are_searched_by_name_and_content(tmp_path: Path) -> None:
    """New files too, before they are added; what git ignores, test data and binary files are not read."""
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    (tmp_path / "tests" / "data").mkdir(parents=True)
    (tmp_path / ".gitignore").write_text("ignored.md\n")
    (tmp_path / "whom.md").write_text("fine\n\ntold\n")
    for name in ("ignored.md", "tests/data/mail.txt", "some.lock"):
        (tmp_path / name).write_text("told\n")
    (tmp_path / "picture").write_bytes(b"told \xff\xfe")

    def run(*options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(ROOT / "tests" / "support" / "words.py"), *options]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    found = run()

    assert [line.partition("; ")[0] for line in found.stdout.splitlines()] == ["whom.md:0: “whom”", "whom.md:3: “told”"]
    assert found.returncode == 1
    assert run("tests").returncode == 0
    assert (run("--counts").returncode, run("--counts").stdout.split()[-9:-6]) == (0, ["2", "1", "0"])
