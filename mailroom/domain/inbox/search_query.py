"""The one parser of searches, of the box on the inbox page and of `q` in the API.

    invoice "five thousand" -draft          all of these words, the phrase, and not the word
    from:carl  to:ann@acme.test  subject:"final offer"  filename:scan  -from:carl
    has:attachment                          files, not pictures that the mail draws
    after:2026-03  before:2026-03-14        received at the beginning of that year, month or day or later; before it (UTC)
    this or that                            either side

The last word of a search may be the beginning of a longer one, as may a word of a field; an excluded word may not.

A word before a colon that is none of these is text: `http://acme.test` and `foo:bar` are searched as words.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from mailroom.domain.inbox.search_fields import ATTACHMENT, SearchField
from mailroom.domain.inbox.search_words import words_asked, words_in
from mailroom.domain.texts import Text

_OPERATOR = (
    r"""(?<![^\s"(])(?P<minus>-?)(?P<name>from|to|subject|filename|has|before|after):[^\S\n]*"""
    r"""(?:"(?P<quoted>[^"]*)"?|(?P<value>[^\s"]+))"""
)
_PIECES = re.compile(rf'{_OPERATOR}|(?P<phrase>"[^"]*"?)|(?P<other>.)', re.DOTALL | re.IGNORECASE)
#: A phrase, or an excluded word that may contain more than letters, as an address.
_EXCLUDED = re.compile(r'"[^"]*"?|(?<!\S)-(\w[^\s"]*)')
_TERMS = re.compile(r'(-?)(?:"([^"]*)"?|(\S+))')
_DATE = re.compile(r"(\d{4})(?:[-/](\d{1,2})(?:[-/](\d{1,2}))?)?")
#: A prefix of fewer letters matches too many words.
_BEGUN = re.compile(r"[^\W_]{3}$")
_ATTACHMENT = re.compile(r"attachments?", re.IGNORECASE)


class UnreadableSearch(ValueError):
    """A search that cannot be read; the message is a sentence for people, with what to write."""


@dataclass(frozen=True, slots=True)
class SearchTerm:
    """Words that an item must have next to each other, in `field` or anywhere; with `negated` it must not have them.

    With `begun` the last word may go on. `unfolded` are the words as 0.1.0 indexed them, where that differs.
    """

    words: tuple[str, ...]
    field: SearchField | None = None
    negated: bool = False
    begun: bool = False
    unfolded: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Search:
    """A parsed search: an item must match all terms of one of `ways`, and be received from `after` on and before `before`.

    Without terms and dates it finds nothing, unless `asked` is false: then it finds everything.
    """

    asked: bool
    ways: tuple[tuple[SearchTerm, ...], ...] = ()
    after: datetime | None = None
    before: datetime | None = None

    @property
    def finds_nothing(self) -> bool:
        """Whether no item can match: something was asked, and no word of it can be searched."""
        return self.asked and not self.ways and self.after is None and self.before is None

    @property
    def has_unfolded(self) -> bool:
        """Whether a term of it was indexed otherwise by 0.1.0."""
        return any(term.unfolded for way in self.ways for term in way)

    def folded_only(self) -> "Search":
        """Return the search for items of which none was indexed by 0.1.0."""
        return replace(self, ways=tuple(tuple(replace(term, unfolded=()) for term in way) for way in self.ways))


def parse_search(question: str) -> Search:
    """Return the search that a person wrote; dates narrow it as a whole, also beside `or`.

    Raises:
        UnreadableSearch: a date, or what `has:` names, cannot be read.
    """
    search = Search(asked=bool(question.strip()))
    ways: list[list[SearchTerm]] = [[]]
    found_or = False
    pieces = list(_pieces(question))
    for at, piece in enumerate(pieces, start=1):
        if isinstance(piece, str):
            for term in _words(piece, last=at == len(pieces)):
                if term is None:
                    found_or = True
                    ways.append([])
                else:
                    ways[-1].append(term)
        elif piece["name"].lower() in ("before", "after"):
            search = _narrowed(search, piece)
        else:
            ways[-1].append(_field_term(piece))
    found = tuple(tuple(way) for way in ways if way)
    if not found and found_or:
        # The word alone, which is French for gold.
        found = ((SearchTerm(("or",)),),)
    return replace(search, ways=found)


def _pieces(question: str) -> Iterator[str | re.Match[str]]:
    """Yield the operators, and the texts between them."""
    text = ""
    for match in _PIECES.finditer(question):
        if match["name"] is None or not words_in(match["quoted"] or match["value"] or ""):
            text += match[0]
            continue
        if text:
            yield text
        text = ""
        yield match
    if text:
        yield text


def _words(text: str, *, last: bool) -> Iterator[SearchTerm | None]:
    """Yield the terms of a text without operators, and None for each `or`."""
    text = _EXCLUDED.sub(lambda match: f'-"{match[1]}"' if match[1] else match[0], text)
    query = words_asked(text)
    older = list(_TERMS.finditer(words_asked(text, folded=False)))
    found = list(_TERMS.finditer(query))
    begun = last and _BEGUN.search(query) is not None
    for at, match in enumerate(found):
        if match[0] == "or":
            yield None
            continue
        words = _of(match)
        if not words:
            continue
        unfolded = _of(older[at]) if len(older) == len(found) else ()
        yield SearchTerm(
            words,
            negated=bool(match[1]),
            begun=begun and not match[1] and match.end() == len(query),
            unfolded=unfolded if unfolded != words else (),
        )


def _of(match: re.Match[str]) -> tuple[str, ...]:
    return tuple((match[3] if match[2] is None else match[2]).strip('"-').replace('"', " ").split())


def _field_term(match: re.Match[str]) -> SearchTerm:
    field, negated = SearchField(match["name"].lower()), bool(match["minus"])
    value = match["value"] if match["quoted"] is None else match["quoted"]
    if field is SearchField.HAS:
        if not _ATTACHMENT.fullmatch(value):
            raise UnreadableSearch(
                Text('has: is followed by "attachment"; a kind of file is found by its name, such as filename:pdf')
            )
        return SearchTerm((ATTACHMENT,), field, negated)
    words = words_in(value)
    begun = not negated and match["quoted"] is None and len(words[-1]) >= 3 and value[-1].isalnum()
    return SearchTerm(words, field, negated, begun)


def _narrowed(search: Search, match: re.Match[str]) -> Search:
    name = match["name"].lower()
    at = _date(match["value"] or match["quoted"], name)
    if (name == "after") is not bool(match["minus"]):
        return replace(search, after=at if search.after is None else max(at, search.after))
    return replace(search, before=at if search.before is None else min(at, search.before))


def _date(text: str, name: str) -> datetime:
    written = _DATE.fullmatch(text)
    try:
        if written is None or not text.isascii():
            raise ValueError
        year, month, day = (int(part or 1) for part in written.groups())
        return datetime(year, month, day, tzinfo=UTC)
    except ValueError:
        raise UnreadableSearch(
            Text(
                "%(name)s: is followed by a day, month or year, such as %(name)s:2026-03-14, %(name)s:2026-03 or "
                '%(name)s:2026; write "%(name)s" to search for the word',
                name=name,
            )
        ) from None
