"""The words of an item by the field that they are in, for `from:`, `to:`, `subject:`, `filename:` and `has:` of a search."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from mailroom.domain.inbound.received_email import Item
from mailroom.domain.inbox.search_words import words_in, words_of


class SearchField(StrEnum):
    """A field that a search can name."""

    FROM = "from"
    TO = "to"
    SUBJECT = "subject"
    FILENAME = "filename"
    #: What an item has; its words are `ATTACHMENT` alone.
    HAS = "has"


#: The word of `has:attachment`.
ATTACHMENT = "attachment"

#: Characters of a field that are indexed. With the text's they stay below 1 MiB, PostgreSQL's limit for the words of a row.
MOST_OF_FIELD = {SearchField.TO: 20_000, SearchField.FILENAME: 30_000}
_MOST_OF_OTHERS = 5_000
#: A phrase does not go on from one file name or address to the next.
_GAP = 2


@dataclass(frozen=True, slots=True)
class IndexedWords:
    """The words of an item: all of them in order, and those of each field with their positions, counted from 1."""

    text: tuple[str, ...]
    fields: Mapping[SearchField, tuple[tuple[int, str], ...]]


def indexed_words(item: Item) -> IndexedWords:
    """Return what is indexed of an item. Words for the whole text belong in `words_of`, those for a field here."""
    members = (member.name for part in item.attachments for member in part.members)
    fields = {
        SearchField.FROM: [item.from_ or ""],
        SearchField.TO: [item.recipient, *item.to, *item.cc],
        SearchField.SUBJECT: [item.subject or ""],
        SearchField.FILENAME: [*(part.filename for part in item.attachments), *members],
        SearchField.HAS: [ATTACHMENT] if any(not part.inline for part in item.attachments) else [],
    }
    return IndexedWords(
        tuple(words_of(item).split()),
        {name: tuple(_placed(values, MOST_OF_FIELD.get(name, _MOST_OF_OTHERS))) for name, values in fields.items()},
    )


def _placed(values: Iterable[str], most: int) -> Iterable[tuple[int, str]]:
    position = 1
    for value in values:
        if most <= 0:
            return
        for word in words_in(value[:most]):
            most -= len(word) + 1
            if most < 0:
                return
            yield position, word
            position += 1
        position += _GAP
