"""A mail's plain text as a letter: quoted lines fold, links open what they say. And where an answer to it goes."""

import re
from dataclasses import dataclass
from email.utils import parseaddr
from itertools import groupby

from mailroom.domain.inbound.received_email import Item
from mailroom.domain.mail.urls import plain_web_url
from mailroom.domain.readable import shown

#: The most links and folded quotations of one text; what comes after them is shown as it is.
MOST_LINKS, MOST_PIECES = 500, 200

_URL = re.compile(r"https?://[^\s<>\"'\u00a0\u2000-\u200b\u3000]{3,2000}", re.I)
_AFTER = ".,;:!?)]}*_\u201d\u2019\u00bb"


@dataclass(frozen=True, slots=True)
class Run:
    """Characters of a text; `link` is what they open, exactly as they read."""

    text: str
    link: str | None = None


@dataclass(frozen=True, slots=True)
class Piece:
    """Lines of a text, all quoted (`>`) or none."""

    quoted: bool
    lines: int
    runs: tuple[Run, ...]


def plain_letter(text: str | None) -> tuple[Piece, ...]:
    """Return a text in pieces. A URL becomes a link only where every program reads the same host in it."""
    lines = shown(text).splitlines(keepends=True)
    groups = [(quoted, list(group)) for quoted, group in groupby(lines, key=lambda line: line.startswith(">"))]
    kept, rest = groups[:MOST_PIECES], [line for _, group in groups[MOST_PIECES:] for line in group]
    pieces, links = [], MOST_LINKS
    for quoted, group in kept + ([(False, rest)] if rest else []):
        runs = tuple(_runs("".join(group), most=links))
        links -= sum(run.link is not None for run in runs)
        pieces.append(Piece(quoted, len(group), runs))
    return tuple(pieces)


def answers_elsewhere(item: Item) -> bool:
    """Return whether an answer goes to another address than the sender's."""
    sender = parseaddr(item.from_ or "")[1].casefold()
    return any(parseaddr(one)[1].casefold() != sender for one in item.reply_to or ())


def _url_alone(found: str) -> str:
    """Return a URL without the sentence's own signs after it; a bracket that it opened stays."""
    while found[-1] in _AFTER and not (found[-1] == ")" and "(" in found and found.count("(") >= found.count(")")):
        found = found[:-1]
    return found


def _runs(text: str, *, most: int) -> list[Run]:
    runs, at = [], 0
    for match in _URL.finditer(text):
        written = _url_alone(match[0])
        read = plain_web_url(written) if most > 0 else None
        if read is None:
            continue
        most -= 1
        runs += [Run(text[at : match.start()]), Run(written, read.href)]
        at = match.start() + len(written)
    return [run for run in [*runs, Run(text[at:])] if run.text]
