"""Search words: the normalisation of words, equal for mails and for queries.

Case, accents and typographic forms are removed on both sides, and any character that is no letter or digit separates words:
`Réglée` is found as `reglee`, and `scan_2024-03.pdf` by `scan`, by `2024` and by its whole name.
"""

import html
import re
import unicodedata

from mailroom.domain.inbound.received_email import Item

#: Characters of a text that are indexed. PostgreSQL refuses more than 1 MiB of different words in a row.
MOST = 100_000

_GAPS = re.compile(r"[\W_]+")
_GAPS_OF_QUESTION = re.compile(r"""(?:(?!["-])[\W_]|(?<=\S)-|-(?!["\w]))+""")
_TAGS = re.compile(r"<([^<>]*)>")
_UNSEEN = ("style", "script", "title")


def words_of(item: Item) -> str:
    """Return the words of `item`, separated by spaces: subject, sender, names of attachments and of
    what is inside them, then its text and those of attached mails."""
    text = item.text if item.text and item.text.strip() else html_text(item.html or "")
    heading = [item.subject or "", item.from_ or "", *(part.filename for part in item.attachments)]
    members = [member for part in item.attachments for member in part.members]
    # A thousand names leave room for the text.
    heading.append(" ".join(member.name for member in members)[: MOST // 5])
    inside = (member.text or "" for member in members)
    return _GAPS.sub(" ", _plain(" ".join(piece[:MOST] for piece in (*heading, text, *inside)))).strip()[:MOST]


def words_asked(question: str) -> str:
    """Return a query with its words normalised as in `words_of`; quotes and a leading minus keep their meaning."""
    return _GAPS_OF_QUESTION.sub(" ", _plain(question)).strip()


def html_text(source: str) -> str:
    """Return roughly the visible text of HTML, for searching and not for display. Takes time linear in its length."""
    seen: list[str] = []
    unseen = ""
    for at, piece in enumerate(_TAGS.split(source[: 4 * MOST])):
        if at % 2:
            name = piece.lower().lstrip().split(maxsplit=1)[:1]
            if unseen:
                unseen = "" if name == [f"/{unseen}"] else unseen
            else:
                unseen = name[0] if name and name[0] in _UNSEEN else ""
        elif not unseen:
            seen.append(piece)
    return html.unescape(" ".join(seen))


def _plain(text: str) -> str:
    # Marks are removed first: normalising sorts them, and a long run of them takes quadratic time.
    decomposed = unicodedata.normalize("NFKD", _unmarked(text.casefold()))
    return unicodedata.normalize("NFC", _unmarked(decomposed))


def _unmarked(text: str) -> str:
    return "".join(
        letter for letter in text if not unicodedata.combining(letter) and unicodedata.category(letter) != "Mn"
    )
