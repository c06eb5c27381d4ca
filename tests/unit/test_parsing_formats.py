"""What is packed inside the parts of a mail: files in text, RTF, signed messages, reports, Outlook items."""

import base64
import struct
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs7

from mailroom.domain.parsing import Contained, Limits, Report, parse_email
from mailroom.domain.parsing.limits import Reading
from mailroom.domain.parsing.rtf import RtfBody, decompress, read_rtf
from tests.support.compound_file import Folder, write_compound

DATA = bytes(range(256)) * 20
INNER = (
    b"Content-Type: multipart/mixed; boundary=q\r\n\r\n--q\r\n\r\nsigned text\r\n"
    b"--q\r\nContent-Type: image/png; name=p.png\r\n\r\n\x89PNG\r\n--q--\r\n"
)


def yenc(data: bytes) -> bytes:
    out = b"".join(
        b"=" + bytes([(byte + 106) & 255]) if (byte + 42) & 255 in b"\0\r\n=" else bytes([(byte + 42) & 255])
        for byte in data
    )
    return b"\r\n".join(out[at : at + 128] for at in range(0, len(out), 128)).replace(b"=\r\n", b"\r\n=")


def binhex_fork(name: bytes, data: bytes) -> bytes:
    head = bytes([len(name)]) + name + b"\0TEXTttxt" + struct.pack(">HII", 0, len(data), 0) + b"\0\0"
    return (head + data).replace(b"\x90", b"\x90\0").replace(b"z" * 50, b"z\x90\x32")


def binhex(packed: bytes) -> bytes:
    letters = b"!\"#$%&'()*+,-012345689@ABCDEFGHIJKLMNPQRSTUVXYZ[`abcdefhijklmpqr"
    table = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", letters)
    return b":" + base64.b64encode(packed).rstrip(b"=").translate(table) + b":"


def test_yenc_file_is_taken_out_of_the_text() -> None:
    """Bad input A12 of the security notes. Newsgroup gateways still send it."""
    head = b"=ybegin line=128 size=%d name=joystick one.jpg\r\n" % len(DATA)
    raw = b"Subject: y\r\n\r\nbefore\r\n" + head + yenc(DATA) + b"\r\n=yend size=5120\r\nafter\r\n"

    parsed = parse_email(raw)

    assert [(one.filename, one.content) for one in parsed.attachments] == [("joystick one.jpg", DATA)]
    assert parsed.text == "before\r\nafter\r\n"
    assert parsed.defects == ()


def test_cut_yenc_file_gives_what_came() -> None:
    """Bad input A12: best effort, and the defect says so."""
    raw = b"\r\n\r\n=ybegin line=128 size=5120 name=a.bin\r\n" + yenc(DATA)[:1000]

    parsed = parse_email(b"Subject: y\r\n\r\n" + raw)

    assert DATA.startswith(parsed.attachments[0].content)
    assert parsed.defects == ("yenc_damaged",)


def test_binhex_file_is_taken_out_of_the_text() -> None:
    """Old Macintoshes wrapped files so, with a fork for their data and one for their resources."""
    content = b"hello \x90\x90 " + b"z" * 50
    raw = b"Subject: b\r\n\r\nbefore\r\n(This file must be converted with BinHex 4.0)\r\n" + binhex(
        binhex_fork(b"a.txt", content)
    )

    parsed = parse_email(raw + b"\r\nafter")

    assert [(one.filename, one.content) for one in parsed.attachments] == [("a.txt", content)]
    assert (parsed.text or "").split() == ["before", "after"]
    assert parsed.defects == ()


def test_run_lengths_of_binhex_are_bounded() -> None:
    """Bad input A20: three bytes stand for 255, so 40 MB could become gigabytes."""
    bomb = binhex(binhex_fork(b"a.txt", b"") + b"z\x90\xff" * 100)
    raw = b"\r\n\r\nx\r\n(This file must be converted with BinHex 4.0)\r\n" + bomb

    parsed = parse_email(raw, limits=Limits(file_bytes=1_000))

    assert "binhex_damaged" in parsed.defects
    assert all(one.size < 2_000 for one in parsed.attachments)


@pytest.mark.parametrize(
    ("packed", "plain"),
    [
        (
            "2d0000002b0000004c5a4675f1c5c7a703000a007263706731323542320af32068656c090020627705b06c647d0a800fa0",
            rb"{\rtf1\ansi\ansicpg1252\pard hello world}" + b"\r\n",
        ),
        ("1a0000001c0000004c5a4675e2d44b51410004205758595a0d6e7d010eb0", rb"{\rtf1 WXYZWXYZWXYZWXYZWXYZ}"),
    ],
    ids=["simple", "reference into itself"],
)
def test_compressed_rtf_reads_as_the_specification_says(packed: str, plain: bytes) -> None:
    """The two examples of [MS-OXRTFCP] section 3."""
    reading = Reading()

    assert decompress(bytes.fromhex(packed), reading=reading) == plain
    assert reading.defects == ()


