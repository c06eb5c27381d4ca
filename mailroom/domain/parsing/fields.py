"""The fields of a header block that are carried to the item: Reply-To, the thread, and the rest by name.

Left out of the rest, for `GET /v1/items/ID/raw` has all: fields that the item has under a name of its own, those of MIME, the
trace and signatures that servers on the way write, and the filters' notes of Microsoft's servers.
"""

import re
from dataclasses import dataclass

from mailroom.domain.mail.carried import HeaderField
from mailroom.domain.parsing.addresses import read_addresses
from mailroom.domain.parsing.headers import Headers
from mailroom.domain.parsing.limits import Reading
from mailroom.domain.parsing.words import decode_words, header_text

MOST_FIELDS = 100
LONGEST_FIELD = 1_000
"""Characters of a field's value; a longer one is cut, ends in an ellipsis, and is counted as left out."""
MOST_IDS = 100
"""Message-IDs of In-Reply-To and of References, each: the first, which began the thread, and the last ones."""
_MOST_REPLY_TO = 100
_LONGEST_ID = 500

_NAMED = frozenset(
    {b"from", b"to", b"cc", b"subject", b"date", b"message-id", b"reply-to", b"in-reply-to", b"references"}
)
_TRACE = frozenset({
    b"mime-version", b"received", b"return-path", b"delivered-to", b"x-received", b"x-original-to", b"envelope-to",
    b"dkim-signature", b"domainkey-signature", b"x-google-dkim-signature", b"x-gm-message-state", b"x-google-smtp-source",
    b"authentication-results", b"received-spf", b"x-spam-report", b"autocrypt",
})  # fmt: skip
_LEFT_OUT = _NAMED | _TRACE
_FAMILIES = (b"content-", b"arc-", b"x-ses-", b"x-ms-exchange-", b"x-microsoft-antispam", b"x-forefront-")
_ID = re.compile(r"<([^<>]{1,2000})>")
_BETWEEN_IDS = re.compile(r"[\s<>,;\"]+")


@dataclass(frozen=True, slots=True)
class CarriedFields:
    """The carried fields, and by name how many entries of each a limit left out."""

    reply_to: tuple[str, ...]
    in_reply_to: tuple[str, ...]
    references: tuple[str, ...]
    header_fields: tuple[HeaderField, ...]
    not_carried: dict[str, int]


def carried_fields(headers: Headers, *, hint: str | None, reading: Reading) -> CarriedFields:
    """Return what the item carries of a mail's header block."""
    left_out: dict[str, int] = {}
    reply_to = read_addresses(headers.all(b"reply-to"), hint=hint, reading=reading)
    if len(reply_to) > _MOST_REPLY_TO:
        left_out["reply_to"] = len(reply_to) - _MOST_REPLY_TO
    return CarriedFields(
        reply_to[:_MOST_REPLY_TO],
        _ids(headers, "in_reply_to", left_out, reading=reading),
        _ids(headers, "references", left_out, reading=reading),
        _others(headers, left_out, hint=hint, reading=reading),
        left_out,
    )


def _ids(headers: Headers, name: str, left_out: dict[str, int], *, reading: Reading) -> tuple[str, ...]:
    """Return Message-IDs without their angle brackets, each once; words between them are dropped (RFC 5322 section 4.5.4)."""
    if not (values := headers.all(name.replace("_", "-").encode())):
        return ()
    found: dict[str, None] = {}
    for value in values:
        text = decode_words(value, hint=None, reading=reading.aside())
        for one in _ID.findall(text) or (word for word in _BETWEEN_IDS.split(text) if "@" in word):
            found["".join(one.split())[:_LONGEST_ID]] = None
    ids = [one for one in found if one]
    if len(ids) > MOST_IDS:
        left_out[name] = len(ids) - MOST_IDS
        ids = ids[:1] + ids[1 - MOST_IDS :]
    return tuple(ids)


def _others(
    headers: Headers, left_out: dict[str, int], *, hint: str | None, reading: Reading
) -> tuple[HeaderField, ...]:
    carried: list[HeaderField] = []
    more = 0
    for name, values in headers.fields.items():
        if name in _LEFT_OUT or name.startswith(_FAMILIES):
            continue
        for value in values:
            if len(carried) >= MOST_FIELDS:
                more += 1
                continue
            text = _value(value, hint=hint, reading=reading)
            if len(text) > LONGEST_FIELD:
                more += 1
                text = f"{text[: LONGEST_FIELD - 1]}…"
            carried.append(HeaderField(name.decode("ascii", "replace"), text))
    if more:
        left_out["header_fields"] = more
    return tuple(carried)


def _value(value: bytes, *, hint: str | None, reading: Reading) -> str:
    # Decoding stops a little past the limit: an encoded word may be cut, and the text is then cut before it.
    value = value[: 4 * LONGEST_FIELD]
    if value.isascii() and b"=?" not in value and b"\x1b" not in value:
        return " ".join(value.replace(b"\x00", b"").decode("ascii").split())
    return header_text(value, hint=hint, reading=reading.aside()) or ""
