"""Names of attachments: the sender's names, made safe to show, to log and to offer for download.

The rules are for display; nothing is stored under these names. The sender's own spelling is kept beside them.
"""

import re

import filetype

_DEVICE = re.compile(r"(?i)(?:con|prn|aux|nul|com[0-9]|lpt[0-9])[ .]*(?:\.|$)")
_PATH = re.compile(r"(?:[A-Za-z]:)?[\\/]|.*(?:\\|(?:^|/)\.\.(?:/|$))", re.S)
_BLANKS = re.compile(r"\s+")
#: Invisible characters that Python calls printable: Unicode's Default_Ignorable_Code_Point, and the blank of Braille.
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
_LONGEST_RAW = 4096
_LONGEST_ENDING = 20
_ENDINGS = {
    "message/rfc822": ".eml",
    "message/global": ".eml",
    "message/delivery-status": ".txt",
    "message/global-delivery-status": ".txt",
    "message/disposition-notification": ".txt",
    "message/global-disposition-notification": ".txt",
    "message/feedback-report": ".txt",
    "message/global-headers": ".txt",
    "text/rfc822-headers": ".txt",
    "text/plain": ".txt",
    "text/html": ".html",
    "text/calendar": ".ics",
    "text/csv": ".csv",
    "text/rtf": ".rtf",
    "text/vcard": ".vcf",
    "text/x-vcard": ".vcf",
    "text/xml": ".xml",
    "image/jpeg": ".jpg",
    "image/jpg": ".jpg",
    "image/png": ".png",
    "image/gif": ".gif",
    "image/tiff": ".tif",
    "image/bmp": ".bmp",
    "image/webp": ".webp",
    "image/svg+xml": ".svg",
    "audio/mpeg": ".mp3",
    "audio/wav": ".wav",
    "video/mp4": ".mp4",
    "application/pdf": ".pdf",
    "application/zip": ".zip",
    "application/json": ".json",
    "application/xml": ".xml",
    "application/rtf": ".rtf",
    "application/msword": ".doc",
    "application/ms-tnef": ".dat",
    "application/pgp-signature": ".asc",
    "application/pkcs7-signature": ".p7s",
    "application/x-pkcs7-signature": ".p7s",
    "application/pkcs7-mime": ".p7m",
    "application/x-pkcs7-mime": ".p7m",
}
#: Of the types that are recognised by their first bytes.
_RECOGNISED = {
    kind.mime: f".{kind.extension}" for kind in reversed(filetype.types) if kind.mime != "application/octet-stream"
}


def display_name(original: str | None, *, content_type: str, number: int, longest: int = 200) -> str:
    """Return a name that is safe to show: one line, no path, nothing invisible, at most `longest` UTF-8 bytes.

    `number` is the attachment's number in its mail, for attachments without a usable name.
    """
    name = _visible((original or "")[:_LONGEST_RAW])
    if _PATH.match(name):
        name = re.split(r"[\\/]", name.rstrip("\\/"))[-1]
    name = name.replace("/", "_").strip().rstrip(". ")
    if name.startswith("."):
        name = "_" + name.lstrip(".") if name.strip("._ ") else ""
    if not name.strip("._ "):
        name = f"attachment-{number}{ending_of(content_type)}"
    if _DEVICE.match(name):
        name = f"_{name}"
    return _cut(name, longest)


def unique_name(name: str, taken: dict[str, int], *, longest: int = 200) -> str:
    """Return `name`, or `name (2)` and so on before its extension if the mail already has it.

    The result is added to `taken`, which has the last number for each name, so that a thousand equal names stay cheap.
    """
    stem, ending = _parts(name)
    choice, count = name, taken.get(name.casefold(), 1)
    while choice.casefold() in taken:
        count += 1
        mark = f" ({count})"
        choice = _cut(stem, longest - len(mark) - len(ending.encode())) + mark + ending
    taken[name.casefold()] = count
    taken[choice.casefold()] = 1
    return choice


def ending_of(content_type: str) -> str:
    """Return the usual extension of a type with its dot, or an empty string."""
    return _ENDINGS.get(content_type) or _RECOGNISED.get(content_type, "")


def _visible(text: str) -> str:
    """Remove invisible characters: controls, direction overrides, zero-width letters, unassigned code points."""
    text = _BLANKS.sub(" ", _UNSEEN.sub("", text))
    if text.isprintable():
        return text
    return _BLANKS.sub(" ", "".join(letter for letter in text if letter.isprintable()))


def _parts(name: str) -> tuple[str, str]:
    stem, dot, ending = name.rpartition(".")
    if not stem or not dot or len(ending.encode()) > _LONGEST_ENDING:
        return name, ""
    return stem, dot + ending


def _cut(name: str, longest: int) -> str:
    """Shorten the stem, not the extension, and never inside a character."""
    if len(name.encode()) <= longest:
        return name
    stem, ending = _parts(name)
    room = longest - len(ending.encode())
    return stem.encode()[:room].decode("utf-8", "ignore").rstrip() + ending
