"""Kinds of mail about what a document is, and what decoration: files inline, pictures drawn or not, certified mail."""

import base64
from typing import Any

from tests.support.mails.making import (
    CSV,
    GIF,
    JPEG,
    PDF,
    PNG,
    TIFF,
    XML,
    ZIP,
    Style,
    expect,
    file_part,
    kind,
    multipart,
    part,
    right,
    single,
    text_part,
    whole,
)  # fmt: skip

Made = tuple[bytes, dict[str, Any]]


@kind(8)
def inline_document(s: Style) -> Made:
    """A file that a person would open is an attachment, whatever its disposition says (Apple Mail, scanners, ERP systems)."""
    ending, content_type, data = (
        ("pdf", "application/pdf", PDF), ("xml", "application/xml", XML), ("csv", "text/csv", CSV), ("jpg", "image/jpeg", JPEG),
        ("zip", "application/zip", ZIP), ("tif", "image/tiff", TIFF), ("xml", "text/xml", XML), ("pdf", "application/octet-stream", PDF),
    )[s.n]  # fmt: skip
    name = f"{s.stem}.{ending}"
    file = file_part(s, name, data, content_type, disposition="inline", form="2231" if s.n % 2 else "")
    wanted = expect(name, data, content_type, decoration=False)
    return whole(s, "mixed", text_part(s), file), right(s, attachments=[wanted])


@kind(6)
def lone_inline_document(s: Style) -> Made:
    """A mail that is one inline file without any text (scanners, fax gateways)."""
    ending, content_type, data = (
        ("pdf", "application/pdf", PDF),
        ("tif", "image/tiff", TIFF),
        ("xml", "text/xml", XML),
    )[s.n % 3]
    name = f"scan{s.n}.{ending}"
    raw = single(s, file_part(s, name, data, content_type, disposition="inline"))
    return raw, right(s, text_contains=[], attachments=[expect(name, data, content_type, decoration=False)])


def _page(s: Style, drawing: str) -> bytes:
    return text_part(s, f"<html><body><p>{s.text}</p>{drawing}</body></html>", "html")


@kind(8)
def drawn_picture(s: Style) -> Made:
    """A picture that the HTML draws by its content id is decoration; it stays listed."""
    cid = f"ii_{s.n}.logo@{s.client}"
    drawing = (
        f'<img src="cid:{cid}">', f"<IMG width=1 SRC='cid:{cid}'>", f'<img alt="" src=cid:{cid}>', f'<td background="cid:{cid}">x</td>',
        f'<div style="background-image:url(cid:{cid})">', f"<style>p {{background: url('cid:{cid}')}}</style>",
        f'<img\r\n src="cid:{cid.replace("@", "%40")}">', f'<img src = "CID:{cid}" />',
    )[s.n]  # fmt: skip
    name = f"image00{s.n}.png"
    picture = file_part(s, name, PNG, "image/png", disposition=("inline", "")[s.n % 2], cid=cid)
    raw = whole(s, "related", _page(s, drawing), picture, more='; type="text/html"')
    return raw, right(
        s,
        text_contains=[],
        html_contains=[s.text],
        attachments=[expect(name, PNG, "image/png", cid=cid, decoration=True)],
    )


@kind(6)
def picture_never_drawn(s: Style) -> Made:
    """A picture with a content id that the HTML does not draw is a document: a photo, a screenshot (Gmail, iPhone)."""
    name, data, content_type = (
        (f"{s.stem}.jpg", JPEG, "image/jpeg"),
        ("IMG_0001.PNG", PNG, "image/png"),
        ("a.gif", GIF, "image/gif"),
    )[s.n % 3]
    drawing = (
        "",
        '<img src="https://x.example/a.png">',
        '<img src="cid:other@x">',
        f"<p>cid:photo{s.n}@x</p>",
        "<!-- none -->",
        "",
    )[s.n]
    photo = file_part(s, name, data, content_type, disposition="inline", cid=f"photo{s.n}@x")
    raw = whole(s, ("related", "mixed")[s.n % 2], _page(s, drawing), photo)
    return raw, right(s, text_contains=[], attachments=[expect(name, data, content_type, decoration=False)])


