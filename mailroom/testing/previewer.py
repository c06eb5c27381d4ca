"""Previews without drawing: the double of a `Previewer`."""

from mailroom.ports.previewer import MAX_PREVIEWED, NoPreview, Preview

_PIXEL = b"\x89PNG\r\n\x1a\n"
_PICTURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"RIFF")


class MemoryPreviewer:
    """A `Previewer` in the calling process: it reads the count of pages and the word /Encrypt, and draws nothing."""

    def preview(self, content: bytes, page: int) -> Preview | NoPreview:
        """Return an empty picture, or why there is none."""
        if len(content) > MAX_PREVIEWED:
            return NoPreview.TOO_LARGE
        if b"%PDF-" in content[:1024]:
            pages = content.count(b"/Type /Page\n") + content.count(b"/Type /Page ")
            if b"/Encrypt" in content:
                return NoPreview.PASSWORD
            if not pages or not content.rstrip().endswith(b"%%EOF"):
                return NoPreview.DAMAGED
        elif content.startswith(_PICTURES):
            pages = 1
        else:
            return NoPreview.OTHER_TYPE
        return Preview(_PIXEL, "image/png", page, pages, 1240, 1754) if page <= pages else NoPreview.NO_SUCH_PAGE
