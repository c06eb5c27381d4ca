"""The index of words as PostgreSQL's `tsvector`, and a search as its `tsquery`: both are written here, word by word.

PostgreSQL's own parser of texts is not used: its letters depend on the database's locale, and it has no fields. A word of a
field is stored a second time behind the field's letter and a slash, which no word contains: `from:carl` is `'f/carl'`, and
the index alone answers it. Weights, the other way to mark fields, are not in the index: a sender who is named in every mail's
text would have each of them read.
"""

from collections import defaultdict

from sqlalchemy import ColumnElement, and_, cast, literal, text, true
from sqlalchemy.dialects.postgresql import TSQUERY

from mailroom.adapters.postgres.models import InboxItemRow, table
from mailroom.domain.inbound.received_email import Item
from mailroom.domain.inbox.search_fields import SearchField, indexed_words
from mailroom.domain.inbox.search_query import Search, SearchTerm

#: The form of the words that `tsvector_of` returns; a change of it is a higher number, and older rows are indexed again
#: (`reindexing`) by the partial index of the migration that goes with it.
WORDS_VERSION = 1

_item = table(InboxItemRow).c

#: The condition of `ix_inbox_item_old_words`, written out, or a plan would not use that index.
OLD_WORDS = text(f"inbox_item.words_version < {WORDS_VERSION}")

_LETTER = {
    SearchField.FROM: "f",
    SearchField.TO: "t",
    SearchField.SUBJECT: "s",
    SearchField.FILENAME: "n",
    SearchField.HAS: "h",
}
#: PostgreSQL takes words of 2,046 bytes, 255 positions of a word, and positions up to 16,383.
_LONGEST, _MOST_POSITIONS, _LAST_POSITION = 500, 255, 16_383


def tsvector_of(item: Item) -> str:
    """Return the words of an item in the text form of `tsvector`; a word is letters and digits, so nothing needs escaping."""
    indexed = indexed_words(item)
    places: dict[str, list[int]] = defaultdict(list)
    for position, word in enumerate(indexed.text, start=1):
        places[word[:_LONGEST]].append(position)
    for field, words in indexed.fields.items():
        for position, word in words:
            places[f"{_LETTER[field]}/{word[:_LONGEST]}"].append(position)
    return " ".join(f"'{word}':{_positions(at)}" for word, at in places.items())


def matches(search: Search) -> ColumnElement[bool]:
    """Return the condition that an item's row matches a search that can find something."""
    conditions: list[ColumnElement[bool]] = []
    if search.ways:
        query = cast(literal(tsquery_of(search)), TSQUERY)
        conditions.append(_item.words.op("@@", is_comparison=True)(query))
    if search.after is not None:
        conditions.append(_item.received_at >= search.after)
    if search.before is not None:
        conditions.append(_item.received_at < search.before)
    return and_(true(), *conditions)


def tsquery_of(search: Search) -> str:
    """Return the terms of a search in the text form of `tsquery`."""
    return " | ".join(f"({' & '.join(map(_term, way))})" for way in search.ways)


def _term(term: SearchTerm) -> str:
    marker = f"{_LETTER[term.field]}/" if term.field else ""
    phrase = _phrase(term.words, marker, begun=term.begun)
    if term.unfolded:
        phrase = f"({phrase} | {_phrase(term.unfolded, marker, begun=term.begun)})"
    return f"!{phrase}" if term.negated else phrase


def _phrase(words: tuple[str, ...], marker: str, *, begun: bool) -> str:
    written = [f"'{marker}{word[:_LONGEST]}'" for word in words]
    return f"({' <-> '.join(written)}{':*' if begun else ''})"


def _positions(at: list[int]) -> str:
    return ",".join(str(min(position, _LAST_POSITION)) for position in at[:_MOST_POSITIONS])
