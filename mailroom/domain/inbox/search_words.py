"""What a mail is found by: its words, the same for the mail and for whoever looks for it.

Case, accents and typographic forms are taken away on both sides, and whatever is no letter or digit parts words: `Réglée`
is found as `reglee`, and `scan_2024-03.pdf` by `scan`, by `2024` and by its whole name.
"""

import html
import re
import unicodedata

from mailroom.domain.inbound.received_email import Item

#: Longest text that is looked through, in characters. PostgreSQL refuses more than 1 MiB of different words in a row.
MOST = 100_000

_GAPS = re.compile(r"[\W_]+")
_GAPS_OF_QUESTION = re.compile(r"""(?:(?!["-])[\W_]|(?<=\S)-|-(?!["\w]))+""")
_TAGS = re.compile(r"<([^<>]*)>")
_UNSEEN = ("style", "script", "title")


def words_of(item: Item) -> str:
    """Return the words that `item` is found by: subject, sender, names of attachments, then its text, parted by spaces."""
    text = item.text if item.text and item.text.strip() else html_text(item.html or "")
    heading = [item.subject or "", item.from_ or "", *(part.filename for part in item.attachments)]
    return _GAPS.sub(" ", _plain(" ".join(piece[:MOST] for piece in (*heading, text)))).strip()[:MOST]


def words_asked(question: str) -> str:
    """Return a question with its words as `words_of` has them; quotes and a leading minus keep their meaning."""
    return _GAPS_OF_QUESTION.sub(" ", _plain(question)).strip()


def html_text(source: str) -> str:
    """Return about what a reader sees of HTML; good for searching, not for showing. Takes time linear in its length."""
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
    # Marks go first: normalising sorts them, and a long row of them takes quadratic time.
    decomposed = unicodedata.normalize("NFKD", _unmarked(text.casefold()))
    return unicodedata.normalize("NFC", _unmarked(decomposed))


def _unmarked(text: str) -> str:
    return "".join(
        letter for letter in text if not unicodedata.combining(letter) and unicodedata.category(letter) != "Mn"
    )
