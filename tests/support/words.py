#!/usr/bin/env python3
"""Words that Mailroom's code and pages avoid: each place with what to say instead. Needs nothing but Python and git.

    python tests/support/words.py                  # path:line for each; exit status 1 while there are any
    python tests/support/words.py docs mailroom    # only below these paths
    python tests/support/words.py --counts         # how many by folder and word; exit status 0

It reads every text file that git tracks or would track, names of files and identifiers too (`handed_over`, `HandedOver`), and
phrases that go on in the next line. Stored words that cannot change are in `STORED`, each with its reason.
"""

import argparse
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

# Between two words of a phrase: blanks, the seam of an identifier, the end of a line with the quote or comment sign around it.
_GAP = r"(?:[ \t_\-\x1f]+|[ \t]*[\"']?[ \t]*\r?\n[ \t]*(?:[#>*|]+|//|[rbf]?[\"']{1,3})?[ \t]*)"
_WORDS_BETWEEN = rf"(?:{_GAP}(?!is\b|are\b|was\b|were\b|and\b|or\b|taken\b)[a-z]+){{0,3}}?"

# At most 40 in all: what is avoided, its pattern, and what to say instead.
AVOIDED = {
    "told": ("told", "notified, sent, reported, or: the event says"),
    "tell it/of/us/them": (
        rf"tell(?:s|ing)?{_GAP}(?:it|of|us|them)",
        "report, notify, emit, return, show; `tell apart` is distinguish",
    ),
    "whoever": ("who(?:so)?ever", "the caller, the operator, the client, any user who"),
    "whom": ("whom(?:so)?(?:ever)?", "the recipient, the tenant, the user; or turn the sentence round"),
    "anew": ("anew", "again"),
    "for want of": (rf"for{_GAP}want{_GAP}of", "without, because ... is missing"),
    "manieth": ("manieth", "nth"),
    "hand over": (
        rf"(?<!in )(?<!in\n)hand(?:s|ed|ing)?{_WORDS_BETWEEN}{_GAP}?over",
        "submit (caller to us), send (we to the provider), pass, release (a lease)",
    ),
}

# Names in databases, in the API, in Prefect and in files that others keep. They change with a release of their own, never here.
STORED = {
    "told_at": "column of endpoint_news, provider and rate; field of the pace in answers of /v1/batches",
    "ix_endpoint_news_told": "index of migration 0007",
    "activity_told": "trigger of migration 0007",
    "0007_told": "file name of an applied migration",
    "mailroom_told": "Prefect variable of the flow watch",
    "not_told": "stored result of the processor webhook",
}

# What is written by others, and this list itself.
_UNREAD = re.compile(
    r"tests/data/|tests/support/words\.py$|tests/unit/test_words\.py$|LICENSE$|.*\.(?:lock|pdf|png|ico|eml)$"
)

_SEAM = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_ESCAPE = re.compile(r"\\[nt](?=[A-Za-z])")
_PATTERN = re.compile(
    "|".join(
        rf"(?P<w{number}>(?<![a-zA-Z]){pattern}(?![a-z]))" for number, (pattern, _) in enumerate(AVOIDED.values())
    ),
    re.IGNORECASE,
)
_NAME_BEFORE, _NAME_AFTER = re.compile(r"[\w\x1f]*\Z"), re.compile(r"[\w\x1f]*")


class Place(NamedTuple):
    """Where an avoided word is: `line` 0 is the name of the file."""

    path: str
    line: int
    word: str
    found: str

    def __str__(self) -> str:
        found = " ".join(self.found.split())
        return f"{self.path}:{self.line}: “{found}”; say {AVOIDED[self.word][1]}"


def places(text: str, path: str = "") -> Iterator[Place]:
    """Yield each place of an avoided word in `text`, in order."""
    seamed = _SEAM.sub("\x1f", _ESCAPE.sub("  ", text))
    for match in _PATTERN.finditer(seamed):
        if _name_around(seamed, match) in STORED:
            continue
        word = list(AVOIDED)[int(match.lastgroup[1:])]  # type: ignore[index]
        yield Place(path, seamed.count("\n", 0, match.start()) + 1, word, match[0].replace("\x1f", ""))


def _name_around(text: str, match: re.Match[str]) -> str:
    """Return the whole identifier that `match` is part of."""
    start = max(0, match.start() - 100)
    before, after = _NAME_BEFORE.search(text[start : match.start()]), _NAME_AFTER.match(text, match.end())
    assert before is not None
    assert after is not None
    return f"{before[0]}{match[0]}{after[0]}".replace("\x1f", "")


def places_in_tree(root: Path, below: list[str]) -> Iterator[Place]:
    """Yield each place in the files of the checkout at `root`, below the paths `below` (all, when empty)."""
    listed = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *below]
    names = subprocess.run(listed, check=True, capture_output=True, text=True).stdout.split("\0")
    for name in sorted(set(names) - {""}):
        if _UNREAD.match(name) or not (root / name).is_file():
            continue
        yield from (place._replace(line=0) for place in places(PurePosixPath(name).as_posix(), name))
        try:
            text = (root / name).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        yield from places(text, name)


def _print_counts(found: list[Place]) -> None:
    table = Counter(("/".join(place.path.split("/")[:-1][:3]) or ".", place.word) for place in found)
    folders = Counter(folder for folder, _ in table.elements())
    print(f"{'':34}{'all':>6}" + "".join(f"{word.split()[0]:>9}" for word in AVOIDED))
    for folder in sorted(folders):
        print(f"{folder:34}{folders[folder]:6}" + "".join(f"{table[folder, word] or '':>9}" for word in AVOIDED))
    print(f"{'all':34}{len(found):6}" + "".join(f"{sum(p.word == word for p in found):9}" for word in AVOIDED))


def main() -> int:
    """Print the places, or with `--counts` how many there are; return 1 for places."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("paths", nargs="*", help="only files below these paths")
    parser.add_argument("--counts", action="store_true", help="how many by folder and word")
    asked = parser.parse_args()
    top = subprocess.run(["git", "rev-parse", "--show-toplevel"], capture_output=True, text=True)
    if top.returncode:
        print(
            f"{top.stderr.strip()}\ntests/support/words.py reads what git lists: run it inside a git checkout",
            file=sys.stderr,
        )
        return 2
    found = list(places_in_tree(Path(top.stdout.strip()), [str(Path(path).resolve()) for path in asked.paths]))
    if asked.counts:
        _print_counts(found)
        return 0
    for place in found:
        print(place)
    if found:
        print(f"{len(found)} words to avoid; what to say instead is beside each (CONTRIBUTING.md)", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
