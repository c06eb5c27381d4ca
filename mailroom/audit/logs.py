"""The logs of an installation's processes: every ERROR and every traceback, against a list of known ones.

A process that fails partly may show it in its log only. Known entries are listed with their reason and the largest
acceptable count; every other entry is a violation, once for each kind.
"""

import json
import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

from mailroom.audit.report import Report

#: A level as written by our own code, Prefect, PostgreSQL, uvicorn or Flask. The first in a line is the line's level.
_LEVEL = re.compile(
    r"(?:^|[\s|\[\]])"
    r"(DEBUG|INFO|NOTICE|LOG|DETAIL|HINT|CONTEXT|STATEMENT|WARNING|ERROR|CRITICAL|FATAL|PANIC)(?=[\s:|\]])"
)
_SEVERE_LEVELS = frozenset({"ERROR", "CRITICAL", "FATAL", "PANIC"})
_LEVEL_WITHIN = 60
_SEVERE = frozenset({"error", "critical"})

_TRACEBACK = re.compile(r"^[\s|+]*(Exception Group )?Traceback \(most recent call last\):")
_CHAINED = re.compile(r"^(During handling of the above exception|The above exception was the direct cause)")
_BARE = re.compile(r"^[\w.]*(Error|Exception)(:|$)")
#: The start of a record, which ends a traceback: a date or time, or a level.
_RECORD = re.compile(r"^\[?\d{2,4}[-:.]\d\d|^(DEBUG|INFO|WARNING|ERROR|CRITICAL)\b|^\{")
#: Variable parts of an entry: ids, numbers, memory addresses.
_VARIABLE = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|0x[0-9a-f]+|\d+")

#: Characters of an entry that are shown.
_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Known:
    """A known entry: the regular expression `match` is searched in its text, in logs whose names match the glob `part`.

    More than `most` of them in one folder are a violation.
    """

    part: str
    match: str
    reason: str
    most: int


@dataclass(slots=True)
class Entry:
    """One ERROR or traceback: the logged text, and its final exception, if any."""

    part: str
    line: int
    head: str = ""
    exception: str = ""
    lines: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The lines of the record and of its exception."""
        return " / ".join(filter(None, [self.head, self.exception]))

    @property
    def kind(self) -> str:
        """The text without its variable parts, so that repetitions of a fault are one kind."""
        return _VARIABLE.sub("#", self.text[len(_stamp(self.head)) :])


def read_known(file: Path) -> list[Known]:
    """Return the known entries of a TOML file: tables `[[known]]` with part, match, reason and most."""
    return [Known(**one) for one in tomllib.loads(file.read_text()).get("known", [])]


#: Known entries of a healthy installation.
KNOWN = Path(__file__).with_name("known_logs.toml")


def check_logs(folder: Path, known: Sequence[Known], report: Report) -> None:
    """Report every kind of entry in `folder`'s `*.log` files that is not known, and known ones above their count."""
    unknown: dict[tuple[str, str], list[Entry]] = {}
    times: Counter[Known] = Counter()
    for log in sorted(folder.glob("*.log")):
        for entry in read_log(log.stem, log.read_text(errors="replace").splitlines()):
            report.counts["errors logged"] += 1
            expected = next((one for one in known if _is(one, entry)), None)
            if expected is None:
                unknown.setdefault((entry.part, entry.kind), []).append(entry)
            else:
                times[expected] += 1
    for (part, _), entries in unknown.items():
        first = entries[0]
        report.violate(
            "logged", f"{part}.log:{first.line}", f"{len(entries)} times: {first.text[:_SHOWN].strip()} (see the log)"
        )
    for one, count in times.items():
        if count > one.most:
            what = f"{count} times, expected at most {one.most}: {one.match} ({one.reason})"
            report.violate("logged too often", f"{one.part}.log", what)


def read_log(part: str, lines: Iterable[str]) -> Iterator[Entry]:
    """Yield the entries of one log, in order."""
    entry: Entry | None = None
    tracing = False
    before = ""
    for number, line in enumerate(lines, start=1):
        if _TRACEBACK.match(line):
            if entry and _is_another(entry, line, before):
                yield entry
                entry = None
            entry, tracing = entry or Entry(part, number), True
        elif (head := _severe(line)) is not None:
            if entry:
                yield entry
            entry, tracing = Entry(part, number, head), False
        elif entry and not tracing and not entry.exception and _BARE.match(line):
            # The first of a chain of exceptions, raised without a frame; its traceback follows.
            entry.exception, tracing = line, True
        elif entry and tracing and _goes_on(line):
            entry.exception = _exception(line) or entry.exception
        elif entry and not _RECORD.match(line) and not tracing and line[:1].isspace():
            continue  # A message of several lines, or the statement under PostgreSQL's.
        elif entry:
            yield entry
            entry, tracing = None, False
        before = line if line.strip() else before
    if entry:
        yield entry


def _is_another(entry: Entry, line: str, before: str) -> bool:
    """Return whether an unindented traceback is a new one: the one before has its exception and is not chained to it."""
    return bool(entry.exception) and not line[:1].isspace() and not _CHAINED.match(before)


def _goes_on(line: str) -> bool:
    """Return whether a line belongs to the traceback before it."""
    return not _RECORD.match(line)


def _exception(line: str) -> str:
    """Return the line if it names an exception: not indented, not between chained tracebacks, not SQL (`WHERE`)."""
    bare = line.lstrip("| ") if line.lstrip().startswith("|") else line
    named = bare[:1].isalpha() and not bare.isupper() and not _CHAINED.match(bare)
    return bare if named and re.match(r"[\w.]+(:|$)", bare) else ""


def _severe(line: str) -> str | None:
    """Return the line (of JSON: its texts) if its level is ERROR or worse, or it has an exception; otherwise None."""
    if line.startswith("{"):
        try:
            record = json.loads(line)
        except ValueError:
            return None
        if not isinstance(record, dict) or (record.get("level") not in _SEVERE and "exception" not in record):
            return None
        return f"{record.get('logger', '')} {record.get('message', '')} {record.get('exception', '')}".strip()
    match = _LEVEL.search(line[:_LEVEL_WITHIN])
    return line if match and match.group(1) in _SEVERE_LEVELS else None


def _stamp(head: str) -> str:
    """Return the time at the start of a record."""
    match = re.match(r"[\[\d][\d:.,\-T ]*(UTC|GMT|Z)?\]?\s*", head)
    return match.group(0) if match else ""


def _is(known: Known, entry: Entry) -> bool:
    return fnmatch(entry.part, known.part) and re.search(known.match, entry.text) is not None
