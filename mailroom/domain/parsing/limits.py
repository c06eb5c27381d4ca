"""Limits on the cost of a hostile mail, and the words for defects of a mail.

Every limit is checked before the work that it bounds. Past a limit the reader continues with what it has and records the
defect; nothing here raises. A limit on time or memory is one allowance for the whole mail: an allowance for each part would
be multiplied by their number.
"""

from dataclasses import dataclass, field
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits for one mail. SES's S3 action accepts mails up to 40 MB, hence the first one."""

    raw_bytes: int = 40 * 1024 * 1024
    header_block_bytes: int = 256 * 1024
    header_lines: int = 300_000
    """In all header blocks of one mail: its own, those of its parts, of forwarded messages and of reports."""
    header_bytes: int = 16 * 1024
    address_header_bytes: int = 128 * 1024
    """Of To and Cc, each; enough for a thousand addresses with names."""
    headers: int = 1_000
    depth: int = 20
    parts: int = 500
    delimiters: int = 250_000
    """Lines of one mail that begin like a delimiter, whether or not they are one."""
    addresses: int = 1_000
    encoded_words: int = 200
    """In one header, or in one name of a list of addresses."""
    parameters: int = 50
    files: int = 1_000
    """Attachments of one mail, with those inside uuencoded text and winmail.dat."""
    file_bytes: int = 60 * 1024 * 1024
    """Of all files of one mail, decoded."""
    text_bytes: int = 10 * 1024 * 1024
    """All texts and HTML of one mail, before they are decoded."""
    rtf_bytes: int = 2 * 1024 * 1024
    """Of all RTF bodies of one mail, decompressed; they are read token by token."""
    report_bytes: int = 2 * 1024 * 1024
    """Of all delivery reports, receipts, complaints and calendars of one mail."""
    wrappings: int = 5
    """Signed messages inside signed messages (S/MIME), and multiparts that were encoded as a whole."""
    cms_values: int = 200_000
    """Values read before the signed content, in all parts of one mail; a message in chunks has many."""
    members: int = 1_000
    """Files listed of one .msg, and members of all opened attachments of one mail."""
    containers: int = 100
    """Attached mails and signed files that are opened, in one mail."""
    container_depth: int = 3
    """Attached mails and signed files inside each other."""
    container_bytes: int = 60 * 1024 * 1024
    """Of all that are opened in one mail; one inside another counts in both."""
    member_text: int = 100_000
    """Characters kept of the texts of all attached mails of one mail."""
    raw_name_bytes: int = 8 * 1024
    """Of a file's undecoded name; longer ones are cut."""
    name_bytes: int = 200
    lines: int = 1_000_000
    """In all parts of one mail where lines are repaired one by one: base64 with padding in each, soft breaks with blanks,
    flowed text, uuencode, runs in BinHex."""
    escapes: int = 2_000_000
    """Of all files in yEnc of one mail."""
    tnef_depth: int = 5
    properties: int = 20_000
    """Attributes and MAPI properties of all winmail.dat parts of one mail."""


