"""Content rules of outbound mail: one rule for each part, for the request and for the last check before a provider.

    request ── the rule of each part; a fault with its place (422) ──> stored ── rendered ── `check` ──> provider

`check` applies the same rules to the finished mail. The request is stricter about likely mistakes (a blank subject, a file
name that is a path, a local part that the providers do not accept), never more lenient: what it accepts, `check` accepts.
`tests/unit/test_content_rules.py` checks that for each provider.

Limits that a request cannot know are checked before the call, as a `Refused` with its reason: the provider's size limit if no
worker has published its terms today (`mailroom.ports.terms`), and the SIZE of an SMTP server.

Each rule raises a ValueError whose text is a constant sentence for people.
"""

import json
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from mailroom.domain.delivery.unsubscribe import OURS
from mailroom.domain.errors import Refused
from mailroom.domain.inbound.routing import normalise, normalise_domain
from mailroom.domain.mail.urls import plain_web_url
from mailroom.domain.outbound import media_types
from mailroom.domain.outbound.message import LIMITS, File, Outgoing, Party
from mailroom.domain.outbound.trials import MARK, is_test

#: Headers written by us, the provider or the transport, or that would add recipients. Lower case.
RESERVED = frozenset(
    {
        "from", "to", "cc", "bcc", "sender", "reply-to", "subject", "date", "message-id", "return-path", "received",
        "mime-version", "dkim-signature", "domainkey-signature", "authentication-results", "received-spf",
        "list-unsubscribe", "list-unsubscribe-post", "x-correlation-id", "delivered-to", "x-original-to", "x-smtpapi",
        "errors-to", "feedback-id",
    }
)  # fmt: skip
#: Custom headers whose value is mailboxes: read receipts (RFC 8098). Lower case.
ADDRESSED = frozenset({"disposition-notification-to"})
_MOST_MAILBOXES = 10
#: `json.dumps` with options makes an encoder for each call.
_DATA = json.JSONEncoder(ensure_ascii=False, allow_nan=False)
#: Prefixes of reserved headers: content and resending, seals of relays, ours, and those that providers act upon.
_FAMILIES = ("content-", "resent-", "arc-", "x-mailroom-", "x-ses-", "x-sg-", "x-pm-")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,76}")
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_ASCII_LOCAL = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")
_WIDE_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\u00a0-\U0010ffff-]+"
_ANY_LOCAL = re.compile(rf'{_WIDE_ATOM}(?:\.{_WIDE_ATOM})*|"(?:[^"\\]|\\[ -~])*"')
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_NAMED = re.compile(r'\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>[^"<>]*?))\s*<(?P<address>[^<>]*)>\s*')
_CONTENT_ID = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.@-]{1,200}")
#: Signed links are long. A header that holds one is folded within its angle brackets (RFC 2369 section 2).
MOST_LINK = 2_000
_LINK = re.compile(r"https://[!#-;=?-~]+")
_REFERENCE = re.compile(r"[!-~]{0,200}")
#: RFC 5321 sections 4.5.3.1.1 and 4.5.3.1.3: octets of a local part, and of an address without its angle brackets.
_MOST_LOCAL, _MOST_ADDRESS = 64, 254
_MOST_NAME = 200
_MOST_FILE_NAME = 255
#: Control characters, line and paragraph separators (U+2028, U+2029), and lone surrogates.
_UNSOUND = frozenset({"Cc", "Zl", "Zp", "Cs"})


def is_clean(text: str) -> bool:
    """Return whether a header text contains no line break, no control character and nothing that cannot be encoded."""
    if text.isascii() and text.isprintable():
        return True
    return not any(unicodedata.category(char) in _UNSOUND for char in text)


def subject(text: str) -> None:
    """Check a subject."""
    if not is_clean(text):
        raise ValueError("line breaks and control characters are not allowed in a subject")
    if not text.strip():
        raise ValueError("subject is required")
    if len(text) > LIMITS.subject:
        raise ValueError(f"subject too long: at most {LIMITS.subject} characters")


def body(text: str) -> None:
    """Check a text or HTML part."""
    _is_text(text)
    if "\x00" in text:
        raise ValueError("NUL characters are not allowed")


def headers(written: Sequence[tuple[str, str]]) -> None:
    """Check custom headers together; `header` checks each."""
    if len(written) > LIMITS.headers:
        raise ValueError(f"too many headers: at most {LIMITS.headers}")
    if len({name.lower() for name, _ in written}) < len(written):
        raise ValueError("duplicate header name")


