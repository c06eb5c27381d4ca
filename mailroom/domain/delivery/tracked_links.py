"""Open and click tracking by our own pixel and links, for providers that do not track.

A tracked link holds the message id, the link's number in the mail, the time when the mail was made, and the target, all under
one tag. The target is signed, so the redirect is no open redirect and needs no database. Only the HTML is changed, and in it
only the values of `href` and one place at the end.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from urllib.parse import quote
from uuid import UUID

from mailroom.domain.delivery.unsubscribe import PATH as UNSUBSCRIBE
from mailroom.domain.mail.anchors import Anchor, anchors
from mailroom.domain.mail.urls import plain_web_url
from mailroom.domain.outbound.message import Tracked
from mailroom.domain.tokens import seal, unseal

CLICKS, OPENS = "/c/", "/o/"

_CLICK, _OPEN = b"mailroom click 1:", b"mailroom open 1:"
#: Absolute, with a plain host and without a user: programs disagree about where other spellings lead.
_FOLLOWED = re.compile(r"https?://(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?(?=[/?#]|\Z)", re.IGNORECASE)
#: What browsers drop from a URL, and what they send encoded.
_DROPPED, _ENCODED = re.compile(r"[\t\n\r]"), re.compile(r"[^!-~]+")
#: Mail programs and proxies cut longer ones.
_MOST_TARGET = 1_400
_HEAD, _TIME, _NUMBER = 16, 4, 2
_MOST_LINKS = 1 << 8 * _NUMBER


#: Length of a tracked link without its target: the URL of the HTTP service, the head and the tag in base64.
_MOST_ADDED = 400


@dataclass(frozen=True, slots=True)
class Engagement:
    """The content of a verified token: the message, and for a click the link's number (from 1) and its target."""

    message_id: str
    made_at: datetime
    link: int | None = None
    target: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracker:
    """Signs links and pixels below `base`, the URL of the HTTP service."""

    base: str
    key: bytes

    def tracked(
        self, html: str, wish: Tracked, *, message_id: str, made_at: datetime, unsubscribe: str | None = None
    ) -> str:
        """Return the HTML with signed links and a pixel for one message.

        Left unchanged: URLs that are not absolute http or https (`mailto:`, fragments), links to unsubscribe, links with the
        attribute `data-no-track`, and links that are too long to be signed.
        """
        head = UUID(message_id).bytes + int(made_at.timestamp()).to_bytes(_TIME, "big")
        html_anchors = anchors(html)
        edits = self._links(html_anchors.links, head, unsubscribe) if wish.clicks else []
        if wish.opens:
            edits.append((html_anchors.tail, html_anchors.tail, self._pixel(head)))
        pieces, at = [], 0
        for start, end, new in sorted(edits):
            pieces += [html[at:start], new]
            at = end
        return "".join([*pieces, html[at:]])

    def _links(self, links: tuple[Anchor, ...], head: bytes, unsubscribe: str | None) -> list[tuple[int, int, str]]:
        edits = []
        for number, link in enumerate(links[: _MOST_LINKS - 1], 1):
            target = followed(link.target)
            if target is None or target == unsubscribe or self._is_ours(target):
                continue
            payload = head + number.to_bytes(_NUMBER, "big") + target.encode()
            token = seal(payload, purpose=_CLICK, key=self.key)
            edits.append((link.start, link.end, self._url(CLICKS, token)))
        return edits

    def _is_ours(self, target: str) -> bool:
        return target.startswith(tuple(f"{self.base.rstrip('/')}{path}" for path in (UNSUBSCRIBE, CLICKS)))

    def _pixel(self, head: bytes) -> str:
        url = self._url(OPENS, f"{seal(head, purpose=_OPEN, key=self.key)}.gif")
        return f'<img src="{url}" width="1" height="1" alt="" style="border:0;width:1px;height:1px">'

    def _url(self, path: str, token: str) -> str:
        return escape(f"{self.base.rstrip('/')}{path}{token}")


def most_added(html: str, wish: Tracked) -> int:
    """Return the most characters that `Tracker.tracked` adds to `html`."""
    added = _MOST_ADDED if wish.opens else 0
    if wish.clicks:
        links = min(html.lower().count("href"), _MOST_LINKS)
        # Percent-encoding makes up to three characters of each byte of a target, and base64 four of each three.
        added += links * _MOST_ADDED + min(links * _MOST_TARGET, 3 * len(html.encode())) * 4 // 3
    return added


def followed(target: str) -> str | None:
    """Return a link's target as a browser sends it, in ASCII, or None for a link that is not tracked."""
    sent = _as_sent(target)
    return sent if _is_followed(sent) and plain_web_url(sent) is not None else None


def clicked(token: str, *, key: bytes) -> Engagement | None:
    """Return the message, link and target of a click's token, or None if it was not signed here."""
    payload = unseal(token, purpose=_CLICK, key=key)
    if payload is None:
        return None
    place = _HEAD + _TIME
    target = payload[place + _NUMBER :].decode()
    # Signed targets were checked before; checking again keeps a fault in signing from making an open redirect.
    if _as_sent(target) != target or not _is_followed(target):
        return None
    return Engagement(*_head(payload), int.from_bytes(payload[place : place + _NUMBER], "big"), target)


def opened(token: str, *, key: bytes) -> Engagement | None:
    """Return the message of a pixel's token, or None if it was not signed here."""
    payload = unseal(token, purpose=_OPEN, key=key)
    return Engagement(*_head(payload)) if payload is not None else None


def _as_sent(target: str) -> str:
    return _ENCODED.sub(lambda some: quote(some[0], errors="replace"), _DROPPED.sub("", target.strip(" \t\n\f\r")))


def _is_followed(sent: str) -> bool:
    return _FOLLOWED.match(sent) is not None and len(sent) <= _MOST_TARGET


def _head(payload: bytes) -> tuple[str, datetime]:
    made_at = datetime.fromtimestamp(int.from_bytes(payload[_HEAD : _HEAD + _TIME], "big"), UTC)
    return str(UUID(bytes=payload[:_HEAD])), made_at