@kind(6)
def attached_and_linked(s: Style) -> Made:
    """Disposition `attachment` wins over any reference, and a link draws nothing."""
    cid = f"doc{s.n}@supplier.example"
    name, data, content_type = ((f"{s.stem}.pdf", PDF, "application/pdf"), (f"{s.stem}.png", PNG, "image/png"))[s.n % 2]
    drawing = (
        f'<a href="cid:{cid}">',
        f'<img src="cid:{cid}">',
        f"<a href='cid:{cid}'>",
        f'<td background="cid:{cid}">',
    )[s.n % 4]
    disposition = "inline" if s.n % 4 in (0, 2) else "attachment"
    raw = whole(s, "mixed", _page(s, drawing), file_part(s, name, data, content_type, disposition=disposition, cid=cid))
    return raw, right(s, text_contains=[], attachments=[expect(name, data, content_type, cid=cid, decoration=False)])


@kind(5)
def logo_and_document(s: Style) -> Made:
    """One drawn logo, one photo that is not drawn, one PDF: each is what it is (Outlook's related inside mixed)."""
    name = f"{s.stem}.pdf"
    page = _page(s, f'<img src="cid:logo.{s.n}@x">')
    alternative = multipart(s, "alternative", text_part(s), page, mark=2)
    related = multipart(
        s, "related", alternative, file_part(s, "logo.png", PNG, "image/png", disposition="inline", cid=f"logo.{s.n}@x"),
        file_part(s, "photo.jpg", JPEG, "image/jpeg", disposition="inline", cid=f"photo.{s.n}@x"), mark=3,
    )  # fmt: skip
    raw = whole(
        s,
        "mixed",
        related,
        file_part(s, name, PDF, "application/pdf", disposition="inline" if s.n % 2 else "attachment"),
    )
    wanted = [
        expect("logo.png", PNG, decoration=True), expect("photo.jpg", JPEG, decoration=False), expect(name, PDF, decoration=False),
    ]  # fmt: skip
    return raw, right(s, attachments=wanted)


@kind(5)
def photos_between_texts(s: Style) -> Made:
    """Apple Mail writes text, photo, text, photo: two texts and two documents."""
    photos = [
        file_part(s, f"IMG_{s.n}{one}.jpeg", JPEG + bytes([one]), "image/jpeg", disposition="inline") for one in (1, 2)
    ]
    raw = whole(s, "mixed", text_part(s), photos[0], text_part(s, s.text[::-1]), photos[1], text_part(s, "."))
    wanted = [expect(f"IMG_{s.n}{one}.jpeg", JPEG + bytes([one]), decoration=False) for one in (1, 2)]
    return raw, right(s, text_contains=[s.text, s.text[::-1]], attachments=wanted)


@kind(5)
def certified_mail(s: Style) -> Made:
    """Italian certified mail: the transport document, daticert.xml inline, the original mail, a signature."""
    inner = f"Subject: {s.n} fattura\r\nFrom: x@pec.example\r\n\r\ntesto {s.n}".encode()
    daticert = b'<?xml version="1.0"?><postacert tipo="posta-certificata"/>\r\n'
    original = (
        b'Content-Type: message/rfc822; name="postacert.eml"\r\nContent-Disposition: inline; filename="postacert.eml"\r\n\r\n'
        + inner
    )
    mixed = multipart(
        s, "mixed", multipart(s, "alternative", text_part(s), _page(s, ""), mark=2),
        file_part(s, "daticert.xml", daticert, "application/xml", disposition="inline"), original, mark=3,
    )  # fmt: skip
    signature = file_part(s, "smime.p7s", b"0\x80\x06\x09", "application/pkcs7-signature")
    raw = whole(s, "signed", mixed, signature, more='; protocol="application/pkcs7-signature"; micalg="sha-256"')
    wanted = [
        expect("daticert.xml", daticert, "application/xml", decoration=False), {"filename": "postacert.eml", "decoration": False},
        {"filename": "smime.p7s"},
    ]  # fmt: skip
    return raw, right(s, attachments=wanted, protection=["smime_signed"])