def header(name: str, value: str) -> None:
    """Check a custom header."""
    if not _HEADER_NAME.fullmatch(name):
        raise ValueError("a header name may have ASCII letters, digits and dashes only, and at most 76 of them")
    if name.lower() in RESERVED or name.lower().startswith(_FAMILIES):
        raise ValueError("this header cannot be set; Mailroom sets it, or it is not allowed")
    if not is_clean(value):
        raise ValueError("line breaks and control characters are not allowed in a header value")
    if len(value) > LIMITS.header:
        raise ValueError(f"header value too long: at most {LIMITS.header} characters")
    if name.lower() in ADDRESSED:
        mailboxes(value)


def mailboxes(written: str) -> list[Party]:
    """Return the mailboxes of a header value, which has commas between them."""
    pieces, start, quoted, escaped = [], 0, False, False
    for at, char in enumerate(written):
        if char == "," and not quoted:
            pieces.append(written[start:at])
            start = at + 1
        quoted ^= char == '"' and not escaped
        escaped = quoted and char == "\\" and not escaped
    if len(pieces) >= _MOST_MAILBOXES:
        raise ValueError(f"too many addresses in a header: at most {_MOST_MAILBOXES}")
    return [party(piece) for piece in (*pieces, written[start:])]


def filename(written: str) -> str:
    """Return a file name without surrounding blanks, which mail programs drop."""
    _is_file_name(written)
    name = written.strip()
    if not name.strip(" .") or "/" in name or "\\" in name:
        raise ValueError("file name is required, without a path")
    if len(name.encode()) > _MOST_FILE_NAME:
        raise ValueError(f"file name too long: at most {_MOST_FILE_NAME} bytes")
    return name


def content_id(written: str) -> str:
    """Return the Content-ID of an inline part without brackets."""
    bare = written.removeprefix("<").removesuffix(">")
    _is_content_id(bare)
    return bare


def unsubscribe(url: str) -> None:
    """Check a one-click unsubscribe URL (RFC 8058)."""
    if not _LINK.fullmatch(url) or len(url) > MOST_LINK:
        raise ValueError(f"one-click unsubscribe must be an https URL of at most {MOST_LINK} ASCII characters")
    if plain_web_url(url) is None:
        raise ValueError("invalid host in the unsubscribe URL: write it as a browser shows it, without a user name")


def unsubscribe_wish(written: str) -> None:
    """Check a one-click unsubscribe URL, or the word that asks for our own."""
    if written != OURS:
        unsubscribe(written)


def reference(written: str) -> None:
    """Check a reference, which distinguishes two messages to one recipient."""
    if not _REFERENCE.fullmatch(written):
        raise ValueError("reference must be at most 200 printable ASCII characters")


def metadata(values: Mapping[str, str]) -> None:
    """Check metadata, which is stored for the caller."""
    if len(values) > LIMITS.metadata:
        raise ValueError(f"too many metadata entries: at most {LIMITS.metadata}")
    if is_test(values):
        raise ValueError(f"the metadata name {MARK} is reserved")
    for name, value in values.items():
        _is_text(name + value)
        if not is_clean(name) or "\x00" in value or not 0 < len(name) <= 100 or len(value) > 1_000:
            raise ValueError("metadata names must have 1 to 100 characters, values at most 1000")


def data(values: Mapping[str, Any]) -> None:
    """Check the data of a template."""
    try:
        text = _DATA.encode(dict(values))
    except (ValueError, RecursionError):
        raise ValueError("data is not valid JSON") from None
    _is_text(text)
    if len(text.encode()) > LIMITS.data:
        raise ValueError(f"data of one recipient too large: at most {LIMITS.data} bytes")
    # JSON's escape of NUL, not a backslash followed by these letters.
    if "\\u0000" in text.replace("\\\\", ""):
        raise ValueError("NUL characters are not allowed in data")


def party(written: str) -> Party:
    """Return the mailbox that `ada@x.test`, `Ada <ada@x.test>` or `"Lovelace, Ada" <ada@x.test>` names.

    Stricter than RFC 5322: one mailbox, no comment, no group.
    """
    if not is_clean(written):
        raise ValueError("line breaks and control characters are not allowed in an address")
    match = _NAMED.fullmatch(written)
    if match is None:
        return Party(address(written))
    quoted, plain = match["quoted"], match["plain"]
    name = (re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else plain).strip()
    _is_name(name)
    return Party(address(match["address"]), name)


def address(written: str) -> str:
    """Return one bare address with its domain as A-label; the local part must be ASCII, as the providers require."""
    local, at, domain = written.strip().rpartition("@")
    if not at or not local or not domain:
        raise ValueError("not an e-mail address")
    if not local.isascii():
        raise ValueError("the part before the @ must be ASCII")
    if not _ASCII_LOCAL.fullmatch(local) or len(local) > _MOST_LOCAL:
        raise ValueError("invalid part before the @")
    try:
        name = normalise_domain(domain)
    except ValueError:
        raise ValueError("the part after the @ is not a domain name") from None
    if not _DOMAIN.fullmatch(name) or "." not in name or name.rpartition(".")[2].isdecimal():
        raise ValueError("the part after the @ is not a domain name")
    if len(local) + 1 + len(name) > _MOST_ADDRESS:
        raise ValueError(f"address too long: at most {_MOST_ADDRESS} characters")
    return f"{local}@{name}"