class Defect(StrEnum):
    """A defect of a mail. Stable words: filters and metrics use them."""

    EMPTY = "empty"
    TOO_LARGE = "too_large"
    TOO_DEEP = "too_deep"
    TOO_MANY_PARTS = "too_many_parts"
    TOO_MANY_DELIMITERS = "too_many_delimiters"
    TOO_MANY_HEADERS = "too_many_headers"
    TOO_MANY_ADDRESSES = "too_many_addresses"
    TOO_MANY_WORDS = "too_many_words"
    TOO_MANY_PARAMETERS = "too_many_parameters"
    TOO_MANY_FILES = "too_many_files"
    FILES_TOO_LARGE = "files_too_large"
    TOO_MANY_PROPERTIES = "too_many_properties"
    HEADER_BLOCK_TOO_LONG = "header_block_too_long"
    HEADER_TOO_LONG = "header_too_long"
    HEADER_MALFORMED = "header_malformed"
    HEADERS_NOT_ENDED = "headers_not_ended"
    BOUNDARY_MISSING = "boundary_missing"
    BOUNDARY_NOT_FOUND = "boundary_not_found"
    BOUNDARY_NOT_CLOSED = "boundary_not_closed"
    BOUNDARY_DAMAGED = "boundary_damaged"
    MULTIPART_MISTYPED = "multipart_mistyped"
    BASE64_DAMAGED = "base64_damaged"
    UUENCODE_DAMAGED = "uuencode_damaged"
    YENC_DAMAGED = "yenc_damaged"
    BINHEX_DAMAGED = "binhex_damaged"
    RTF_DAMAGED = "rtf_damaged"
    SMIME_DAMAGED = "smime_damaged"
    NAME_TOO_LONG = "name_too_long"
    TEXT_TOO_LONG = "text_too_long"
    MESSAGE_PARTIAL = "message_partial"
    EXTERNAL_BODY = "external_body"
    TNEF_DAMAGED = "tnef_damaged"
    ENCODING_UNKNOWN = "encoding_unknown"
    CHARSET_UNKNOWN = "charset_unknown"
    CHARSET_MISMATCH = "charset_mismatch"
    DATE_UNREADABLE = "date_unreadable"
    SENDER_AMBIGUOUS = "sender_ambiguous"


@dataclass(slots=True)
class Allowance:
    """The rest of a limit that all parts of one mail share."""

    left: int

    def take(self, wanted: int = 1) -> int:
        """Return how much of `wanted` is granted, and count it as used."""
        granted = max(0, min(wanted, self.left))
        self.left -= granted
        return granted


class Allowances:
    """The limits of one mail that its parts share."""

    __slots__ = (
        "cms_values", "container_bytes", "containers", "delimiters", "escapes", "file_bytes", "header_lines", "lines", "member_text", "members", "properties", "report_bytes", "rtf_bytes",
    )  # fmt: skip

    def __init__(self, limits: Limits) -> None:
        """Start with the full `limits`."""
        self.header_lines = Allowance(limits.header_lines)
        self.delimiters = Allowance(limits.delimiters)
        self.lines = Allowance(limits.lines)
        self.escapes = Allowance(limits.escapes)
        self.file_bytes = Allowance(limits.file_bytes)
        self.rtf_bytes = Allowance(limits.rtf_bytes)
        self.report_bytes = Allowance(limits.report_bytes)
        self.properties = Allowance(limits.properties)
        self.cms_values = Allowance(limits.cms_values)
        self.containers = Allowance(limits.containers)
        self.container_bytes = Allowance(limits.container_bytes)
        self.members = Allowance(limits.members)
        self.member_text = Allowance(limits.member_text)


@dataclass(slots=True)
class Reading:
    """The state of reading one mail: its limits, the rest of them, and the defects so far in order."""

    limits: Limits = field(default_factory=Limits)
    shared: Allowances | None = None
    remaining: Allowances = field(init=False)
    encrypted: set[str] = field(default_factory=set)
    """Encryptions of what is inside attachments, by the words of `Protection`: it cannot be read here."""
    _noted: dict[Defect, tuple[int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Start with the full limits, or with what is left of those of the mail around."""
        self.remaining = self.shared or Allowances(self.limits)

    def aside(self) -> "Reading":
        """Return a reading of something inside this mail: it shares the mail's allowances, and its defects are dropped."""
        return Reading(self.limits, self.remaining)

    def note(self, defect: Defect, *, count: int = 0, size: int = 0) -> None:
        """Record `defect`, once; `count` things and `size` bytes, that it leaves out, are added up."""
        counted, octets = self._noted.get(defect, (0, 0))
        self._noted[defect] = (counted + count, octets + size)

    @property
    def defects(self) -> tuple[str, ...]:
        """The defects recorded so far."""
        return tuple(defect.value for defect in self._noted)

    @property
    def left_out(self) -> dict[str, dict[str, int]]:
        """How much each defect left out, where that is known: `{"too_many_parts": {"count": 101, "bytes": 9500}}`."""
        amounts = {
            defect.value: {name: amount for name, amount in (("count", count), ("bytes", size)) if amount}
            for defect, (count, size) in self._noted.items()
        }
        return {word: known for word, known in amounts.items() if known}
