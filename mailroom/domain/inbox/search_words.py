"""Search words: the normalisation of words, equal for mails and for queries.

Case, accents and typographic forms are removed on both sides (`folding`), and any character that is no letter or digit
separates words: `Réglée` is found as `reglee`, `Łódź` as `lodz`, and `scan_2024-03.pdf` by `scan`, by `2024` and by its
whole name.
"""

import html
import re
from collections.abc import Iterator

from mailroom.domain.inbound.received_email import Item
from mailroom.domain.inbox.folding import plain

#: Characters of a text that are indexed. PostgreSQL refuses more than 1 MiB of different words in a row.
MOST = 100_000

_GAPS = re.compile(r"[\W_]+")
_GAPS_OF_QUESTION = re.compile(r"""(?:(?!["-])[\W_]|(?<=\S)-|-(?!["\w]))+""")
_TAGS = re.compile(r"<([^<>]*)>")
_UNSEEN = ("style", "script", "title")
_RECIPIENTS = ("final-recipient", "original-recipient", "original-rcpt-to", "removal-recipient")
#: Of what an item carries, so that a calendar of a thousand words leaves room for the text.
_MOST_CARRIED = 20_000


def words_of(item: Item) -> str:
    """Return the words of `item`, separated by spaces, in an order in which a limit cuts the longest last.

    Subject, sender, names of attachments and of what is inside them; the addresses of Reply-To, plus tokens, meetings and the
    recipients of delivery reports; its text and those of attached mails.
    """
    text = item.text if item.text and item.text.strip() else html_text(item.html or "")
    heading = [item.subject or "", item.from_ or "", *(part.filename for part in item.attachments)]
    members = [member for part in item.attachments for member in part.members]
    # A thousand names leave room for the text.
    heading.append(" ".join(member.name for member in members)[: MOST // 5])
    carried = " ".join(_carried(item))[:_MOST_CARRIED]
    inside = (member.text or "" for member in members)
    pieces = (piece[:MOST] for piece in (*heading, carried, text, *inside))
    return _GAPS.sub(" ", plain(" ".join(pieces))).strip()[:MOST]


def words_in(text: str, *, folded: bool = True) -> tuple[str, ...]:
    """Return the words of a text, normalised as in `words_of`; `folded=False` as 0.1.0 normalised them."""
    return tuple(_GAPS.sub(" ", plain(text, folded=folded)).split())


def words_asked(question: str, *, folded: bool = True) -> str:
    """Return a query with its words normalised as in `words_of`; quotes and a leading minus keep their meaning."""
    return _GAPS_OF_QUESTION.sub(" ", plain(question, folded=folded)).strip()


def html_text(source: str, *, most: int = 4 * MOST) -> str:
    """Return roughly the visible text of the first `most` characters of HTML, in time linear in them."""
    seen: list[str] = []
    unseen = ""
    for at, piece in enumerate(_TAGS.split(source[:most])):
        if at % 2:
            name = piece.lower().lstrip().split(maxsplit=1)[:1]
            if unseen:
                unseen = "" if name == [f"/{unseen}"] else unseen
            else:
                unseen = name[0] if name and name[0] in _UNSEEN else ""
        elif not unseen:
            seen.append(piece)
    return html.unescape(" ".join(seen))


def _carried(item: Item) -> Iterator[str]:
    yield from item.reply_to or ()
    yield from item.plus_tokens or ()
    for invitation in item.invitations or ():
        about = (invitation.summary, invitation.location, invitation.organiser, invitation.description)
        yield from (text for text in about if text)
        yield from (attendee.who for attendee in invitation.attendees)
    for report in item.reports or ():
        for fields in (report.fields, *report.items):
            yield from (fields[name] for name in _RECIPIENTS if name in fields)
