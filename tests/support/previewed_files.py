"""Files with previews: small PDFs written by hand, pictures and scans."""

import io
from typing import Any

from PIL import Image

#: A user's password that nobody knows: PDFium compares it and asks for another.
_ENCRYPT = "/Encrypt << /Filter /Standard /V 1 /R 2 /P -4 /O <{0}> /U <{0}> >> /ID [<{1}> <{1}>]".format(
    "00" * 32, "11" * 16
)


def pdf(
    pages: int = 1, *, words: str = "Hello", box: str = "0 0 595 842", encrypted: bool = False, catalog: str = ""
) -> bytes:
    """Return a PDF with one line of text on each page."""
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(pages))
    objects = [
        f"<< /Type /Catalog /Pages 2 0 R {catalog}>>",
        f"<< /Type /Pages /Kids [{kids}] /Count {pages} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for number in range(pages):
        drawn = f"BT /F1 40 Tf 60 700 Td ({words} {number + 1}) Tj ET"
        of_page = f"/MediaBox [{box}] /Resources << /Font << /F1 3 0 R >> >> /Contents {5 + 2 * number} 0 R"
        objects.append(f"<< /Type /Page /Parent 2 0 R {of_page} >>")
        objects.append(f"<< /Length {len(drawn)} >>\nstream\n{drawn}\nendstream")
    out, places = io.BytesIO(), []
    out.write(b"%PDF-1.7\n")
    for number, body in enumerate(objects, 1):
        places.append(out.tell())
        out.write(f"{number} 0 obj\n{body}\nendobj\n".encode())
    at = out.tell()
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    trailer = f"<< /Size {len(objects) + 1} /Root 1 0 R {_ENCRYPT if encrypted else ''} >>"
    out.write(
        f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}trailer\n{trailer}\nstartxref\n{at}\n%%EOF\n".encode()
    )
    return out.getvalue()


def picture(kind: str = "PNG", size: tuple[int, int] = (60, 40), *, mode: str = "RGB", **values: Any) -> bytes:
    """Return a picture of one colour."""
    out = io.BytesIO()
    Image.new(mode, size, values.pop("colour", 0)).save(out, kind, **values)
    return out.getvalue()


def scan(kind: str = "PNG", size: tuple[int, int] = (2480, 3508), **values: Any) -> bytes:
    """Return a page of noise, as a scanner's at 300 dpi."""
    out = io.BytesIO()
    Image.effect_noise(size, 40).save(out, kind, **values)
    return out.getvalue()
