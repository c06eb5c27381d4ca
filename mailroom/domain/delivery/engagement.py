"""Who opened or clicked: a person, or a machine that loads every mail.

Scanners open and click within seconds of the delivery; preloading proxies and programs name themselves. An undecided case
is `unknown`. User agents are read here and stored nowhere; IP addresses are not even read.
"""

import re
from datetime import timedelta

from mailroom.domain.delivery.events import Actor

#: Opens and clicks this soon after the send are a machine's.
TOO_SOON = timedelta(seconds=2)

_MOST = 1_000
#: Programs that name themselves, mail scanners, and link previews.
_MACHINE = re.compile(
    r"bot\b|bots\b|crawl|spider|scan|preview|headless|phantomjs|python-|curl/|wget/|go-http-client|java/|okhttp|axios|libwww"
    r"|barracuda|proofpoint|mimecast|symantec|trend ?micro|forcepoint|fireeye|zscaler|ironport|safelinks",
    re.IGNORECASE,
)
#: Apple's privacy proxy loads the images of every mail and sends exactly this.
_PRELOADING = frozenset({"Mozilla/5.0"})
#: Browsers and mail programs; Gmail's proxy fetches an image when the reader opens the mail.
_HUMAN = re.compile(r"AppleWebKit/|Gecko/|MSIE |Trident/|Outlook|Thunderbird|GoogleImageProxy|YahooMailProxy")


def actor_of(user_agent: str | None, *, after: timedelta | None = None) -> Actor:
    """Return who opened or clicked, judged by the user agent and by how long `after` the send it was."""
    agent = (user_agent or "").strip()[:_MOST]
    soon = after is not None and timedelta(0) <= after < TOO_SOON
    if soon or agent in _PRELOADING or _MACHINE.search(agent):
        return Actor.MACHINE
    return Actor.HUMAN if _HUMAN.search(agent) else Actor.UNKNOWN
