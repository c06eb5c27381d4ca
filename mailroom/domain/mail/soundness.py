"""What must hold of a mail before anybody builds it or hands it over.

Who asked for the mail was told of its faults when the request came in; this is the last gate, for every provider alike.
Nothing that could end a header line, name a second recipient or pass for a header of ours gets through.
"""

import re
import unicodedata

import idna

from mailroom.domain.errors import Refused
from mailroom.domain.outbound.message import File, Outgoing, Party

#: Headers that are ours, the provider's or the transport's to write. Lower case.
RESERVED = frozenset(
    {
        "from",
        "to",
        "cc",
        "bcc",
        "sender",
        "reply-to",
        "subject",
        "date",
        "message-id",
        "return-path",
        "received",
        "mime-version",
        "dkim-signature",
        "domainkey-signature",
        "authentication-results",
        "received-spf",
        "list-unsubscribe",
        "list-unsubscribe-post",
        "x-correlation-id",
        "delivered-to",
        "x-original-to",
        "x-smtpapi",
        "x-mailroom-id",
        "errors-to",
        "disposition-notification-to",
    }
)
#: Whole families of them: content and resending, the seals of relays, and what SES, SendGrid and Postmark act upon.
_FAMILIES = ("content-", "resent-", "arc-", "x-ses-", "x-sg-", "x-pm-")
_NAME = re.compile(r"[!-9;-~]{1,76}")
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\u00a0-\U0010ffff-]+"
_LOCAL = re.compile(rf'{_ATOM}(?:\.{_ATOM})*|"(?:[^"\\]|\\[ -~])*"')
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_MEDIA_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}")
_CONTENT_ID = re.compile(r"[!#-;=?-~]{1,200}")
_URL = re.compile(r"https://[!#-;=?-~]{1,900}")
#: RFC 5321 section 4.5.3.1: octets of a local part and of a domain.
_LOCAL_OCTETS, _DOMAIN_OCTETS = 64, 255
#: Control characters, line and paragraph separators, and halves of characters.
_UNSOUND = frozenset({"Cc", "Zl", "Zp", "Cs"})


def is_clean(text: str) -> bool:
    """Return whether a header text holds no line break, no control character and nothing that cannot be encoded."""
    return not any(unicodedata.category(char) in _UNSOUND for char in text)


def is_own_header(name: str) -> bool:
    """Return whether a caller may set a header of this name: well formed and nobody else's to write."""
    lower = name.lower()
    return bool(_NAME.fullmatch(name)) and lower not in RESERVED and not lower.startswith(_FAMILIES)


def on_the_wire(address: str) -> str:
    """Return an address with its domain as A-labels (RFC 5890); the local part stays as it is.

    Raises:
        Refused: it is no address.
    """
    local, at, domain = address.rpartition("@")
    if not domain.isascii():
        try:
            domain = idna.encode(domain, uts46=True).decode()
        except (idna.IDNAError, UnicodeError):
            raise Refused("invalid domain in an address") from None
    sound = (
        at
        and is_clean(address)
        and _LOCAL.fullmatch(local)
        and _DOMAIN.fullmatch(domain)
        and len(local.encode()) <= _LOCAL_OCTETS
        and len(domain) <= _DOMAIN_OCTETS
    )
    if not sound:
        raise Refused("invalid address")
    return f"{local}@{domain}"


def needs_utf8(mail: Outgoing) -> bool:
    """Return whether an address of the mail has a local part that only SMTPUTF8 (RFC 6531) can carry."""
    return any(not party.address.rpartition("@")[0].isascii() for party in _parties(mail).values())


def check(mail: Outgoing) -> None:
    """Return if the mail can be built and handed over without anything in it being taken for something else.

    Raises:
        Refused: `where` says what is wrong.
    """
    if not _ID.fullmatch(mail.id):
        raise Refused("invalid message id", where="id")
    for where, party in _parties(mail).items():
        _check_party(party, where)
    if not is_clean(mail.subject):
        raise Refused("control character in a header", where="subject")
    if mail.text is None and mail.html is None:
        raise Refused("text or html is required", where="text")
    for text, where in ((mail.text, "text"), (mail.html, "html")):
        if text is not None and any("\ud800" <= char <= "\udfff" for char in text):
            raise Refused("text is not valid Unicode", where=where)
    for number, (name, value) in enumerate(mail.headers):
        if not is_own_header(name):
            raise Refused("this header cannot be set", where=f"headers.{number}")
        if not is_clean(value):
            raise Refused("control character in a header", where=f"headers.{number}")
    for number, file in enumerate(mail.attachments):
        _check_file(file, f"attachments.{number}")
    if mail.unsubscribe is not None and not _URL.fullmatch(mail.unsubscribe):
        raise Refused("the unsubscribe link must be an https URL of at most 900 characters", where="unsubscribe")


def _parties(mail: Outgoing) -> dict[str, Party]:
    found = {"from": mail.from_, "to": mail.to}
    return found if mail.reply_to is None else found | {"reply_to": mail.reply_to}


def _check_party(party: Party, where: str) -> None:
    if not is_clean(party.name):
        raise Refused("control character in a header", where=where)
    try:
        on_the_wire(party.address)
    except Refused as error:
        raise Refused(error.message, where=where) from None


def _check_file(file: File, where: str) -> None:
    if not file.filename or not is_clean(file.filename):
        raise Refused("invalid attachment file name", where=where)
    if not _MEDIA_TYPE.fullmatch(file.content_type):
        raise Refused("invalid attachment media type", where=where)
    if file.content_id is not None and not _CONTENT_ID.fullmatch(file.content_id):
        raise Refused("invalid attachment Content-ID", where=where)
