"""Notices of an item: what of the mail was not read or is not shown, each as a sentence, with how much it is.

Every word of `Defect` has its sentence here, and so have the two encryptions. Sentences contain nothing that a sender wrote.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mailroom.domain.parsing import Defect, Protection
from mailroom.domain.texts import Octets, Text

_RAW = "Download the raw e-mail (.eml), which has everything."
_KEY = "Download its encrypted file or the raw e-mail (.eml), and open it with the program that has the key."


@dataclass(frozen=True, slots=True)
class Notice:
    """One notice. `count` and `bytes` are how much was left out, None where that is not known."""

    code: str
    sentence: str
    """Complete, with the amounts."""
    what_to_do: str | None = None
    count: int | None = None
    bytes: int | None = None
    left_out: bool = True
    """Whether something of the mail is not read or not shown; False for a fault of the mail that hides nothing."""


@dataclass(frozen=True, slots=True)
class _Text:
    """`of` counts what is left out, one and several; `what` says what happened to it."""

    sentence: str
    of: tuple[str, str] | None = None
    what: str = "Left out"
    left_out: bool = True
    remedy: str | None = _RAW


def _left_out(sentence: str, of: tuple[str, str] | None = None) -> _Text:
    return _Text(sentence, of)


def _fault(sentence: str) -> _Text:
    return _Text(sentence, left_out=False, remedy=None)


_PARTS = "%(count)s part", "%(count)s parts"
_FIELDS = "%(count)s field", "%(count)s fields"
_ADDRESSES = "%(count)s address", "%(count)s addresses"
_FILES = "%(count)s file", "%(count)s files"
_DAMAGED = "The {} in this mail is damaged: what could be read of it is here, and some may be missing."

#: The sentence of each word that the parser notes.
TEXTS: Mapping[str, _Text] = {
    Protection.PGP_ENCRYPTED: _Text(
        "This mail, or a part of it, is protected by OpenPGP: encrypted, cannot be read here.", remedy=_KEY
    ),
    Protection.SMIME_ENCRYPTED: _Text(
        "This mail, or a part of it, is protected by S/MIME: encrypted, cannot be read here.", remedy=_KEY
    ),
    Defect.EMPTY: _fault("The mail is empty."),
    Defect.TOO_LARGE: _left_out("The mail is larger than is read: its end is left out."),
    Defect.TOO_DEEP: _Text(
        "The mail has parts inside parts, deeper than is read: the innermost are shown as text or files, as they were sent.",
        what="Not opened",
    ),
    Defect.TOO_MANY_PARTS: _left_out("The mail has more parts than are read.", _PARTS),
    Defect.TOO_MANY_DELIMITERS: _left_out("The mail has more lines between parts than are read: its end is left out."),
    Defect.TOO_MANY_HEADERS: _left_out("The mail has more header fields than are read.", _FIELDS),
    Defect.TOO_MANY_ADDRESSES: _left_out("The mail has more recipients than are shown.", _ADDRESSES),
    Defect.TOO_MANY_WORDS: _fault("A header field has more encoded words than are decoded: its end is shown as it was sent."),
    Defect.TOO_MANY_PARAMETERS: _left_out("A header field has more parameters than are read."),
    Defect.TOO_MANY_FILES: _left_out("The mail has more files than are listed.", _FILES),
    Defect.FILES_TOO_LARGE: _left_out("The mail's files are together larger than are taken.", _FILES),
    Defect.TOO_MANY_PROPERTIES: _left_out("A winmail.dat file has more properties than are read: some may be missing."),
    Defect.HEADER_BLOCK_TOO_LONG: _left_out("A header block is longer than is read: its last fields are left out."),
    Defect.HEADER_TOO_LONG: _left_out("A header field is longer than is read: its end is left out.", _FIELDS),
    Defect.HEADER_MALFORMED: _fault("A line between the header fields is no field; it is skipped."),
    Defect.HEADERS_NOT_ENDED: _fault("The header fields do not end with an empty line: the text begins where they stop."),
    Defect.BOUNDARY_MISSING: _fault("The mail does not say where its parts begin; that was guessed."),
    Defect.BOUNDARY_NOT_FOUND: _fault("The parts of the mail are not where it says: what is there is shown as text."),
    Defect.BOUNDARY_NOT_CLOSED: _fault("The last part of the mail has no end mark: the mail may have been cut off."),
    Defect.BOUNDARY_DAMAGED: _fault("Lines between the parts of the mail are damaged: where its parts begin was guessed."),
    Defect.MULTIPART_MISTYPED: _fault("The mail's type cannot be read: it was read as a mail of several parts."),
    Defect.BASE64_DAMAGED: _fault(_DAMAGED.format("base64 encoding")),
    Defect.UUENCODE_DAMAGED: _fault(_DAMAGED.format("uuencoded file")),
    Defect.YENC_DAMAGED: _fault(_DAMAGED.format("yEnc file")),
    Defect.BINHEX_DAMAGED: _fault(_DAMAGED.format("BinHex file")),
    Defect.RTF_DAMAGED: _fault(_DAMAGED.format("formatted text (RTF)")),
    Defect.SMIME_DAMAGED: _left_out("The S/MIME container is damaged and was not opened: it is listed as a file."),
    Defect.NAME_TOO_LONG: _left_out("The name of a file is longer than is read: its end is left out."),
    Defect.TEXT_TOO_LONG: _left_out("The mail's text is longer than is read: its end is left out."),
    Defect.MESSAGE_PARTIAL: _fault("This mail is one piece of a mail that was sent in several; the pieces are not joined."),
    Defect.EXTERNAL_BODY: _Text("A part of the mail is kept elsewhere by its sender; it was not fetched.", remedy=None),
    Defect.TNEF_DAMAGED: _fault(_DAMAGED.format("winmail.dat file")),
    Defect.ENCODING_UNKNOWN: _fault("A part declares a transfer encoding that is not known: its content is as it was sent."),
    Defect.CHARSET_UNKNOWN: _fault("A text declares a character set that is not known: it was guessed, and may be misread."),
    Defect.CHARSET_MISMATCH: _fault("A text has bytes that its character set does not have: some letters may be misread."),
    Defect.DATE_UNREADABLE: _fault("The Date field of the mail cannot be read."),
    Defect.SENDER_AMBIGUOUS: _fault("From has more than one address: mail programs may show different senders."),
}  # fmt: skip
_ORDER = {word: at for at, word in enumerate(TEXTS)}


def notices_of(defects: Iterable[str], left_out: Mapping[str, Mapping[str, int]] | None) -> tuple[Notice, ...]:
    """Return the notices of a mail; those about encryption first. A word that this release does not know is shown itself."""
    known = left_out or {}
    words = sorted({*defects, *known}, key=lambda word: (_ORDER.get(word, len(_ORDER)), word))
    return tuple(_notice(word, known.get(word, {})) for word in words)


def _notice(word: str, amounts: Mapping[str, int]) -> Notice:
    count, octets = amounts.get("count"), amounts.get("bytes")
    text = TEXTS.get(word)
    if text is None:
        sentence = Text("The mail has a fault that this release cannot explain: %(word)s.", word=word)
        return Notice(word, sentence, None, count, octets, left_out=False)
    pieces: list[object] = [Text.counted(*text.of, count)] if count and text.of else []
    pieces += [Octets(octets)] if octets else []
    sentence = Text(text.sentence)
    if pieces:
        amounts_text = Text("%(first)s, %(second)s", first=pieces[0], second=pieces[1]) if pieces[1:] else pieces[0]
        sentence = Text(
            "%(sentence)s %(left_out)s: %(amounts)s.", sentence=sentence, left_out=Text(text.what), amounts=amounts_text
        )
    return Notice(word, sentence, text.remedy, count, octets, text.left_out)
