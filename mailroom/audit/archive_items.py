"""An inbox item against the digest that the journal has of it or, without one, against what its raw e-mail says.

The digest is SHA-256(salt | canonical item). The canonical item is JSON of the columns that never change, sorted by name, without
white space; nulls are left out, times are microseconds since 1970, and attachments are in the order of their numbers.
"""

import hashlib
import json
from collections.abc import Mapping
from email import message_from_bytes, policy
from email.message import EmailMessage, Message
from typing import Any, cast

from mailroom.audit.archive_rows import microseconds, time_of

_COLUMNS = (
    *("tenant", "recipient", "user_name", "plus_token", "plus_tokens", "received_at", "raw_archive_id"),
    *("message_id", "subject", "from", "to", "cc", "reply_to", "date", "in_reply_to", "references", "automatic_reply"),
    *("text", "html", "defects", "left_out", "protection", "partial_id", "partial_number", "partial_total"),
    *("reports", "invitations", "header_fields", "not_carried"),
)
_OF_A_FILE = (
    *("number", "filename", "content_type", "detected_type", "size", "sha256", "inline", "content_id", "archive_id"),
    "members",
)
_TIMES = ("received_at", "date")


def digest_of(item: Mapping[str, Any]) -> str | None:
    """Return the digest of an item's row, with its attachments' rows as `files`; None for one without a salt."""
    try:
        salt = bytes.fromhex(item["salt"])
    except (KeyError, TypeError, ValueError):
        return None
    files = sorted(item["files"], key=lambda one: int(one["number"]))
    plain = _known(item, _COLUMNS) | {"attachments": [_known(one, _OF_A_FILE) for one in files]}
    text = json.dumps(plain, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(salt + text.encode("utf-8", "surrogatepass")).hexdigest()


def unlike_raw(item: Mapping[str, Any], raw: bytes) -> list[str]:
    """Return the names of fields that clearly say something else than the raw e-mail; white space does not count.

    This reads mail with the standard library, less well than Mailroom does. So it looks for what it can recognize: a subject
    that is not the header's, a sender whose address is not in From, text whose words are not in the e-mail, other files.
    """
    mail = message_from_bytes(raw, policy=policy.default.clone(raise_on_defect=False))
    headers, words = _headers(raw, mail), _words(mail, raw)
    wrong = []
    for name, header in (("subject", "subject"), ("from", "from"), ("message_id", "message-id")):
        said = _squeezed(item.get(name) or "")
        has = headers.get(header, "")
        if said and name == "from":
            said = _squeezed(str(item[name]).rpartition("<")[2].rstrip("> "))
        if said and said not in has:
            wrong.append(name)
    for name in ("text", "html"):
        said = _squeezed(item.get(name) or "")
        if said and said not in words:
            wrong.append(name)
    digests, names = _files(mail)
    for one in item["files"]:
        if one.get("sha256") not in digests:
            wrong.append("files")
        elif digests[one["sha256"]] is not None and _squeezed(one.get("filename") or "") not in names:
            wrong.append("names of files")
    return list(dict.fromkeys(wrong))


def _known(row: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: _plain(name, row.get(name)) for name in names if row.get(name) is not None}


def _plain(name: str, value: Any) -> Any:
    if name not in _TIMES:
        return value
    moment = time_of(value)
    return value if moment is None else microseconds(moment)


def _squeezed(text: str) -> str:
    return "".join(text.split()).casefold()


def _headers(raw: bytes, mail: Message) -> dict[str, str]:
    """Return the headers that are compared, each decoded and as it is written, without white space."""
    headers = {}
    for name in ("subject", "from", "message-id"):
        try:
            headers[name] = _squeezed(" ".join(str(one) for one in mail.get_all(name, [])))
        except Exception:  # noqa: BLE001 - the standard library fails on some headers, with any error
            headers[name] = _squeezed(raw.decode("utf-8", "replace"))
    return headers


def _words(mail: Message, raw: bytes) -> str:
    """Return all text of the mail, decoded, and its source, without white space."""
    texts = [raw.decode("utf-8", "replace")]
    for part in mail.walk():
        if part.get_content_maintype() == "text":
            try:
                texts.append(str(cast(EmailMessage, part).get_content()))
            except Exception:  # noqa: BLE001 - an unknown charset, or a broken part
                payload = part.get_payload(decode=True)
                texts.append(payload.decode("utf-8", "replace") if isinstance(payload, bytes) else "")
    return _squeezed("\n".join(texts))


def _files(mail: Message) -> tuple[dict[str, str | None], set[str]]:
    """Return the digests of the parts, each with its name, and all names."""
    digests: dict[str, str | None] = {}
    for part in mail.walk():
        payload = part.as_bytes() if part.is_multipart() else part.get_payload(decode=True)
        if isinstance(payload, bytes):
            digests[hashlib.sha256(payload).hexdigest()] = part.get_filename()
    return digests, {_squeezed(name) for name in digests.values() if name}
