"""The process that draws one preview and ends: started by `previewer` by this file's path; it imports nothing of Mailroom.

    python -I preview_child.py PAGE < file > answer

The answer is a line of JSON, and after it the picture's bytes. PDFs are drawn by PDFium without JavaScript and XFA,
pictures by Pillow with the decoders that are named here alone. Limits on memory, CPU time and the answer's size are set before
the first byte is read.
"""

import io
import json
import resource
import sys
from typing import Any

#: Bytes of memory, seconds of CPU time, bytes of an answer.
MEMORY, CPU_S, ANSWER = 1 << 30, 8, 16_000_000
#: The most pixels of a preview, across and down: an A4 page at 150 dpi, and three times as long a receipt.
WIDE, HIGH = 1240, 5262
#: The most pixels of a picture that is decoded: A3 at 600 dpi has 70 million. JPEGs are decoded at a fraction of their size.
MOST_PIXELS, MOST_OF_JPEG = 80_000_000, 400_000_000
_FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "TIFF")


class _NoPreviewError(Exception):
    """There is no preview; the argument is the reason, a word of `mailroom.ports.previewer.NoPreview`."""


def main(page: int) -> None:
    """Draw what is on standard input."""
    _bound()
    content = sys.stdin.buffer.read()
    try:
        drawn, pages = _pdf(content, page) if b"%PDF-" in content[:1024] else _picture(content, page)
        kind, encoded = _encoded(drawn)
        answer = {"page": page, "pages": pages, "content_type": kind, "width": drawn.width, "height": drawn.height}
    except _NoPreviewError as error:
        answer, encoded = {"none": error.args[0]}, b""
    except MemoryError:
        answer, encoded = {"none": "too_large"}, b""
    except Exception:  # noqa: BLE001 - decoders raise anything for hostile files, and their messages may quote them
        answer, encoded = {"none": "damaged"}, b""
    sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n" + encoded)


def _bound() -> None:
    limits = ((resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_CPU, CPU_S), (resource.RLIMIT_FSIZE, ANSWER))
    for which, most in (*limits, (resource.RLIMIT_CORE, 0)):
        # At the hard limit of CPU time the process is killed without a word; a second before, with a signal that says why.
        resource.setrlimit(which, (most, most + 1 if which == resource.RLIMIT_CPU else most))


def _pdf(content: bytes, page: int) -> tuple[Any, int]:
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(content)
    except pypdfium2.PdfiumError as error:
        # PDFium's code 4 is a missing password; the library has it in its sentence alone.
        raise _NoPreviewError("password" if "assword" in str(error) else "damaged") from None
    # What was typed into a form is drawn by its fields.
    document.init_forms()
    pages = len(document)
    if not 0 < page <= pages:
        raise _NoPreviewError("no_such_page" if pages else "damaged")
    opened = document[page - 1]
    width, height = opened.get_size()
    if not (0 < width < 1e6 and 0 < height < 1e6):
        raise _NoPreviewError("damaged")
    scale = min(WIDE / width, HIGH / height)
    return opened.render(scale=scale, may_draw_forms=True).to_pil().convert("RGB"), pages


def _picture(content: bytes, page: int) -> tuple[Any, int]:
    from PIL import Image, ImageOps, UnidentifiedImageError

    Image.MAX_IMAGE_PIXELS = None  # the limits are below
    try:
        picture = Image.open(io.BytesIO(content), formats=_FORMATS)
    except UnidentifiedImageError:
        known = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"II*\x00", b"MM\x00*")
        raise _NoPreviewError("damaged" if content.startswith(known) else "other_type") from None
    # An animation is its first picture.
    pages = getattr(picture, "n_frames", 1) if picture.format == "TIFF" else 1
    if not 0 < page <= pages:
        raise _NoPreviewError("no_such_page")
    if page > 1:
        picture.seek(page - 1)
    if picture.width * picture.height > (MOST_OF_JPEG if picture.format == "JPEG" else MOST_PIXELS):
        raise _NoPreviewError("too_large")
    if picture.format == "JPEG":
        picture.draft(None, (2 * WIDE, 2 * WIDE))
    # Before it is turned: a smaller picture costs less.
    picture.thumbnail((max(WIDE, 2 * WIDE), HIGH), reducing_gap=2.0)
    upright = ImageOps.exif_transpose(picture)
    flat = _flattened(upright)
    flat.thumbnail((WIDE, HIGH))
    return flat, pages


def _flattened(picture: Any) -> Any:
    """Return a picture without transparency, on white; deep greys scaled to what a screen shows."""
    from PIL import Image

    if picture.mode in ("I", "F") or picture.mode.startswith("I;16"):
        low, high = picture.getextrema()
        spread = max(1, high - low)
        return picture.convert("F").point(lambda value: (value - low) * (255 / spread)).convert("L").convert("RGB")
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        with_alpha = picture.convert("RGBA")
        sheet = Image.new("RGB", with_alpha.size, "white")
        sheet.paste(with_alpha, mask=with_alpha.getchannel("A"))
        return sheet
    return picture.convert("RGB")


def _encoded(picture: Any) -> tuple[str, bytes]:
    """Return type and bytes: a drawing of few colours as PNG, a page or photo as JPEG, which is smaller and ten times as quick."""
    # Colour profiles, comments and texts of the file are bytes of its sender.
    picture.info = {}
    out = io.BytesIO()
    if picture.getcolors(64) is not None:
        picture.save(out, "PNG", compress_level=3)
        return "image/png", out.getvalue()
    picture.save(out, "JPEG", quality=88, subsampling=0)
    return "image/jpeg", out.getvalue()


if __name__ == "__main__":
    main(int(sys.argv[1]))