def test_html_is_taken_out_of_rtf() -> None:
    """Outlook carries the HTML that was written inside RTF, with the RTF's own rendering beside it."""
    rtf = (
        rb"{\rtf1\ansi\ansicpg1252\fromhtml1 {\fonttbl{\f0 Arial;}{\f3\fcharset204 Arial;}}{\*\generator Outlook;}\uc1 "
        rb"{\*\htmltag64 <p>}\htmlrtf {\f0 \htmlrtf0 Gr\u252?\'dfe \{x\} \f3 \'cf\'f0\htmlrtf\par}\htmlrtf0 "
        rb"\u-10179?\u-8704?{\*\mhtmltag72 <b>}{\*\htmltag72 </p>}}"
    )

    body = read_rtf(rtf, reading=Reading())

    assert body == RtfBody(html="<p>Grüße {x} Пр😀</p>")


def test_plain_rtf_gives_its_words_and_lines() -> None:
    """The text has nothing else of the RTF."""
    rtf = rb"{\rtf1\ansi{\fonttbl{\f0 Arial;}}{\*\x y}\pard one\par two\tab thr\'e9\par {\pict 00ff}}"

    assert read_rtf(rtf, reading=Reading()) == RtfBody(text="one\r\ntwo\tthré")


def certificate() -> tuple[x509.Certificate, rsa.RSAPrivateKey]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Ann")])
    start = datetime(2026, 1, 1, tzinfo=UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(start).not_valid_after(start + timedelta(days=900))
    return made.sign(key, hashes.SHA256()), key


def smime(der: bytes) -> bytes:
    head = b"Content-Type: application/pkcs7-mime; name=smime.p7m\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    return b"Subject: secret\r\n" + head + base64.encodebytes(der)


def signed(content: bytes) -> bytes:
    ours, key = certificate()
    builder = pkcs7.PKCS7SignatureBuilder().set_data(content).add_signer(ours, key, hashes.SHA256())
    return builder.sign(serialization.Encoding.DER, [pkcs7.PKCS7Options.Binary])


def test_opaque_signed_message_is_unwrapped() -> None:
    """A person sees the text, and the smime.p7m that has the signature, after the files in it."""
    parsed = parse_email(smime(signed(INNER)))

    assert parsed.text == "signed text"
    assert [one.filename for one in parsed.attachments] == ["p.png", "smime.p7m"]
    assert parsed.protection == ("smime_signed",)
    assert parsed.subject == "secret"


def test_wrapping_of_wrappings_ends() -> None:
    """Bad input A10: each wrapping contains all below it."""
    raw = smime(signed(smime(signed(smime(signed(INNER))))))

    parsed = parse_email(raw, limits=Limits(wrappings=2))

    assert [one.filename for one in parsed.attachments] == ["smime.p7m", "smime.p7m"]
    assert parsed.defects == ("too_deep",)


def test_encrypted_message_is_flagged_and_kept() -> None:
    """Only its recipient can decrypt it, with a key that we do not have."""
    ours, _ = certificate()
    builder = pkcs7.PKCS7EnvelopeBuilder().set_data(INNER).add_recipient(ours)

    parsed = parse_email(smime(builder.encrypt(serialization.Encoding.DER, [pkcs7.PKCS7Options.Binary])))

    assert [one.filename for one in parsed.attachments] == ["smime.p7m"]
    assert parsed.protection == ("smime_encrypted",)


@pytest.mark.parametrize(
    ("raw", "word"),
    [
        (b"\r\n-----BEGIN PGP MESSAGE-----\r\n\r\nhQ==\r\n", "pgp_encrypted"),
        (b"\r\n-----BEGIN PGP SIGNED MESSAGE-----\r\nHash: SHA256\r\n\r\nhi", "pgp_signed"),
        (b"Content-Type: application/pgp-encrypted\r\n\r\nVersion: 1", "pgp_encrypted"),
        (b"Content-Type: application/pgp-signature; name=signature.asc\r\n\r\n--", "pgp_signed"),
        (b"Content-Type: application/pkcs7-signature; name=smime.p7s\r\n\r\n0", "smime_signed"),
    ],
)
def test_protection_is_flagged(raw: bytes, word: str) -> None:
    """A reader must see that the mail was signed or encrypted."""
    assert parse_email(b"Subject: x\r\n" + raw).protection == (word,)


def test_delivery_report_gives_its_fields() -> None:
    """RFC 3464: first on the whole, then on each recipient."""
    raw = (
        b"Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b\r\n\r\nSorry.\r\n"
        b"--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example.org\r\n\r\n"
        b"Final-Recipient: rfc822; a@example.org\r\nAction: failed\r\nStatus: 5.1.1\r\nDiagnostic-Code: smtp; 550\r\n no such user\r\n\r\n"
        b"Final-Recipient: rfc822; b@example.org\r\nAction: delayed\r\nStatus: 4.4.1\r\n--b--\r\n"
    )

    (report,) = parse_email(raw).reports

    assert (report.kind, report.fields) == ("delivery", {"reporting-mta": "dns; mx.example.org"})
    assert [(one["final-recipient"], one["action"], one["status"]) for one in report.items] == [
        ("rfc822; a@example.org", "failed", "5.1.1"),
        ("rfc822; b@example.org", "delayed", "4.4.1"),
    ]
    assert report.items[0]["diagnostic-code"] == "smtp; 550 no such user"


@pytest.mark.parametrize(
    ("kind", "line", "report"),
    [
        (
            b"message/disposition-notification",
            b"Disposition: automatic-action/MDN-sent-automatically; displayed",
            Report("disposition", {"disposition": "automatic-action/MDN-sent-automatically; displayed"}),
        ),
        (b"message/feedback-report", b"Feedback-Type: abuse", Report("abuse", {"feedback-type": "abuse"})),
    ],
)
def test_receipts_and_complaints_give_their_fields(kind: bytes, line: bytes, report: Report) -> None:
    """RFC 8098 and RFC 5965."""
    assert parse_email(b"Content-Type: " + kind + b"\r\n\r\n" + line + b"\r\n").reports == (report,)


def test_calendar_gives_its_entries() -> None:
    """RFC 5545: unfolded, unescaped, with the zone of its times."""
    raw = (
        b"Content-Type: text/calendar; method=REQUEST; charset=utf-8\r\n\r\nBEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\n"
        b'BEGIN:VEVENT\r\nUID:1\r\nDTSTART;TZID="Europe/Paris":20260101T100000\r\nSUMMARY:D\xc3\xa9jeuner\\, \r\n\tici\r\n'
        b'ATTENDEE;CN="B: C":mailto:b@example.org\r\nATTENDEE:mailto:c@example.org\r\n'
        b"BEGIN:VALARM\r\nTRIGGER:-PT5M\r\nEND:VALARM\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    )

    (report,) = parse_email(raw).reports

    assert (report.kind, report.fields) == ("calendar", {"method": "REQUEST"})
    assert report.items == (
        {
            "component": "vevent",
            "uid": "1",
            "dtstart": "20260101T100000",
            "dtstart-tzid": "Europe/Paris",
            "summary": "Déjeuner, ici",
            "attendee": "mailto:b@example.org\nmailto:c@example.org",
        },
    )


def outlook_item() -> bytes:
    attachments: dict[str, Folder] = {
        "__attach_version1.0_#00000000": {
            "__substg1.0_3707001F": "Größe.pdf".encode("utf-16-le"),
            "__substg1.0_37010102": b"%PDF" * 30,
        },
        "__attach_version1.0_#00000001": {"__substg1.0_3704001E": b"OLD~1.DOC", "__substg1.0_37010102": b""},
        "__attach_version1.0_#00000002": {
            "__substg1.0_3001001F": "The plan".encode("utf-16-le"),
            "__substg1.0_3701000D": {"__properties_version1.0": bytes(32)},
        },
    }
    return write_compound({"__properties_version1.0": bytes(32), "__substg1.0_0037001F": b"x\0", **attachments})


def test_members_of_an_outlook_item_are_listed() -> None:
    """Bad input A21 of the security notes is about what is opened in place; of a .msg only the list is read."""
    raw = b"Content-Type: application/vnd.ms-outlook; name=old.msg\r\n\r\n" + outlook_item()

    (item,) = parse_email(raw).attachments

    assert item.members == (Contained("Größe.pdf", 120), Contained("OLD~1.DOC", 0), Contained("The plan.msg", 0))
    assert item.content == outlook_item()


@pytest.mark.parametrize("cut", [100, 512, 1024, 1500, 2600])
def test_damaged_outlook_item_is_an_attachment_all_the_same(cut: int) -> None:
    """What cannot be listed can still be downloaded."""
    raw = b"Content-Type: application/vnd.ms-outlook; name=old.msg\r\n\r\n" + outlook_item()[:cut]

    assert parse_email(raw).attachments[0].size == cut
