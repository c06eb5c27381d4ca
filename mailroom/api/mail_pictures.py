"""The mail's own pictures that its HTML draws, and what a reader of the HTML is to know of those left out.

Where the HTML itself is not shown, for it is too large or too complex, its text is shown instead.
"""

import re

from mailroom.api.sanitising import MAX_PICTURE, MAX_PICTURES, PICTURES, SafeHtml
from mailroom.domain.inbound.received_email import Attachment, Item
from mailroom.domain.inbox.notices import Notice, notices_of
from mailroom.domain.inbox.search_words import html_text
from mailroom.domain.mail.content_ids import compared
from mailroom.domain.mail.data_pictures import without_data
from mailroom.domain.parsing import Protection
from mailroom.domain.parsing.decoration import drawn_ids
from mailroom.domain.texts import Text

#: The most characters of HTML whose text is shown instead.
MOST_READ = 1_000_000

_BREAKS = re.compile(r"<(?:br|hr|/?(?:p|div|tr|li|h[1-6]|table|ul|ol|blockquote|pre))\b", re.I)
_ARMOUR = re.compile(r"^-----BEGIN PGP MESSAGE-----[ \t]*\r?$", re.M)
_CMS = frozenset({"application/pkcs7-mime", "application/x-pkcs7-mime"})
_RAW = Text("Download the raw e-mail (.eml), which has them.")
_FOR_HTML = Text("Download the raw e-mail (.eml) for the HTML.")
_LISTED = Text("Download them: they are listed with the files.")


def shown_pictures(item: Item) -> dict[str, Attachment]:
    """Return the pictures that the HTML's frame shows, by Content-ID as `compared`: small ones of a type that is shown."""
    drawn = _drawn(item)
    pictures: dict[str, Attachment] = {}
    room = MAX_PICTURES
    # Of two with one Content-ID the one that counts as decoration is drawn; the other is listed.
    for part in sorted(item.attachments, key=lambda one: not one.inline):
        cid = compared(part.content_id or "")
        fits = part.size <= min(MAX_PICTURE, room) and part.detected_type in PICTURES
        if cid in drawn and cid not in pictures and fits:
            pictures[cid] = part
            room -= part.size
    return pictures


def _drawn(item: Item) -> set[str]:
    """Return the Content-IDs of the pictures that an item's HTML draws, as `compared`."""
    return {one.casefold() for one in drawn_ids(item.html or "")}


def text_of_html(html: str) -> str:
    """Return the text of HTML that cannot be shown, of its first `MOST_READ` characters."""
    text = html_text(_BREAKS.sub("\n\\g<0>", without_data(html)[:MOST_READ]), most=2 * MOST_READ)
    lines = (" ".join(line.split()) for line in text.splitlines())
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def item_notices(item: Item, safe: SafeHtml | None, *, framed: bool) -> tuple[Notice, ...]:
    """Return all notices of an item whose HTML was sanitised to `safe`; `framed` if the page's frame shows it."""
    left_out = encryptions_of(item) if item.left_out is None else item.left_out
    notices = list(notices_of(item.defects, left_out))
    if item.html and safe is None:
        unread = max(0, len(without_data(item.html)) - MOST_READ)
        sentence = Text("The HTML is too large or too complex to be shown: its text is shown instead.")
        if unread:
            cut = Text("Left out: the text in its last %(count)s characters.", count=unread)
            sentence = Text("%(sentence)s %(left_out)s", sentence=sentence, left_out=cut)
        notices.append(Notice("html_not_shown", sentence, _FOR_HTML, unread or None))
    if safe is not None:
        notices += _of_pictures(item, safe, framed=framed)
    return tuple(notices)


def encryptions_of(item: Item) -> dict[str, dict[str, int]]:
    """Return the encryptions of an item that an earlier release filed, by its files and text."""
    types = {part.content_type for part in item.attachments}
    found = []
    if "application/pgp-encrypted" in types or _ARMOUR.search(item.text or ""):
        found.append(Protection.PGP_ENCRYPTED)
    # Signed containers were opened and not listed.
    if types & _CMS and not (item.text or item.html):
        found.append(Protection.SMIME_ENCRYPTED)
    return {word.value: {} for word in found}


def _of_pictures(item: Item, safe: SafeHtml, *, framed: bool) -> list[Notice]:
    known = {compared(part.content_id) for part in item.attachments if part.content_id}
    missing = sum(cid not in known for cid in safe.content_ids)
    unshown = set(safe.content_ids) & known - shown_pictures(item).keys() if framed else ()
    decoration = {compared(part.content_id) for part in item.attachments if part.inline and part.content_id}
    in_styles = (_drawn(item) & decoration) - set(safe.content_ids) if framed else ()
    notices = []
    if count := safe.embedded_left_out:
        sentence = Text.counted(
            "%(count)s picture inside the HTML (data:) is left out: too large, damaged, or not of a type that is shown.",
            "%(count)s pictures inside the HTML (data:) are left out: too large, damaged, or not of a type that is shown.",
            count,
        )
        notices.append(Notice("embedded_pictures", sentence, _RAW, count))
    if count := len(unshown):
        sentence = Text.counted(
            "%(count)s picture of the HTML is too large, or not of a type, to be shown in it.",
            "%(count)s pictures of the HTML are too large, or not of a type, to be shown in it.",
            count,
        )
        notices.append(Notice("pictures_not_shown", sentence, _LISTED, count))
    if count := len(in_styles):
        sentence = Text.counted(
            "%(count)s picture of the HTML is in a background or style, which is not shown.",
            "%(count)s pictures of the HTML are in a background or style, which is not shown.",
            count,
        )
        notices.append(Notice("pictures_in_styles", sentence, _LISTED, count))
    if missing:
        sentence = Text.counted(
            "%(count)s picture that the HTML draws is not in the mail.",
            "%(count)s pictures that the HTML draws are not in the mail.",
            missing,
        )
        notices.append(Notice("pictures_missing", sentence, None, missing))
    return notices