@kind(5)
def electronic_invoice(s: Style) -> Made:
    """ZUGFeRD and DATEV: a PDF and an XML with one name, in any type that senders use."""
    content_type = ("text/xml", "application/xml", "application/octet-stream", "text/plain", "application/x-zugferd")[
        s.n
    ]
    files = [
        file_part(s, "factur-x.xml", XML, content_type, disposition=("attachment", "inline", "")[s.n % 3]),
        file_part(s, f"{s.stem} 2025.pdf", PDF, "application/pdf"),
    ]
    wanted = [
        expect("factur-x.xml", XML, content_type, decoration=False),
        expect(f"{s.stem} 2025.pdf", PDF, decoration=False),
    ]
    return whole(s, "mixed", text_part(s), *files), right(s, attachments=wanted)


@kind(6)
def file_of_unnamed_text(s: Style) -> Made:
    """A part without a type and a name that begins like a PDF or a picture is a file, no text."""
    data = (PDF, PNG, JPEG, b"RIFF\x24\x00\x00\x00WEBPVP8 " + bytes(24), GIF, TIFF)[s.n]
    declared = ("Content-Type: text/plain", "Content-Type: text/plain; charset=us-ascii", "Content-Description: x y")[
        s.n % 3
    ]
    lone = part([declared, "Content-Transfer-Encoding: base64"], base64.encodebytes(data))
    return whole(s, "mixed", text_part(s), lone), right(
        s, attachments=[expect(None, data)], text_lacks=["%PDF", "PNG", "GIF89"]
    )


@kind(7)
def file_without_name(s: Style) -> Made:
    """A file without a name gets the extension of its detected type, or of its declared one (scanners)."""
    ending, content_type, data = (
        ("pdf", "application/octet-stream", PDF), ("tif", "application/octet-stream", TIFF), ("png", "image/png", PNG),
        ("jpg", "application/octet-stream", JPEG), ("pdf", "application/pdf", PDF), ("zip", "application/x-unknown", ZIP), ("gif", "image/*", GIF),
    )[s.n]  # fmt: skip
    disposition = (
        "Content-Disposition: attachment",
        "Content-Disposition: inline",
        "X-Nothing: 1",
        'Content-Disposition: attachment; filename=""',
    )[s.n % 4]
    file = part(
        [f"Content-Type: {content_type}", disposition, "Content-Transfer-Encoding: base64"], base64.encodebytes(data)
    )
    wanted = expect(f"attachment-1.{ending}", data)
    return whole(s, "mixed", text_part(s), file), right(s, attachments=[wanted])


@kind(5)
def name_in_description(s: Style) -> Made:
    """A Content-Description that looks like a file name is the name, if there is no other; a sentence is not."""
    description, name = (
        ("lieferschein.pdf", "lieferschein.pdf"), ('"Scan 0001.pdf"', "Scan 0001.pdf"), ("=?utf-8?Q?Pr=C3=BCfung.pdf?=", "Prüfung.pdf"),
        ("The contract that you asked for.", "attachment-1.pdf"), ("file.pdf", "real.pdf"),
    )[s.n]  # fmt: skip
    fields = [
        "Content-Type: application/pdf",
        f"Content-Description: {description}",
        "Content-Transfer-Encoding: base64",
    ]
    if s.n == 4:
        fields.append("Content-Disposition: attachment; filename=real.pdf")
    file = part(fields, base64.encodebytes(PDF))
    return whole(s, "mixed", text_part(s), file), right(s, attachments=[expect(name, PDF)])


@kind(5)
def picture_as_data(s: Style) -> Made:
    """A picture inside the HTML (`data:`) stays in the HTML that was sent."""
    picture = "data:image/png;base64," + base64.b64encode(PNG).decode()
    raw = single(s, _page(s, f'<img src="{picture}">'))
    return raw, right(s, text_contains=[], html_contains=[s.text, picture])


@kind(5)
def many_files(s: Style) -> Made:
    """Every file of a mail with many is listed; where the limit of parts leaves some out, it is said how many."""
    count = (30, 120, 400, 520, 600)[s.n]
    files = [
        part([f'Content-Type: text/csv; name="{one}.csv"', "Content-Disposition: attachment"], str(one).encode())
        for one in range(count)
    ]
    wanted = right(s, attachments=[expect(f"{one}.csv", str(one).encode()) for one in range(min(count, 499))])
    if count > 499:
        wanted |= {"defects": ["too_many_parts"], "left_out": {"too_many_parts": count - 499}}
    return whole(s, "mixed", text_part(s), *files), wanted