def sender_pattern(written: str) -> str:
    """Return an address or `@domain` in the spelling in which senders are compared."""
    if not written.startswith("@"):
        return normalise(address(written))
    return normalise(address(f"any{written}")).removeprefix("any")


def on_the_wire(address: str) -> str:
    """Return an address with its domain as A-labels (RFC 5890); the local part is unchanged.

    Wider than `address`: a local part may be quoted, or need SMTPUTF8.

    Raises:
        Refused: it is not an address.
    """
    local, at, domain = address.rpartition("@")
    if not domain.isascii():
        try:
            domain = normalise_domain(domain)
        except ValueError:
            raise Refused("invalid domain in an address") from None
    octets = len(local.encode("utf-8", "surrogatepass"))
    sound = (
        at
        and is_clean(address)
        and _ANY_LOCAL.fullmatch(local)
        and _DOMAIN.fullmatch(domain)
        and octets <= _MOST_LOCAL
        and octets + 1 + len(domain) <= _MOST_ADDRESS
    )
    if not sound:
        raise Refused("invalid address")
    return f"{local}@{domain}"


def needs_utf8(mail: Outgoing) -> bool:
    """Return whether an address of the mail has a local part that only SMTPUTF8 (RFC 6531) can carry."""
    return any(not party.address.rpartition("@")[0].isascii() for party in _parties(mail).values())


def check(mail: Outgoing) -> None:
    """Check a finished mail by all rules.

    Raises:
        Refused: `where` is the place of the fault.
    """
    for where, fault in _faults(mail):
        raise Refused(fault, where=where)


def _faults(mail: Outgoing) -> Iterator[tuple[str, str]]:
    """Yield the faults of a finished mail, each with its place."""
    if not _ID.fullmatch(mail.id):
        yield "id", "invalid message id"
    for where, mailbox in _parties(mail).items():
        try:
            _is_name(mailbox.name)
            on_the_wire(mailbox.address)
        except ValueError as error:
            yield where, str(error)
        except Refused as error:
            yield where, error.message
    if not is_clean(mail.subject):
        yield "subject", "line breaks and control characters are not allowed in a subject"
    if mail.text is None and mail.html is None:
        yield "text", "text or html is required"
    for where, rule, given in _rules(mail):
        try:
            rule(*given)
        except ValueError as error:
            yield where, str(error)


def _rules(mail: Outgoing) -> Iterator[tuple[str, Callable[..., object], tuple[Any, ...]]]:
    """Yield the rules for the other parts of a mail, each with its place and its arguments."""
    for where, text in (("text", mail.text), ("html", mail.html)):
        if text is not None:
            yield where, body, (text,)
    yield "headers", headers, (mail.headers,)
    for number, (name, value) in enumerate(mail.headers):
        yield f"headers.{number}", header, (name, value)
    for number, file in enumerate(mail.attachments):
        yield f"attachments.{number}", _is_file, (file,)
    if mail.unsubscribe is not None:
        yield "unsubscribe", unsubscribe, (mail.unsubscribe,)


def _parties(mail: Outgoing) -> dict[str, Party]:
    parties = {"from": mail.from_, "to": mail.to}
    return parties if mail.reply_to is None else parties | {"reply_to": mail.reply_to}


def _is_name(name: str) -> None:
    if not is_clean(name):
        raise ValueError("line breaks and control characters are not allowed in a name")
    if len(name) > _MOST_NAME:
        raise ValueError(f"name too long: at most {_MOST_NAME} characters")


def _is_file(file: File) -> None:
    _is_file_name(file.filename)
    media_types.parse(file.content_type)
    if file.content_id is not None:
        _is_content_id(file.content_id)


def _is_file_name(name: str) -> None:
    if not name:
        raise ValueError("file name is required, without a path")
    if not is_clean(name):
        raise ValueError("line breaks and control characters are not allowed in a file name")


def _is_content_id(bare: str) -> None:
    if not _CONTENT_ID.fullmatch(bare):
        raise ValueError("invalid Content-ID: 1 to 200 ASCII characters, without blanks, brackets, commas and colons")


def _is_text(text: str) -> None:
    # JSON can contain lone surrogates, which no encoding can write.
    if text.isascii():
        return
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("not valid Unicode text") from None
