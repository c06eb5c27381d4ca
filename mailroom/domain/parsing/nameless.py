"""Files without a name: the type that gives one its extension, a name in Content-Description, and files sent as text."""

import re

from mailroom.domain.parsing.names import ending_of

#: Types by their first bytes that no text begins with; others (BMP begins with BM) are believed of binary parts only.
_CERTAIN = frozenset({"application/pdf", "image/png", "image/jpeg", "image/gif", "image/tiff", "image/webp"})
_PDF = re.compile(rb"%PDF-\d\.\d{1,2}[ \t]{0,9}[\r\n]")
_PICTURE = re.compile(rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|II\*\x00|MM\x00\*|RIFF....WEBP", re.S)
_GIF = re.compile(rb"GIF8[79]a[^\x00-\x08]{0,20}[\x00-\x08]", re.S)
_FIRST = (b"%", b"\x89", b"\xff", b"I", b"M", b"R", b"G")
_BEGIN = 1_024
#: A name: no path, no sentence's end, and an extension that people's files have.
_FILE_NAME = re.compile(r"[^\s/\\<>|?*:\"][^/\\<>|?*:\"\x00-\x1f]{0,150}\.([A-Za-z0-9]{1,8})")
_EXTENSIONS = frozenset(
    [
        "7z",
        "asc",
        "avi",
        "bmp",
        "bz2",
        "cer",
        "crt",
        "csv",
        "dat",
        "db",
        "doc",
        "docm",
        "docx",
        "dot",
        "dotx",
        "dwg",
        "dxf",
        "edi",
        "eml",
        "eps",
        "epub",
        "gif",
        "gpg",
        "gz",
        "heic",
        "htm",
        "html",
        "ics",
        "iso",
        "jpe",
        "jpeg",
        "jpg",
        "json",
        "key",
        "log",
        "m4a",
        "md",
        "mdb",
        "mkv",
        "mov",
        "mp3",
        "mp4",
        "mpeg",
        "mpg",
        "msg",
        "numbers",
        "odg",
        "odp",
        "ods",
        "odt",
        "ogg",
        "p12",
        "p7b",
        "p7c",
        "p7m",
        "p7s",
        "pages",
        "pcx",
        "pdf",
        "pem",
        "pfx",
        "pgp",
        "png",
        "pps",
        "ppsx",
        "ppt",
        "pptm",
        "pptx",
        "ps",
        "psd",
        "pst",
        "pub",
        "rar",
        "rtf",
        "sig",
        "svg",
        "swf",
        "tar",
        "tgz",
        "tif",
        "tiff",
        "tsv",
        "txt",
        "vcf",
        "vcs",
        "vsd",
        "vsdx",
        "wav",
        "webm",
        "webp",
        "wma",
        "wmf",
        "wmv",
        "wpd",
        "xls",
        "xlsb",
        "xlsm",
        "xlsx",
        "xlt",
        "xml",
        "xps",
        "xsd",
        "xsl",
        "yaml",
        "yml",
        "zip",
    ]
)


def naming_type(declared: str, detected: str | None) -> str:
    """Return the type that gives a nameless file its extension: that of its content, unless its declaration knows better."""
    if detected is None or declared.startswith("message/") or (detected == "application/zip" and _knows(declared)):
        return declared
    return declared if declared.startswith("text/") and detected not in _CERTAIN else detected


def begins_as_file(data: bytes) -> bool:
    """Return whether a part begins as a PDF or a picture does, though it is declared as text."""
    begin = data[:_BEGIN].lstrip()
    return begin[:1] in _FIRST and any(pattern.match(begin) for pattern in (_PDF, _PICTURE, _GIF))


def described_name(description: str | None) -> str | None:
    """Return a part's Content-Description if it looks like the name of a file."""
    text = (description or "").strip().removeprefix('"').removesuffix('"').strip()
    match = _FILE_NAME.fullmatch(text)
    return text if match and match[1].lower() in _EXTENSIONS else None


def _knows(declared: str) -> bool:
    """Return whether a declared type says more than `a zip file`, as those of documents do: it has an extension."""
    return bool(ending_of(declared))
