"""The raw e-mail of an item on pages: as a file, and its source as text. No HTML of the mail is interpreted."""

import codecs
import io
import unicodedata
from dataclasses import dataclass

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, Response

from mailroom.api.auth import PageHolder
from mailroom.api.originals import files_download, item_of, raw_download, raw_mail
from mailroom.api.pages.rendering import render
from mailroom.api.services import AppServices
from mailroom.domain.parsing.headers import read_headers
from mailroom.domain.parsing.limits import Reading

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

#: The most bytes that are shown of a header block, and of what follows it.
MOST_HEADERS, MOST_BODY = 64 << 10, 192 << 10
#: Shown as a picture of the character: what a terminal or a browser would act on, or not show at all.
_PICTURES = {code: 0x2400 + code for code in range(32) if code not in (9, 10)} | {0x7F: 0x2421}


@dataclass(frozen=True, slots=True)
class Source:
    """The begin of a mail's source as text; sizes in bytes."""

    headers: str
    body: str
    size: int
    headers_left_out: int
    body_left_out: int


@router.get("/items/{item_id}/raw")
def item_raw(request: Request, services: AppServices, holder: PageHolder, item_id: str) -> Response:
    """The raw e-mail, as a download."""
    return raw_download(services, holder.tenant, item_id, request)


@router.get("/items/{item_id}/files.zip")
def item_files(services: AppServices, holder: PageHolder, item_id: str) -> Response:
    """All files of the mail, as one download."""
    return files_download(services, holder.tenant, item_id)


@router.get("/items/{item_id}/source")
def item_source(services: AppServices, holder: PageHolder, item_id: str) -> Response:
    """The header block and the source of a mail, as text."""
    filed = item_of(services, holder.tenant, item_id)
    with raw_mail(services, filed) as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        head = file.read(Reading().limits.header_block_bytes + MOST_BODY)
    return render("source.html", filed=filed, source=source_of(head, size))


def source_of(head: bytes, size: int) -> Source:
    """Return the begin of a mail of `size` bytes; `head` is as much of it as may be needed."""
    _, end = read_headers(head, 0, len(head), reading=Reading())
    headers, body = head[: min(end, MOST_HEADERS)], head[end : end + MOST_BODY]
    headers = _cut(headers) if len(headers) < end else headers
    body = _cut(body) if end + len(body) < size else body
    return Source(
        headers=as_text(headers),
        body=as_text(body),
        size=size,
        headers_left_out=end - len(headers),
        body_left_out=size - end - len(body),
    )


def as_text(data: bytes) -> str:
    """Return the bytes as text: what is no UTF-8 as `\\xe9`, characters that control or hide by a picture or number."""
    text = data.decode("utf-8", "backslashreplace")
    visible = text.replace("\r\n", "\n").replace("\r", "\n").translate(_PICTURES)
    return "".join(one if _is_visible(one) else f"\\u{{{ord(one):x}}}" for one in visible)


def _cut(data: bytes) -> bytes:
    """Return the bytes without the begin of a character at their end."""
    decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
    decoder.decode(data)
    begun = len(decoder.getstate()[0])
    return data[: len(data) - begun]


def _is_visible(character: str) -> bool:
    return character.isprintable() or character in "\t\n" or unicodedata.category(character) == "Zs"
