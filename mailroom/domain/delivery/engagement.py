"""Who opened or clicked: a person, or a machine that looks at every mail.

Scanners open and click within seconds of the delivery; preloading proxies and programs say who they are. What cannot be
told is `unknown`. User agents are looked at here and kept nowhere; addresses on the network are not even looked at.
"""

import re
from datetime import timedelta

from mailroom.domain.delivery.events import Actor

#: Nobody opens and reads a mail this soon after it was handed over.
TOO_SOON = timedelta(seconds=2)

_MOST = 1_000
#: Programs that name themselves, scanners of mail, and what fetches links to show what is behind them.
_MACHINE = re.compile(
    r"bot\b|bots\b|crawl|spider|scan|preview|headless|phantomjs|python-|curl/|wget/|go-http-client|java/|okhttp|axios|libwww"
    r"|barracuda|proofpoint|mimecast|symantec|trend ?micro|forcepoint|fireeye|zscaler|ironport|safelinks",
    re.IGNORECASE,
)
#: Apple's privacy proxy loads every mail's images and says this and nothing more.
_PRELOADING = frozenset({"Mozilla/5.0"})
#: What a browser or a mail program says; Gmail's proxy fetches an image when its reader opens the mail.
_HUMAN = re.compile(r"AppleWebKit/|Gecko/|MSIE |Trident/|Outlook|Thunderbird|GoogleImageProxy|YahooMailProxy")


def actor_of(user_agent: str | None, *, after: timedelta | None = None) -> Actor:
    """Return who it was by what the program says of itself and how long `after` the sending it was."""
    said = (user_agent or "").strip()[:_MOST]
    soon = after is not None and timedelta(0) <= after < TOO_SOON
    if soon or said in _PRELOADING or _MACHINE.search(said):
        return Actor.MACHINE
    return Actor.HUMAN if _HUMAN.search(said) else Actor.UNKNOWN
